package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	text := `// above
{
  "port": 53, /* a
  comment of two lines */ "ratio": 0.5,
  "upstreams": {
    "dns": ["192.0.2.1", // first
      "192.0.2.2",
    ],
  },
  "hosts": {"dns.example": "192.0.2.1", "n\u0061me": ""},
  "on": true, "list": [],
}
// below`
	f, problems := Parse("f.json", []byte(text))
	if f == nil {
		t.Fatal(problems)
	}
	wantTree := map[string]any{
		"port": int64(53), "ratio": 0.5,
		"upstreams": map[string]any{"dns": []any{"192.0.2.1", "192.0.2.2"}},
		"hosts":     map[string]any{"dns.example": "192.0.2.1", "name": ""},
		"on":        true, "list": []any{},
	}
	if !reflect.DeepEqual(f.tree, wantTree) {
		t.Errorf("got  %v\nwant %v", f.tree, wantTree)
	}
	wantLines := lines{
		"port": 3, "ratio": 4, "upstreams": 5, "upstreams.dns": 6, "upstreams.dns[0]": 6, "upstreams.dns[1]": 7,
		"hosts": 10, `hosts."dns.example"`: 10, "hosts.name": 10, "on": 11, "list": 11,
	}
	if !reflect.DeepEqual(f.lines, wantLines) {
		t.Errorf("got  %v\nwant %v", f.lines, wantLines)
	}
}

func TestJSONProblems(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"syntax", "{\n\"a\": 1\n\"b\": 2}", `f:3: column 1: invalid character '"' after object value (expecting ',' or '}')`},
		{"not closed", "{\n\"a\": [1,\n", `f:4: column 1: parsing value: unexpected EOF`},
		{"comment not closed", "/* {", `f:1: column 1: parsing comment: unexpected EOF`},
		{"no object", "// a list\n[]", `f:2: must be an object, written { ... }`},
		{"twice", "{\"a\": 1,\n\"b\": 1,\n\"a\": 2}", `f:3: a: is already written on line 1`},
		{"null", "{\"a\": {\n\"b\": null}}", `f:2: a.b: is null: leave the key out`},
		{"too big a number", "{\"a\":\n1e999}", `f:2: a: 1e999 is beyond any number that this program knows`},
		{"too deep", strings.Repeat("{\"a\":", BracketsMax+1), `f: 10001 opening brackets, at most 10000 are allowed: is this the right file?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, problems := Parse("f", []byte(tt.text))
			if f != nil || strings.ReplaceAll(problems.Error(), "f: ", "f: ") != tt.want {
				t.Errorf("got %v\nwant %s", problems, tt.want)
			}
		})
	}
}

// TestJSONOfOurForm: a file in the new form may be JSON too, and its problems have lines.
func TestJSONOfOurForm(t *testing.T) {
	checked, problems := checkText("{\"upstream\": [\"tls://192.0.2.1\"], // one\n\"cache\": {\"bytes\": \"8MiB\"}}")
	if checked == nil || checked.Cache.Bytes != 8<<20 || checked.Upstreams[0].Scheme != "tls" {
		t.Errorf("got %+v, %v", checked, problems)
	}
	_, problems = checkText("{\n\"upstream\": \"tls://192.0.2.1\",\n\"cache\": {\n\"bites\": 1}}")
	if got, want := problems.Error(), `f.toml:4: cache.bites: unknown key; the nearest known key is "cache.bytes"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
