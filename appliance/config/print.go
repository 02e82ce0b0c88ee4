package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Migrate returns f, which is in the original's form, as TOML text in ours. The text is nil when a problem is an error.
func Migrate(f *File) ([]byte, Problems) { return migrateOn(f, thisMachine()) }

func migrateOn(f *File, m machine) ([]byte, Problems) {
	s := f.forms()
	if len(s.original) == 0 {
		return nil, Problems{{File: f.Name, Text: "has no key that only the original secure-dns-proxy had: nothing to migrate"}}
	}
	if _, problems := checkOn(f, m); problems.Broken() {
		return nil, problems
	}
	mig := newMigration(f, s, m)
	p := printer{file: mig.out, comments: mig.comments}
	p.wrap(fmt.Sprintf("Made by secure-dns-proxy --migrate from %s, for a machine with workers.count = %d. Every key that there is: proxy.toml.example.",
		f.Name, m.workers()))
	fmt.Fprintln(&p.out)
	p.table("")
	for _, name := range p.tables() {
		p.header("[" + name + "]")
		p.table(name)
	}
	p.pools()
	p.upstreams()
	return p.out.Bytes(), mig.problems.sorted()
}

// printer writes a tree of our form in the order of the key tables.
type printer struct {
	file     *File
	comments map[string][]string
	out      bytes.Buffer
}

// tables lists those that hold something, in the order of their first key.
func (p *printer) tables() []string {
	var names []string
	for _, k := range keys {
		name, _, nested := strings.Cut(k.name, ".")
		data, _ := p.file.tree[name].(map[string]any)
		if (nested || name == "hosts") && len(data) > 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// table writes the keys of one table, "" for those outside of any.
func (p *printer) table(name string) {
	if name == "hosts" {
		data, _ := p.file.tree[name].(map[string]any)
		for _, host := range slices.Sorted(maps.Keys(data)) {
			p.pair("", host, data[host])
		}
		return
	}
	for _, k := range keys {
		in, part, nested := strings.Cut(k.name, ".")
		if !nested {
			in, part = "", k.name
		}
		if in != name || k.name == "upstream" || k.name == "hosts" || k.name == "pool" {
			continue
		}
		if data, given := find(p.file.tree, k.name); given {
			p.pair(k.name, part, data)
		}
	}
}

func (p *printer) header(text string) { fmt.Fprintf(&p.out, "\n%s\n", text) }

// pair writes the comments of a path and one key.
func (p *printer) pair(path, name string, data any) {
	for _, c := range p.comments[path] {
		p.wrap(c)
	}
	fmt.Fprintf(&p.out, "%s = %s\n", toml.Key{name}, tomlText(data))
}

// wrap writes a comment in lines of at most commentWidth.
func (p *printer) wrap(text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > commentWidth && line != "#" {
			fmt.Fprintln(&p.out, line)
			line = "#"
		}
		line += " " + word
	}
	fmt.Fprintln(&p.out, line)
}

func (p *printer) pools() {
	all, _ := p.file.tree["pool"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		path := joinKey("pool", name)
		table, _ := all[name].(map[string]any)
		p.header("[" + path + "]")
		for _, k := range poolKeys {
			if data, given := table[k.name]; given {
				p.pair(joinKey(path, k.name), k.name, data)
			}
		}
	}
}

func (p *printer) upstreams() {
	all, _ := p.file.tree["upstream"].([]map[string]any)
	for i, table := range all {
		p.header("[[upstream]]")
		for _, k := range upstreamKeys {
			if data, given := table[k.name]; given {
				p.pair(joinKey(joinIndex("upstream", i), k.name), k.name, data)
			}
		}
	}
}

// tomlText is one value as TOML writes it.
func tomlText(data any) string {
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(map[string]any{"v": data}); err != nil {
		panic(fmt.Sprintf("config: %v (%T) cannot be written as TOML: %v", data, data, err))
	}
	return strings.TrimSpace(strings.TrimPrefix(b.String(), "v = "))
}
