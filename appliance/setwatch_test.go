package appliance

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/worker/policy"
)

// TestSetWatch: a good file takes the place of the set, once it is left alone; a bad one is told once and changes nothing.
func TestSetWatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names")
	replace := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	replace("a.example\nb.example\n")
	set, stamp, problems := config.ReadSet(file, policy.SetSuffixes, nil)
	if set == nil {
		t.Fatal(problems)
	}
	var out bytes.Buffer
	w := &setWatch{log: slog.New(slog.NewTextHandler(&out, nil))}
	ref := policy.NewSetRef("blocked", set)
	w.follow([]config.Set{{Name: "blocked", File: file, Kind: policy.SetSuffixes, Ref: ref, Stamp: stamp}})
	for _, step := range []struct {
		text    string // "": the file stays; "-": it goes away
		entries int
		log     string // "": nothing
	}{
		{"", 2, ""},
		{"a.example\n", 2, ""}, // seen, not yet read
		{"", 1, `msg="set replaced" set=blocked`},
		{"", 1, ""},
		{"a.example\nb..example\n", 1, ""},
		{"", 1, `line=2 problem="\"b..example\" is not a name"`},
		{"", 1, ""},
		{"-", 1, ""},
		{"", 1, `cannot read: no such file or directory`},
		{"", 1, ""},
		{"c.example\nd.example\ne.example\n", 1, ""},
		{"", 3, `msg="set replaced" set=blocked`},
	} {
		switch step.text {
		case "":
		case "-":
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		default:
			replace(step.text)
		}
		out.Reset()
		w.look(t.Context())
		if got := ref.Set().Len(); got != step.entries {
			t.Errorf("%q: %d entries, want %d", step.text, got, step.entries)
		}
		if got := out.String(); !strings.Contains(got, step.log) || step.log == "" && got != "" {
			t.Errorf("%q: log %q, want %q", step.text, got, step.log)
		}
	}
	if a, r := w.reloads.Applied.Load(), w.reloads.Refused.Load(); a != 2 || r != 2 {
		t.Errorf("%d replaced, %d refused; want 2 and 2", a, r)
	}
	if s := w.sizes(); len(s) != 1 || s[0].Entries != 3 {
		t.Errorf("%v", s)
	}
}
