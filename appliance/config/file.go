package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/BurntSushi/toml"

	"secure-dns-proxy/appliance/pace"
)

// File is a configuration as written: valid TOML or JSON, not yet known to mean anything.
type File struct {
	Name string // for messages

	tree  map[string]any
	lines lines

	// Of a file that was in the original's form: the key there from which each key of tree was made, where the names differ.
	origins map[string]string
}

// Parse reads TOML text, or JSON with comments, of at most FileBytesMax. A syntax error gives one problem and no File.
func Parse(name string, text []byte) (*File, Problems) {
	if len(text) > FileBytesMax {
		return nil, Problems{{File: name, Text: fmt.Sprintf("%d bytes: larger than %d, is this the right file?", len(text), FileBytesMax)}}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if isJSON(text) {
		return parseJSON(name, text)
	}
	f := &File{Name: name, tree: map[string]any{}}
	if _, err := toml.Decode(string(text), &f.tree); err != nil {
		p := Problem{File: name, Text: err.Error()}
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			p.Line, p.Key, p.Text = pe.Position.Line, pe.LastKey, pe.Message
			if strings.HasSuffix(p.Text, "Key 'upstream' was already created and cannot be used as an array.") {
				p.Key, p.Text = "upstream", "upstream = ... stands above: write all upstreams there, or all as [[upstream]] tables"
			}
		}
		return nil, Problems{p}
	}
	f.lines = lineIndex(string(text))
	return f, nil
}

// Read reads and parses the file at path.
func Read(path string) (*File, Problems) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: fileFault(err)}}
	}
	return Parse(path, text)
}

// Load reads, parses and checks the file at path. A nil Checked means that the problems hold an error.
func Load(path string) (*Checked, Problems) {
	f, problems := Read(path)
	if f == nil {
		return nil, problems
	}
	return Check(f)
}

// Reload is Load beside workers that must not be held up. A set that is in use, and whose file has not changed since, is not read again. Once ctx has ended,
// sets cannot be read.
func Reload(ctx context.Context, path string, inUse []Set) (*Checked, Problems) {
	gently := pace.Until(ctx)
	var c *Checked
	var problems Problems
	gently.Aside(func() {
		var f *File
		if f, problems = Read(path); f != nil {
			c, problems = (&checker{file: f, machine: thisMachine(), gently: gently, inUse: inUse}).check()
		}
	})
	return c, problems
}

// fileFault is what went wrong with a file, without the path that the caller's message has already.
func fileFault(err error) string {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return "cannot read: " + pe.Err.Error()
	}
	return "cannot read: " + err.Error()
}

// value is one TOML value and where it was written. Lists and tables hold plain toml data; element and field step into them.
type value struct {
	path  string
	line  int
	data  any
	lines lines
}

func (f *File) value(path string, data any) value {
	return value{path: path, line: f.lines[path], data: data, lines: f.lines}
}

func (v value) element(i int, data any) value { return v.at(joinIndex(v.path, i), data) }

func (v value) field(name string, data any) value { return v.at(joinKey(v.path, name), data) }

// at falls back to the line of v: a default has no line of its own.
func (v value) at(path string, data any) value {
	line, known := v.lines[path]
	if !known {
		line = v.line
	}
	return value{path: path, line: line, data: data, lines: v.lines}
}

// or is v if it is written in the file, else other: a list that is written as one string has no elements.
func (v value) or(other value) value {
	if v.line != 0 {
		return v
	}
	return other
}

// list returns the elements of an array, and false where v is none. toml has two types for arrays.
func (v value) list() ([]value, bool) {
	var out []value
	switch data := v.data.(type) {
	case []any:
		for i, d := range data {
			out = append(out, v.element(i, d))
		}
	case []map[string]any:
		for i, d := range data {
			out = append(out, v.element(i, d))
		}
	default:
		return nil, false
	}
	return out, true
}

// kind names the type of v as an operator would.
func (v value) kind() string {
	switch v.data.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "an array"
	}
	return "a date or time"
}
