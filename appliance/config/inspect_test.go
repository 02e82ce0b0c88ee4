package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInspectProblems(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long.wasm")
	if err := os.WriteFile(long, make([]byte, 9<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	const wasm = "[inspect]\nkind = \"wasm\"\n"
	for _, tt := range []struct{ name, text, at, want string }{
		{"unknown kind", "[inspect]\nkind = \"lua\"\n", "4: inspect.kind", "is not one of"},
		{"no module", wasm, "4: inspect.kind", "needs inspect.module"},
		{"no name", "[inspect]\nkind = \"go\"\n", "4: inspect.kind", "needs inspect.name"},
		{"no file", wasm + "module = \"/nonexistent\"\n", "5: inspect.module", "no such file"},
		{"a text", wasm + "module = \"../wasm/testdata/bare.wat\"\n", "5: inspect.module", "magic"},
		{"an import", wasm + "module = \"../wasm/testdata/imports.wasm\"\n", "5: inspect.module", "imports the function wasi_snapshot_preview1.fd_write"},
		{"too much memory", wasm + "module = \"../wasm/testdata/big.wasm\"\n", "5: inspect.module", "100"},
		{"too long", wasm + "module = \"" + long + "\"\n", "5: inspect.module", "at most 8388608"},
		{"budget", "[inspect]\nbudget = \"1s\"\n", "4: inspect.budget", "out of range"},
		{"query's budget", "[inspect]\nquery_budget = \"1s\"\n", "4: inspect.query_budget", "out of range"},
		{"unknown point", "[inspect]\npoints = [\"miss\", \"answer\"]\n", "4: inspect.points[1]", "is not one of"},
		{"a point twice", "[inspect]\npoints = [\"miss\", \"miss\"]\n", "4: inspect.points[1]", "stands twice"},
		{"no point", "[inspect]\npoints = []\n", "4: inspect.points", "is empty"},
		{"no tag", "[inspect]\ntags = \"a b\"\n", "4: inspect.tags", "is no tag"},
		{"a tag twice", "[inspect]\ntags = [\"a\", \"a\"]\n", "4: inspect.tags[1]", "stands twice"},
		{"many tags", "[inspect]\ntags = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\"]\n", "4: inspect.tags", "at most 8"},
		{"few verdicts", "[inspect]\nkept_verdicts = 10\n", "4: inspect.kept_verdicts", "too few"},
		{"memory", "[inspect]\nmemory_max = \"1GiB\"\n", "4: inspect.memory_max", "out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checked, problems := checkText(good + tt.text)
			at := strings.Count(good, "\n")
			if checked != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), tt.at[3:]) || !strings.Contains(problems[0].Text, tt.want) {
				t.Fatalf("got %v, want %s: ...%s...", problems, tt.at, tt.want)
			}
			if want := at + int(tt.at[0]-'0') - 2; problems[0].Line != want {
				t.Errorf("line %d, want %d", problems[0].Line, want)
			}
		})
	}
	if checked, problems := checkText(good + wasm + "memory_max = \"8MiB\"\nmodule = \"../wasm/testdata/big.wasm\"\n"); checked == nil {
		t.Errorf("with more memory: %v", problems)
	}
}

// TestInspectTags: tags of the inspector are the tags of rules with the same names.
func TestInspectTags(t *testing.T) {
	checked, problems := checkText(good + "[inspect]\ntags = [\"new\", \"b\"]\n[[rule]]\nname = \"x\"\naction = { type = \"tag\", set = [\"a\", \"b\"] }\n")
	if checked == nil {
		t.Fatal(problems)
	}
	if got := checked.Inspect.TagBits; len(got) != 2 || got[0] != 1<<2 || got[1] != 1<<1 {
		t.Errorf("bits %b, want that of a third tag and of b", got)
	}
}

// TestSameInspector: what makes another inspector, and what does not.
func TestSameInspector(t *testing.T) {
	base := Inspect{Kind: InspectWASM, Module: "a", Code: []byte("a"), MemoryMax: 1, Points: []string{"miss"}}
	for name, tt := range map[string]struct {
		edit func(*Inspect)
		want bool
	}{
		"budget":  {func(i *Inspect) { i.Budget[0] = time.Second }, true},
		"failure": {func(i *Inspect) { i.OnFailure[0] = InspectRefuse }, true},
		"points":  {func(i *Inspect) { i.Points = []string{"query"} }, true},
		"file":    {func(i *Inspect) { i.Module = "b" }, true},
		"copy":    {func(i *Inspect) { i.Code = bytes.Clone(i.Code) }, true},
		"code":    {func(i *Inspect) { i.Code = []byte("b") }, false},
		"memory":  {func(i *Inspect) { i.MemoryMax = 2 }, false},
		"engine":  {func(i *Inspect) { i.Compiled = true }, false},
		"kind":    {func(i *Inspect) { i.Kind = InspectGo }, false},
	} {
		other := base
		if tt.edit(&other); base.SameInspector(&other) != tt.want {
			t.Errorf("%s: same %t", name, !tt.want)
		}
	}
	if a, b := (&Inspect{Kind: InspectGo, Name: "a"}), (&Inspect{Kind: InspectGo, Name: "b"}); a.SameInspector(b) {
		t.Error("two names are the same inspector")
	}
}
