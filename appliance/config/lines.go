package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// lines is the line (1-based) on which every key and every array element of a TOML text is first written.
//
// Paths are written as the operator would: `cache.bytes`, `listen[1]`, `upstream[0].url`, `hosts."dns.example"`. toml v1.6
// keeps positions to itself, and keeps one position per key name, so that the tables of an array share it; hence this index.
//
// It is built only from text that toml has accepted and does no validation: on other text it stops early and knows less.
type lines map[string]int

// lineIndex reads the whole text once. FuzzLineIndex compares it with toml's own reading.
func lineIndex(text string) lines {
	s := scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, lines: lines{}, tables: map[string]int{}}
	table := ""
	for s.skipBlank(); !s.done(); s.skipBlank() {
		if s.peek() == '[' {
			table = s.header()
			continue
		}
		s.pair(table)
	}
	return s.lines
}

// joinKey appends one key part to a path, quoted where TOML wants quotes.
func joinKey(path, part string) string {
	name := toml.Key{part}.String()
	if path == "" {
		return name
	}
	return path + "." + name
}

func joinIndex(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

type scanner struct {
	text   string
	at     int // byte offset of the next character
	line   int
	lines  lines
	tables map[string]int // path of an array of tables -> number of its [[headers]] so far
}

func (s *scanner) done() bool { return s.at >= len(s.text) }

// peek returns 0 at the end; NUL is not valid TOML, so no text holds it.
func (s *scanner) peek() byte {
	if s.done() {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) step() {
	if s.done() {
		return
	}
	if s.peek() == '\n' {
		s.line++
	}
	s.at++
}

func (s *scanner) note(path string) {
	if _, known := s.lines[path]; !known {
		s.lines[path] = s.line
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table that it opens.
func (s *scanner) header() string {
	s.step()
	array := s.peek() == '['
	if array {
		s.step()
	}
	parts := s.key()
	path := ""
	for i, part := range parts {
		path = joinKey(path, part)
		s.note(path)
		last := i == len(parts)-1
		if array && last {
			s.tables[path]++
		}
		if n := s.tables[path]; n > 0 { // a header below an array of tables means its newest element
			path = joinIndex(path, n-1)
			s.note(path)
		}
	}
	for s.peek() == ']' {
		s.step()
	}
	return path
}

// pair reads key = value.
func (s *scanner) pair(table string) {
	from := s.at
	path := table
	for _, part := range s.key() {
		path = joinKey(path, part)
		s.note(path)
	}
	if s.peek() == '=' {
		s.step()
	}
	s.skipBlank()
	s.value(path)
	if s.at == from { // not TOML: leave rather than stand still
		s.at = len(s.text)
	}
}

// key reads a dotted key up to and including the blanks behind it.
func (s *scanner) key() []string {
	var parts []string
	for !s.done() {
		s.skipBlank()
		parts = append(parts, s.keyPart())
		s.skipBlank()
		if s.peek() != '.' {
			break
		}
		s.step()
	}
	return parts
}

func (s *scanner) keyPart() string {
	from := s.at
	switch s.peek() {
	case '\'':
		s.quoted('\'')
		return strings.Trim(s.text[from:s.at], "'")
	case '"':
		s.quoted('"')
		var doc struct{ K string } // toml undoes its own escapes
		if _, err := toml.Decode("K = "+s.text[from:s.at], &doc); err != nil {
			return s.text[from:s.at]
		}
		return doc.K
	}
	for strings.IndexByte(" \t\r\n.=[]{},#\"'", s.peek()) < 0 && !s.done() {
		s.step()
	}
	return s.text[from:s.at]
}

func (s *scanner) value(path string) {
	switch s.peek() {
	case '"', '\'':
		s.quoted(s.peek())
	case '[':
		s.list(path, ']', func(i int) {
			s.note(joinIndex(path, i))
			s.value(joinIndex(path, i))
		})
	case '{':
		s.list(path, '}', func(int) { s.pair(path) })
	default: // number, boolean, date: none holds a character that may follow a value
		for strings.IndexByte(",]}#\n", s.peek()) < 0 && !s.done() {
			s.step()
		}
	}
}

// list reads the comma-separated inside of an array or inline table, which may run over lines and hold comments.
func (s *scanner) list(path string, end byte, item func(i int)) {
	s.step()
	for i := 0; !s.done(); i++ {
		s.skipBlank()
		if s.peek() == end {
			break
		}
		item(i)
		s.skipBlank()
		if s.peek() != ',' {
			break
		}
		s.step()
	}
	if s.peek() == end {
		s.step()
	}
}

// quoted reads a string of any of the four kinds, its quotes included.
func (s *scanner) quoted(quote byte) {
	long := strings.HasPrefix(s.text[s.at:], strings.Repeat(string(quote), 3))
	width := 1
	if long {
		width = 3
	}
	for range width {
		s.step()
	}
	end := strings.Repeat(string(quote), width)
	for !s.done() && !strings.HasPrefix(s.text[s.at:], end) {
		if s.peek() == '\\' && quote == '"' {
			s.step()
		}
		s.step()
	}
	for range width {
		s.step()
	}
	for extra := 0; long && extra < 2 && s.peek() == quote; extra++ { // """a""""" ends in two quotes of its own
		s.step()
	}
}

// skipBlank passes blanks, line ends and comments.
func (s *scanner) skipBlank() {
	for !s.done() {
		switch s.peek() {
		case ' ', '\t', '\r', '\n':
			s.step()
		case '#':
			for !s.done() && s.peek() != '\n' {
				s.step()
			}
		default:
			return
		}
	}
}
