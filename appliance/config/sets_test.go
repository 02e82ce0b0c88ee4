package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/worker/policy"
)

// TestReloadKeepsSets: a reload reads a set anew only if its file, or what it is, has changed.
func TestReloadKeepsSets(t *testing.T) {
	dir := t.TempDir()
	config, first, second := filepath.Join(dir, "proxy.toml"), filepath.Join(dir, "first"), filepath.Join(dir, "second")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure := func(kind string) {
		t.Helper()
		write(config, fmt.Sprintf("%s[set.a]\nfile = %q\n[set.b]\nfile = %q\nkind = %q\n", good, first, second, kind))
	}
	write(first, "a.example\n")
	write(second, "b.example\n")
	configure("suffixes")
	checked, problems := Load(config)
	if checked == nil {
		t.Fatal(problems)
	}
	inUse := checked.Sets
	for _, step := range []struct {
		name string
		do   func()
		kept [2]bool
	}{
		{"nothing", func() {}, [2]bool{true, true}},
		{"the first file", func() { write(first, "a.example\nc.example\n") }, [2]bool{false, true}},
		{"time alone", func() { os.Chtimes(second, time.Time{}, time.Now().Add(time.Hour)) }, [2]bool{true, false}},
		{"another kind", func() { configure("names") }, [2]bool{true, false}},
	} {
		step.do()
		next, problems := Reload(t.Context(), config, inUse)
		if next == nil {
			t.Fatal(problems)
		}
		for i, s := range next.Sets {
			if kept := s.Ref == inUse[i].Ref; kept != step.kept[i] {
				t.Errorf("%s: set %s: kept %t", step.name, s.Name, kept)
			}
		}
		inUse = next.Sets
	}
	if n := inUse[0].Ref.Set().Len(); n != 2 {
		t.Errorf("%d entries of 2", n)
	}
	write(first, "a..b\n")
	if next, problems := Reload(t.Context(), config, inUse); next != nil || !problems.Broken() {
		t.Errorf("a bad file: %v, %v", next, problems)
	}
}

// TestSetsAreReadWithoutGarbage: what reading a set allocates does not depend on how many names it has, but for their table.
func TestSetsAreReadWithoutGarbage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "set")
	objects := func(names int) float64 {
		var text strings.Builder
		for i := range names {
			fmt.Fprintf(&text, "Name%06d.example. # and why\n", i)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(5, func() {
			if set, _, problems := ReadSet(file, policy.SetSuffixes, nil); set == nil || set.Len() != names {
				t.Fatal(problems)
			}
		})
	}
	if few, many := objects(100), objects(50_000); many > few+10 {
		t.Errorf("%v objects for 100 names, %v for 50,000", few, many)
	}
}

// TestSetIsAFile: a pipe or a directory in a set's place is refused, and nobody waits for it.
func TestSetIsAFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, dir} {
		if set, _, problems := ReadSet(path, policy.SetNames, nil); set != nil || len(problems) != 1 || !strings.Contains(problems[0].Text, "not a file that can be read again") {
			t.Errorf("%s: %v", path, problems)
		}
	}
	if set, _, problems := ReadSet(os.DevNull, policy.SetNames, nil); set == nil || set.Len() != 0 {
		t.Errorf("%s: %v", os.DevNull, problems)
	}
}

// TestReloadEnds: once its context has ended, a reload reads no set.
func TestReloadEnds(t *testing.T) {
	dir := t.TempDir()
	config, set := filepath.Join(dir, "proxy.toml"), filepath.Join(dir, "set")
	for path, text := range map[string]string{set: "a.example\n", config: fmt.Sprintf("%s[set.a]\nfile = %q\n", good, set)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if next, problems := Reload(t.Context(), config, nil); next == nil {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if next, problems := Reload(ctx, config, nil); next != nil || !strings.Contains(fmt.Sprint(problems), context.Canceled.Error()) {
		t.Errorf("%v, %v", next, problems)
	}
}
