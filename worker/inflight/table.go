package inflight

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

// Config sizes a table, for its whole life. Memory is used only by what has been in use at the same time.
type Config struct {
	Slots   int // questions under way, 1 to SlotsMax
	Waiters int // clients waiting for them, 1 to WaitersMax; at least one per slot makes sense
}

func (c Config) validate() error {
	var errs []error
	if c.Slots < 1 || c.Slots > SlotsMax {
		errs = append(errs, fmt.Errorf("%d slots: want 1 to %d", c.Slots, SlotsMax))
	}
	if c.Waiters < 1 || c.Waiters > WaitersMax {
		errs = append(errs, fmt.Errorf("%d waiters: want 1 to %d", c.Waiters, WaitersMax))
	}
	return errors.Join(errs...)
}

// Table is the in-flight table of one worker. See the package for its parts and rules.
type Table struct {
	_ [128]byte // workers' tables may lie side by side: see worker's TestWorkersShareNoLine

	slots     []Slot
	slotFree  uint32 // number + 1 of the first free slot that has been used before
	slotFresh int    // slots from here on were never used
	slotLen   int

	waiters     []Waiter
	waiterFree  uint32
	waiterFresh int
	waiterLen   int

	index index
	wheel wheel
	maps  [][]byte

	_ [128]byte
}

// New maps a table. Errors: every value of cfg out of range, joined; the mapping's.
func New(cfg Config) (*Table, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("in-flight table: %w", err)
	}
	t := &Table{}
	entries := 1 << bits.Len(uint(2*cfg.Slots-1))
	err := errors.Join(
		mapArray(t, &t.slots, cfg.Slots),
		mapArray(t, &t.waiters, cfg.Waiters),
		mapArray(t, &t.index.entries, entries),
		mapArray(t, &t.wheel.nodes, wheelNodes(cfg.Slots)),
	)
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("in-flight table: %w", err)
	}
	t.index.mask = uint32(entries - 1)
	return t, nil
}

// Close unmaps the table; no pointer into it may be used any more.
func (t *Table) Close() error {
	var errs []error
	for _, m := range t.maps {
		errs = append(errs, sys.Unmap(m))
	}
	*t = Table{}
	return errors.Join(errs...)
}

// Find returns the open slot with this key. No allocation.
func (t *Table) Find(hash uint64, key []byte) (slot uint32, ok bool) {
	tag := tagOf(hash)
	for at := tag & t.index.mask; t.index.entries[at].link != 0; at = (at + 1) & t.index.mask {
		if e := t.index.entries[at]; e.tag == tag && t.slots[e.link-1].matches(hash, key) {
			return e.link - 1, true
		}
	}
	return 0, false
}

// FollowerOf returns an open slot of this hash that is Following. No allocation.
func (t *Table) FollowerOf(hash uint64) (slot uint32, ok bool) {
	tag := tagOf(hash)
	for at := tag & t.index.mask; t.index.entries[at].link != 0; at = (at + 1) & t.index.mask {
		if e := t.index.entries[at]; e.tag == tag {
			if s := &t.slots[e.link-1]; s.Hash == hash && s.Following {
				return e.link - 1, true
			}
		}
	}
	return 0, false
}

// Open takes a free slot for a key that has none (Find first: a second slot for one key would never be found and panics).
// key is 1 to wire.KeyBytesMax bytes and is copied. The slot has no waiter, no timer, and zero in all that the worker owns.
// False: all slots are open.
func (t *Table) Open(hash uint64, key []byte) (slot uint32, ok bool) {
	if len(key) == 0 || len(key) > wire.KeyBytesMax {
		panic("inflight: key of impossible length")
	}
	if _, found := t.Find(hash, key); found {
		panic("inflight: key is open already")
	}
	switch {
	case t.slotFree != 0:
		slot = t.slotFree - 1
		t.slotFree = t.slots[slot].nextFree
	case t.slotFresh < len(t.slots):
		slot = uint32(t.slotFresh)
		t.slotFresh++
	default:
		return 0, false
	}
	s := &t.slots[slot]
	gen := s.Gen + 1
	*s = Slot{}
	for i := range s.Exchanges {
		s.Exchanges[i].Upstream = NoUpstream
	}
	s.Hash, s.Gen, s.KeyLen = hash, gen, uint16(len(key))
	copy(s.Key[:], key)
	t.index.insert(hash, slot)
	t.slotLen++
	return slot, true
}

// At returns an open slot by its number. Valid until Release.
func (t *Table) At(slot uint32) *Slot { return &t.slots[slot] }

// Live returns the slot if it is open and still the same as when gen was read from it, nil otherwise. Any number may be asked for.
func (t *Table) Live(slot, gen uint32) *Slot {
	if slot >= uint32(len(t.slots)) {
		return nil
	}
	if s := &t.slots[slot]; s.Gen == gen && s.open() {
		return s
	}
	return nil
}

// Renew gives an open slot another generation: who was told of the old one does not know it any more.
func (t *Table) Renew(slot uint32) {
	s := &t.slots[slot]
	if !s.open() {
		panic("inflight: renewal of a free slot")
	}
	s.Gen += 2
}

// Release frees the slot and its waiters and cancels its timer. Its generation changes, so Live no longer knows it.
func (t *Table) Release(slot uint32) {
	s := &t.slots[slot]
	if !s.open() {
		panic("inflight: release of a free slot")
	}
	t.index.remove(s.Hash, slot)
	t.wheel.cancel(slot)
	t.freeWaiters(s)
	s.Gen++
	s.nextFree = t.slotFree
	t.slotFree = slot + 1
	t.slotLen--
}

// Schedule sets this slot's timer to fire at a time in ns, rounded up to TickNanos, in place of what it was set to. A time that is over
// fires at the next tick.
func (t *Table) Schedule(slot uint32, at int64) {
	if !t.slots[slot].open() {
		panic("inflight: timer of a free slot")
	}
	t.wheel.schedule(slot, at)
}

// NextTimer returns the time in ns at which the next timer may fire: never later than it does, now or earlier if one is due, -1 if
// none is set.
func (t *Table) NextTimer(now int64) int64 { return t.wheel.next(now) }

// Expired returns a slot whose timer has fired by now, and unschedules it. Call it until it says false: a slot that is scheduled
// again inside that loop comes at a later now, so the loop ends. now must not run backwards.
func (t *Table) Expired(now int64) (slot uint32, ok bool) { return t.wheel.expired(now) }

// Len returns how many slots are open.
func (t *Table) Len() int { return t.slotLen }

// mapArray makes *array a zeroed array of n values outside the Go heap, unmapped by Close. T must hold no Go pointer.
func mapArray[T any](t *Table, array *[]T, n int) error {
	var zero T
	m, err := sys.Map(n * int(unsafe.Sizeof(zero)))
	if err != nil {
		return err
	}
	t.maps = append(t.maps, m)
	*array = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m))), n)
	return nil
}
