package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// isJSON tells JSON (with comments and trailing commas, or without) from TOML: no TOML text begins with one of these.
func isJSON(text []byte) bool {
	start := strings.TrimLeft(string(text[:min(len(text), 4096)]), " \t\r\n")
	for _, mark := range []string{"{", "//", "/*"} {
		if strings.HasPrefix(start, mark) {
			return true
		}
	}
	return false
}

// parseJSON reads a JSON object into the types that toml has for the same values, and the line of every key and element.
func parseJSON(name string, text []byte) (*File, Problems) {
	if n := bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{")); n > BracketsMax {
		return nil, Problems{{File: name, Text: fmt.Sprintf("%d opening brackets, at most %d are allowed: is this the right file?", n, BracketsMax)}}
	}
	text = append(bytes.Clone(text), '\n') // hujson wants a line end behind a last // comment
	root, err := hujson.Parse(text)
	if err != nil {
		return nil, Problems{jsonFault(name, err)}
	}
	r := jsonReader{name: name, text: text, lines: lines{}}
	tree, ok := r.data("", &root).(map[string]any)
	if !ok && r.problems == nil {
		r.fault("", &root, "must be an object, written { ... }")
	}
	if r.problems != nil {
		return nil, r.problems.sorted()
	}
	return &File{Name: name, tree: tree, lines: r.lines}, nil
}

// jsonFault takes the line out of hujson's message; it has no other place.
func jsonFault(name string, err error) Problem {
	p := Problem{File: name, Text: err.Error()}
	var column int
	if _, e := fmt.Sscanf(p.Text, "hujson: line %d, column %d:", &p.Line, &column); e == nil {
		_, rest, _ := strings.Cut(p.Text, ": ")
		_, p.Text, _ = strings.Cut(rest, ": ")
		p.Text = fmt.Sprintf("column %d: %s", column, p.Text)
	}
	return p
}

// jsonReader is one pass over one parsed text.
type jsonReader struct {
	name     string
	text     []byte
	lines    lines
	counted  int // bytes of text whose line ends are in line
	line     int // line ends before counted
	problems Problems
}

// lineOf is cheap when offsets grow, as they do in a pass from the front.
func (r *jsonReader) lineOf(offset int) int {
	if offset < r.counted {
		r.counted, r.line = 0, 0
	}
	r.line += bytes.Count(r.text[r.counted:offset], []byte("\n"))
	r.counted = offset
	return r.line + 1
}

func (r *jsonReader) fault(path string, at *hujson.Value, text string) {
	r.problems = append(r.problems, Problem{File: r.name, Line: r.lineOf(at.StartOffset), Key: path, Text: text})
}

// data converts one value. After a fault the result is of no use.
func (r *jsonReader) data(path string, v *hujson.Value) any {
	switch t := v.Value.(type) {
	case *hujson.Object:
		return r.object(path, t)
	case *hujson.Array:
		items := make([]any, len(t.Elements))
		for i := range t.Elements {
			at := joinIndex(path, i)
			r.lines[at] = r.lineOf(t.Elements[i].StartOffset)
			items[i] = r.data(at, &t.Elements[i])
		}
		return items
	case hujson.Literal:
		return r.literal(path, v, t)
	}
	panic(fmt.Sprintf("config: hujson has a value of type %T", v.Value))
}

func (r *jsonReader) object(path string, o *hujson.Object) map[string]any {
	table := map[string]any{}
	for i := range o.Members {
		m := &o.Members[i]
		name := m.Name.Value.(hujson.Literal).String()
		at := joinKey(path, name)
		if _, twice := table[name]; twice {
			r.fault(at, &m.Name, fmt.Sprintf("is already written on line %d", r.lines[at]))
			continue
		}
		r.lines[at] = r.lineOf(m.Name.StartOffset)
		table[name] = r.data(at, &m.Value)
	}
	return table
}

// literal keeps whole numbers whole, as TOML does.
func (r *jsonReader) literal(path string, v *hujson.Value, l hujson.Literal) any {
	switch l.Kind() {
	case '"':
		return l.String()
	case 't', 'f':
		return l.Bool()
	case '0':
		var whole int64
		if json.Unmarshal(l, &whole) == nil {
			return whole
		}
		var fraction float64
		if json.Unmarshal(l, &fraction) == nil {
			return fraction
		}
		r.fault(path, v, fmt.Sprintf("%s is beyond any number that this program knows", l))
		return nil
	}
	r.fault(path, v, "is null: leave the key out")
	return nil
}
