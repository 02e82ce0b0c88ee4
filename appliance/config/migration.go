package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// migration translates one file from the original's form into ours.
//
// What the original took for a key that is not written is carried over as if it were, since the defaults of the two differ. Every
// key of ours that comes out has the line of the key it was made from, and problems name that one. Where we do something else than
// the original did, there is a warning that says what.
type migration struct {
	*checker // of the file as written

	all      []moved             // its upstreams
	values   map[string]value    // every key of originalKeys, as written or with the original's default
	out      *File               // what it becomes
	comments map[string][]string // by key of out: what a reader of the new file should know
}

// modern returns f in our form, which is f itself unless it is in the original's.
func (f *File) modern(m machine) (*File, Problems) {
	s := f.forms()
	if len(s.original) == 0 {
		return f, nil
	}
	mig := newMigration(f, s, m)
	return mig.out, mig.problems.sorted()
}

func newMigration(f *File, s forms, m machine) *migration {
	mig := &migration{
		checker:  &checker{file: f, machine: m},
		values:   map[string]value{},
		out:      &File{Name: f.Name, tree: map[string]any{}, lines: lines{}, origins: map[string]string{}},
		comments: map[string][]string{},
	}
	if len(s.ours) > 0 {
		mig.mixed(s)
		return mig
	}
	for _, v := range s.neither {
		mig.unknown(v)
	}
	for _, k := range originalKeys {
		mig.values[k.name] = mig.valueOf(k)
	}
	for _, step := range []func(){
		mig.listen, mig.upstreams, mig.choice, mig.names, mig.refresh, mig.cache, mig.timeouts, mig.limits, mig.checks, mig.operation,
	} {
		step()
	}
	return mig
}

// unknown shadows the checker's: the nearest name is one of the original's.
func (m *migration) unknown(v value) {
	_, table := v.data.(map[string]any)
	switch {
	case isOriginalTable(v.path):
		m.fault(v, "must be a table, written [%s], not %s", v.path, v.kind())
	case table:
		m.fault(v, "unknown table, which the original ignored; the nearest of its tables is [%s]", nearest(v.path, originalTables()))
	default:
		m.fault(v, "unknown key, which the original ignored; the nearest of its keys is %q", nearest(v.path, originalNames()))
	}
}

// valueOf is what the file has for k, or the original's default, which has no line.
func (m *migration) valueOf(k originalKey) value {
	v := value{path: k.name}
	if k.standard != "" {
		var doc struct{ V any }
		if _, err := toml.Decode("V = "+k.standard, &doc); err != nil {
			panic(fmt.Sprintf("config: the original's default of %s is not TOML: %v", k.name, err))
		}
		v.data = doc.V
	}
	data, given := find(m.file.tree, k.name)
	if !given {
		return v
	}
	written := m.file.value(k.name, data)
	if !k.kind.fits(written) {
		m.fault(written, "must be %s, not %s", k.kind, written.kind())
		return v
	}
	if text, isText := data.(string); isText && k.kind == aDuration {
		if _, err := time.ParseDuration(text); err != nil {
			m.fault(written, `%q is not a duration: write "3s", "250ms", "5m" or "1h"`, text)
			return v
		}
	}
	return written
}

// find follows a dotted path down the tables of a tree.
func find(tree map[string]any, path string) (any, bool) {
	name, rest, deeper := strings.Cut(path, ".")
	data, given := tree[name]
	if !deeper || !given {
		return data, given
	}
	sub, _ := data.(map[string]any)
	return find(sub, rest)
}

func (k originalKind) fits(v value) bool {
	_, isText := v.data.(string)
	_, isInteger := v.data.(int64)
	switch k {
	case aString:
		return isText
	case anInteger:
		return isInteger
	case aBoolean:
		_, is := v.data.(bool)
		return is
	case aDuration:
		return isText || isInteger
	case aList:
		_, is := v.list()
		return is
	case aTable:
		_, is := v.data.(map[string]any)
		return is
	}
	return true
}

func (v value) written() bool { return v.line > 0 }

func (m *migration) textOf(name string) string   { s, _ := m.values[name].data.(string); return s }
func (m *migration) integerOf(name string) int64 { n, _ := m.values[name].data.(int64); return n }
func (m *migration) booleanOf(name string) bool  { b, _ := m.values[name].data.(bool); return b }

// durationOf reads what valueOf has found to be a duration.
func (m *migration) durationOf(name string) time.Duration {
	d, err := time.ParseDuration(m.textOf(name))
	if err != nil {
		return time.Duration(m.integerOf(name)) // nanoseconds
	}
	return d
}

// positive is durationOf with a stand-in for what the original took zero and less for.
func (m *migration) positive(name string, standin time.Duration) time.Duration {
	d := m.durationOf(name)
	if d <= 0 {
		m.warn(m.values[name], "stands for %s, as it did in the original", durationText(standin))
		return standin
	}
	return d
}

// set writes a key of ours that is made from a key of the original.
func (m *migration) set(path string, data any, from value) {
	table := m.out.tree
	parts := strings.Split(path, ".")
	for _, part := range parts[:len(parts)-1] {
		sub, ok := table[part].(map[string]any)
		if !ok {
			sub = map[string]any{}
			table[part] = sub
		}
		table = sub
	}
	table[parts[len(parts)-1]] = data
	m.place(path, from)
	if from.path != path && from.written() {
		m.comments[path] = append(m.comments[path], was(from))
	}
}

func was(v value) string { return "Was " + v.path + "." }

// setDuration is set for a value that durationKey reads.
func (m *migration) setDuration(path string, d time.Duration, from value) {
	m.set(path, durationText(d), from)
}

// keep copies a key that both forms have with one meaning.
func (m *migration) keep(name string) {
	v := m.values[name]
	if table, isTable := v.data.(map[string]any); v.data == nil || isTable && len(table) == 0 {
		return
	}
	m.set(name, v.data, v)
	for path, line := range m.file.lines {
		if strings.HasPrefix(path, name+".") || strings.HasPrefix(path, name+"[") {
			m.out.lines[path] = line
		}
	}
}

// place says where a path of the new form comes from.
func (m *migration) place(path string, from value) {
	m.out.lines[path] = from.line
	if from.path != path {
		m.out.origins[path] = from.path
	}
}

// differ warns that path does not do quite what the key v did, and says so in the new file too.
func (m *migration) differ(v value, path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !v.written() {
		text = fmt.Sprintf("%v, the original's default, ", v.data) + text
	}
	m.warn(v, "%s", text)
	others := slices.DeleteFunc(m.comments[path], func(c string) bool { return c == was(v) })
	m.comments[path] = append(others, v.path+": "+text+".")
}

// share is each worker's part of n, rounded up.
func (m *migration) share(n int64) int64 {
	workers := int64(m.machine.workers())
	return (n + workers - 1) / workers
}
