package inflight

import (
	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
)

// Waiter is one client that waits for a slot's answer: all that its reply needs beside the answer. Plain value.
type Waiter struct {
	At        int64       // ns: when it asked
	Path      ring.Path   // UDP: where the reply goes
	Conn      uint32      // TCP: the stream.ConnID; of an alias: the number of the slot whose clients wait
	Socket    ring.Handle // UDP: the socket it asked on; of an alias: that slot's generation
	next      uint32      // number + 1 of the next in the same slot, or in the free list
	ID        uint16      // DNS id
	Flags     uint16      // header flags as sent
	Limit     uint16      // largest reply in bytes
	Extended  uint16      // as in wire.Client
	TTLHigh   uint32      // as in wire.Client
	HasOPT    bool
	DO        bool
	TCP       bool
	Alias     bool  // no client, but a slot whose clients wait for this answer
	Marks     Marks // what its options say
	Later     uint8 // what the caller has yet to do with the answer before this client gets it
	HasSubnet bool  // Subnet is what it sent (RFC 7871), and is told again
	Subnet    wire.Subnet
	Policy    uint8 // the caller's number for the rules whose tags Tags are
	Cookie    Cookie
	Tags      uint64   // that rules have given the query
	Case      [32]byte // wire.CaseBits of the name as it was spelled
}

// Marks is what the options of a client's query say beside its cookie.
type Marks uint8

const (
	AsksWho  Marks = 1 << iota // NSID
	Proven                     // its cookie is valid: it is where it asks from
	Replaced                   // upstreams are told another network than its own, so no scope is known of that
)

// Cookie is what the COOKIE option of a reply is made from.
type Cookie struct {
	Client [wire.ClientCookieBytes]byte
	Stamp  uint32 // Unix seconds, of the server's part; 0: the client sent no cookie
}

// AddWaiter appends a copy of w to the slot's waiters. False: the pool is empty or the slot has WaitersPerSlotMax.
func (t *Table) AddWaiter(slot uint32, w *Waiter) bool {
	s := t.At(slot)
	if s.WaiterCount == WaitersPerSlotMax {
		return false
	}
	link := t.takeWaiter()
	if link == 0 {
		return false
	}
	entry := &t.waiters[link-1]
	*entry = *w
	entry.next = 0
	if s.first == 0 {
		s.first = link
	} else {
		t.waiters[s.last-1].next = link
	}
	s.last = link
	s.WaiterCount++
	return true
}

// FirstWaiter returns the client that has waited longest, nil if there is none.
func (t *Table) FirstWaiter(slot uint32) *Waiter {
	return t.waiterAt(t.At(slot).first)
}

// NextWaiter returns the one after w in the same slot, nil after the last. w must come from FirstWaiter or NextWaiter.
func (t *Table) NextWaiter(w *Waiter) *Waiter {
	return t.waiterAt(w.next)
}

// DropWaiters takes all clients off a slot that goes on without them.
func (t *Table) DropWaiters(slot uint32) { t.freeWaiters(t.At(slot)) }

// WaiterLen returns how many clients wait in all slots together.
func (t *Table) WaiterLen() int { return t.waiterLen }

func (t *Table) waiterAt(link uint32) *Waiter {
	if link == 0 {
		return nil
	}
	return &t.waiters[link-1]
}

// takeWaiter returns number + 1 of a waiter that is in no list, 0 if all are in use. Used ones first: their memory is there already.
func (t *Table) takeWaiter() uint32 {
	link := t.waiterFree
	switch {
	case link != 0:
		t.waiterFree = t.waiters[link-1].next
	case t.waiterFresh < len(t.waiters):
		t.waiterFresh++
		link = uint32(t.waiterFresh)
	default:
		return 0
	}
	t.waiterLen++
	return link
}

// freeWaiters gives a slot's whole list back in one step.
func (t *Table) freeWaiters(s *Slot) {
	if s.first == 0 {
		return
	}
	t.waiters[s.last-1].next = t.waiterFree
	t.waiterFree = s.first
	t.waiterLen -= int(s.WaiterCount)
	s.first, s.last, s.WaiterCount = 0, 0, 0
}
