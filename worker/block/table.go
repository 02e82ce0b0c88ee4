package block

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Table finds what is blocked. The zero value, and nil, block nothing.
type Table struct {
	sources *bart.Table[*Entry] // nil: none
	names   map[string]*Entry
	labels  int // of the longest name
	entries []*Entry
}

// New makes a table of entries. Errors: too many, a source or name that stands twice, a name that is none.
func New(entries []*Entry) (*Table, error) {
	if len(entries) > EntriesMax {
		return nil, fmt.Errorf("block: %d entries: want at most %d", len(entries), EntriesMax)
	}
	t := &Table{entries: entries}
	for _, e := range entries {
		if e.Prefix.IsValid() {
			if t.sources == nil {
				t.sources = new(bart.Table[*Entry])
			}
			if _, twice := t.sources.Get(e.Prefix); twice {
				return nil, fmt.Errorf("block: %v stands twice", e.Prefix)
			}
			t.sources.Insert(e.Prefix, e)
			continue
		}
		if err := t.addName(e); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Table) addName(e *Entry) error {
	labels, at := 0, 0
	for ; at < len(e.Name) && e.Name[at] != 0; at += 1 + int(e.Name[at]) {
		labels++
	}
	if at != len(e.Name)-1 || len(e.Name) > nameBytesMax {
		return fmt.Errorf("block: %q is no name", e.Name)
	}
	if t.names == nil {
		t.names = map[string]*Entry{}
	}
	if t.names[string(e.Name)] != nil {
		return fmt.Errorf("block: name %q stands twice", e.Name)
	}
	t.names[string(e.Name)] = e
	t.labels = max(t.labels, labels)
	return nil
}

// nameBytesMax is RFC 1035 §2.3.4.
const nameBytesMax = 255

// Entries are what the table was made of; not to be changed.
func (t *Table) Entries() []*Entry {
	if t == nil {
		return nil
	}
	return t.entries
}

// HasSources reports whether any source is blocked.
func (t *Table) HasSources() bool { return t != nil && t.sources != nil }

// HasNames reports whether any name is blocked.
func (t *Table) HasNames() bool { return t != nil && t.names != nil }

// Source returns the entry that blocks a source, with the longest prefix; nil if it is not blocked.
func (t *Table) Source(addr netip.Addr) *Entry {
	e, _ := t.sources.Lookup(addr)
	return e
}

// Name returns the entry that blocks a name, which is in wire form and lower case, the longest one; nil if it is not blocked.
func (t *Table) Name(name []byte) *Entry {
	var starts [nameBytesMax]uint8
	labels := 0
	for at := 0; at < len(name) && name[at] != 0; at += 1 + int(name[at]) {
		starts[labels] = uint8(at)
		labels++
	}
	for depth := min(labels, t.labels); depth > 0; depth-- {
		if e := t.names[string(name[starts[labels-depth]:])]; e != nil {
			return e
		}
	}
	return t.names[rootName]
}

// rootName is the root in wire form: to block it is to answer from the cache alone.
const rootName = "\x00"
