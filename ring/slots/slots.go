// Package slots is a table of fixed size whose entries are named by handles that go stale: index in the low bits,
// generation above. Both engines keep their sockets in one. It is not safe for concurrent use.
package slots

// IndexBits is the width of the index in a handle; the remaining 12 bits are the generation, 1..4095, so 0 names nothing.
const IndexBits = 20

const (
	indexMask      = 1<<IndexBits - 1
	generationsMax = 1<<(32-IndexBits) - 1
)

// Table holds values of T, which must not contain pointers, so that the garbage collector never scans it. Free entries are
// reused in the order they were released, and only after every entry was used once: a stale handle is recognised for
// at least 4094 full rounds of the table.
type Table[T any] struct {
	entries []entry[T]
	used    uint32 // entries handed out at least once
	first   uint32 // released entries, oldest first; len(entries) = none
	last    uint32
	live    int
}

type entry[T any] struct {
	handle uint32 // 0 while free
	past   uint32 // last handle, for the next generation
	next   uint32 // in the list of released entries
	value  T
}

// New makes a table of n entries, 1..2^20.
func New[T any](n int) *Table[T] {
	return &Table[T]{entries: make([]entry[T], n), first: uint32(n), last: uint32(n)}
}

// Open takes a free entry, zeroed, and returns its handle. false when the table is full.
func (t *Table[T]) Open() (uint32, *T, bool) {
	none := uint32(len(t.entries))
	i := t.used
	switch {
	case t.used < none:
		t.used++
	case t.first != none:
		i = t.first
		t.first = t.entries[i].next
	default:
		return 0, nil, false
	}
	e := &t.entries[i]
	generation := e.past>>IndexBits + 1
	if generation > generationsMax {
		generation = 1
	}
	e.handle = generation<<IndexBits | i
	t.live++
	return e.handle, &e.value, true
}

// Get returns the value of a handle, or nil when the handle is stale or was never given out. Valid until Release.
func (t *Table[T]) Get(handle uint32) *T {
	i := handle & indexMask
	if int(i) >= len(t.entries) {
		return nil
	}
	e := &t.entries[i]
	if e.handle != handle || handle == 0 {
		return nil
	}
	return &e.value
}

// Release frees the entry of a live handle. A stale handle is ignored.
func (t *Table[T]) Release(handle uint32) {
	i := handle & indexMask
	if t.Get(handle) == nil {
		return
	}
	none := uint32(len(t.entries))
	t.entries[i] = entry[T]{past: handle, next: none}
	if t.first == none {
		t.first = i
	} else {
		t.entries[t.last].next = i
	}
	t.last = i
	t.live--
}

// Len is the number of entries in use.
func (t *Table[T]) Len() int { return t.live }

// Next walks the table: the smallest live handle at or after index i, with the index to go on from; 0 at the end.
func (t *Table[T]) Next(i uint32) (handle, next uint32) {
	for ; i < t.used; i++ {
		if h := t.entries[i].handle; h != 0 {
			return h, i + 1
		}
	}
	return 0, i
}
