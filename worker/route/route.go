// Package route sends names to pools by suffix: the longest configured suffix of a name decides. A Table is immutable once built and is
// read by all workers; Lookup allocates nothing.
//
// Names and suffixes are in wire form without compression, lower case, with the root's zero at the end: \x04corp\x07example\x00.
package route

import "fmt"

// Table maps suffixes to pools.
type Table struct {
	pools  map[string]uint8
	labels int // of the longest suffix
}

// labelsMax is how many labels a name can have: RFC 1035 §2.3.4 allows 255 bytes, two for each.
const labelsMax = 127

// New returns an empty table.
func New() *Table { return &Table{pools: map[string]uint8{}} }

// Add sends all names that end in suffix, itself included, to pool. A suffix that is there already, or is no name, is an error.
func (t *Table) Add(suffix []byte, pool uint8) error {
	labels := 0
	for at := 0; ; labels++ {
		if at >= len(suffix) || labels > labelsMax {
			return fmt.Errorf("suffix %q is not a name", suffix)
		}
		if suffix[at] == 0 {
			break
		}
		at += 1 + int(suffix[at])
	}
	if _, twice := t.pools[string(suffix)]; twice {
		return fmt.Errorf("suffix %q stands twice", suffix)
	}
	t.pools[string(suffix)] = pool
	t.labels = max(t.labels, labels)
	return nil
}

// Len returns how many suffixes there are.
func (t *Table) Len() int { return len(t.pools) }

// Lookup returns the pool of the longest suffix of name. Only as many labels are looked at as the longest suffix has, so that long names
// from the network cost no more than others.
func (t *Table) Lookup(name []byte) (pool uint8, ok bool) {
	var starts [labelsMax + 1]uint8
	n := 0
	for at := 0; at < len(name) && n < len(starts); at += 1 + int(name[at]) {
		starts[n] = uint8(at)
		n++
		if name[at] == 0 {
			break
		}
	}
	for i := max(0, n-1-t.labels); i < n; i++ {
		if pool, ok = t.pools[string(name[starts[i]:])]; ok {
			return pool, true
		}
	}
	return 0, false
}
