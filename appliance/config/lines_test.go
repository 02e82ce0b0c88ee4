package config

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLineIndex(t *testing.T) {
	tests := []struct {
		name, text string
		want       lines
	}{
		{"plain", "a = 1\nb = 2", lines{"a": 1, "b": 2}},
		{"table", "[t]\n\na = 1", lines{"t": 1, "t.a": 3}},
		{"nested header", "[t.u.v]\na = 1\n[t]\nb = 2", lines{"t": 1, "t.u": 1, "t.u.v": 1, "t.u.v.a": 2, "t.b": 4}},
		{"dotted key", "a.b.c = 1\na . d = 2", lines{"a": 1, "a.b": 1, "a.b.c": 1, "a.d": 2}},
		{"dotted key in a table", "[t]\na.b = 1", lines{"t": 1, "t.a": 2, "t.a.b": 2}},
		{"quoted keys", "\"a.b\" = 1\n'c\\d' = 2\n\"\\u00e9\" = 3", lines{`"a.b"`: 1, `"c\\d"`: 2, `"é"`: 3}},
		{"quoted header", "[h.\"x.y\"]\nk = 1", lines{"h": 1, `h."x.y"`: 1, `h."x.y".k`: 2}},
		{"array of tables", "[[u]]\nk = 1\n[[u]]\nk = 2\n[u.s]\nm = 3", lines{
			"u": 1, "u[0]": 1, "u[0].k": 2, "u[1]": 3, "u[1].k": 4, "u[1].s": 5, "u[1].s.m": 6,
		}},
		{"arrays of tables in each other", "[[u]]\n[[u.v]]\nk = 1\n[[u]]\n[[u.v]]\nk = 2", lines{
			"u": 1, "u[0]": 1, "u[0].v": 2, "u[0].v[0]": 2, "u[0].v[0].k": 3, "u[1]": 4, "u[1].v": 5, "u[1].v[0]": 5, "u[1].v[0].k": 6,
		}},
		{"array over lines", "a = [ # one\n  1,\n\n  2, # two\n]\nb = 3", lines{"a": 1, "a[0]": 2, "a[1]": 4, "b": 6}},
		{"array in array", "a = [[1],\n[2, 3]]", lines{"a": 1, "a[0]": 1, "a[0][0]": 1, "a[1]": 2, "a[1][0]": 2, "a[1][1]": 2}},
		{"inline table", "a = {b = 1, c.d = [2]}\ne = 3", lines{"a": 1, "a.b": 1, "a.c": 1, "a.c.d": 1, "a.c.d[0]": 1, "e": 2}},
		{"inline tables in an array", "u = [\n{k = 1},\n{k = 2}]", lines{"u": 1, "u[0]": 2, "u[0].k": 2, "u[1]": 3, "u[1].k": 3}},
		{"multi-line string", "a = \"\"\"\nb = 1\n\\\"\"\" [c]\n\"\"\"\nd = 2", lines{"a": 1, "d": 5}},
		{"multi-line literal", "a = '''\nb = 1\n'''\nd = 2", lines{"a": 1, "d": 4}},
		{"quotes before the closing ones", "a = \"\"\"x\"\"\"\"\"\nd = 2", lines{"a": 1, "d": 2}},
		{"string with marks", "a = \"# ] } , \\\" \\\\\"\nb = 1", lines{"a": 1, "b": 2}},
		{"date with a blank", "a = 1979-05-27 07:32:00 # c\nb = 1", lines{"a": 1, "b": 2}},
		{"CRLF", "a = 1\r\n\r\n[t]\r\nb = 2\r\n", lines{"a": 1, "t": 3, "t.b": 4}},
		{"byte order mark", "\ufeffa = 1", lines{"a": 1}},
		{"comment only", "# a = 1", lines{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := toml.Decode(tt.text, &map[string]any{}); err != nil {
				t.Fatalf("the test's text is not TOML: %v", err)
			}
			got := lineIndex(tt.text)
			if !maps.Equal(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
}

// FuzzLineIndex: every key and element that toml sees has a line, and nothing else has one.
func FuzzLineIndex(f *testing.F) {
	for _, seed := range []string{
		"a = 1\n[t]\nb.c = 2", "[[u]]\nk = '''x\n'''\n[[u]]\n[u.v]\nx = []", "a = {b = [1, {c = 2}]}", "\"q.r\" = \"\"\"\\\"\"\"\"",
		"'' = 1", "a = [\n# c\n1, 2,\n]", "a = +inf\nb = 0x1f\nc = 1979-05-27 07:32:00Z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree := map[string]any{}
		got := lineIndex(text) // must end, whatever the text
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return // toml drops the mark of another encoding; such a text is not ours to index
		}
		if !decodes(text, &tree) {
			return
		}
		want := map[string]bool{}
		collect("", tree, want)
		last := strings.Count(text, "\n") + 1
		for path, line := range got {
			if !want[path] {
				t.Errorf("%q: path %q is not in the document", text, path)
			}
			if line < 1 || line > last {
				t.Errorf("%q: path %q on line %d of %d", text, path, line, last)
			}
		}
		for path := range want {
			if got[path] == 0 {
				t.Errorf("%q: path %q has no line; known: %v", text, path, slices.Sorted(maps.Keys(got)))
			}
		}
	})
}

// decodes survives the panics with which toml reports its own bugs.
func decodes(text string, into *map[string]any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	_, err := toml.Decode(text, into)
	return err == nil
}

func collect(path string, data any, into map[string]bool) {
	if path != "" {
		into[path] = true
	}
	if table, ok := data.(map[string]any); ok {
		for name, sub := range table {
			collect(joinKey(path, name), sub, into)
		}
	}
	v := value{path: path, data: data}
	if items, ok := v.list(); ok {
		for i, item := range items {
			collect(joinIndex(path, i), item.data, into)
		}
	}
}
