package config

import (
	"maps"
	"slices"
	"strings"
)

// A file has one of two forms: ours, or that of the original secure-dns-proxy, whose files must go on working. Some keys are in
// both; forms holds what only one of them has.
type forms struct {
	ours, original, neither []value
}

func (f *File) forms() forms {
	var s forms
	s.sort(f, "", f.tree)
	return s
}

func (s *forms) sort(f *File, name string, table map[string]any) {
	for _, part := range slices.Sorted(maps.Keys(table)) {
		path := joinKey(name, part)
		v := f.value(path, table[part])
		ours := slices.ContainsFunc(keys, func(k key[Checked]) bool { return k.name == path })
		_, theirs := originalKeyOf(path)
		sub, isSub := v.data.(map[string]any)
		switch {
		case ours && theirs:
		case ours:
			s.ours = append(s.ours, v)
		case theirs, path == "upstreams" && oldUpstreams(v):
			s.original = append(s.original, v)
		case isSub && isOriginalTable(path) && len(sub) == 0 && !isTable(path):
			s.original = append(s.original, v)
		case isSub && (isOriginalTable(path) || isTable(path)):
			s.sort(f, path, sub)
		default:
			s.neither = append(s.neither, v)
		}
	}
}

func isOriginalTable(path string) bool {
	return slices.ContainsFunc(originalKeys, func(k originalKey) bool { return strings.HasPrefix(k.name, path+".") })
}

// oldUpstreams: early versions of the original wrote [[upstreams]], a table for each.
func oldUpstreams(v value) bool {
	items, isList := v.list()
	if !isList || len(items) == 0 {
		return false
	}
	_, tables := items[0].data.(map[string]any)
	return tables
}

// mixed refuses a file with keys of both forms: it cannot be known which the writer had in mind. What the file calls its upstreams
// decides which form the messages take it for.
func (c *checker) mixed(s forms) {
	if v := c.written("upstream"); v.line > 0 {
		for _, old := range s.original {
			now := "what it stands for"
			if k, ok := originalKeyOf(old.path); ok {
				now = k.now
			}
			c.fault(old, "is a key of the original secure-dns-proxy, but upstream on line %d is of the new form: write %s", v.line, now)
		}
		return
	}
	first := s.original[0]
	if v := c.written("upstreams"); v.line > 0 {
		first = v
	}
	for _, v := range s.ours {
		c.fault(v, "is a key of the new form, but %s on line %d is of the original secure-dns-proxy: turn the file into the new form first, with --migrate", first.path, first.line)
	}
}
