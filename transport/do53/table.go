package do53

import (
	crand "crypto/rand"
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// Config sizes a table, for its whole life.
type Config struct {
	Exchanges int // outstanding at the same time, 1 to ExchangesMax
}

// Table holds the exchanges and sockets of one worker.
type Table struct {
	entries   []entry // open addressing, linear probing, at most half full
	shift     uint    // of the hash's high bits to a position
	exchanges int
	most      int

	sockets []socket
	known   int // sockets from here on were never used
	ready   ready
	scanAt  int64

	random ids
	stats  Stats
}

// Stats counts since New.
type Stats struct {
	Wrong   uint64 // ids that matched no exchange on their socket: late, or forged
	Full    uint64 // Open refused
	Started uint64 // sockets
	Forced  uint64 // sockets stopped with exchanges outstanding
}

// entry is one exchange. 12 bytes, no pointers.
type entry struct {
	key  uint32 // exchangeKey | usedBit; 0: empty
	slot uint32
	gen  uint32
}

// usedBit marks an entry; sockets are below SocketsMax, so the bit is free.
const usedBit = 1 << 31

func keyOf(sock, id uint16) uint32 { return usedBit | uint32(sock)<<16 | uint32(id) }

// New makes a table. Errors: cfg out of range.
func New(cfg Config) (*Table, error) {
	if cfg.Exchanges < 1 || cfg.Exchanges > ExchangesMax {
		return nil, fmt.Errorf("%d exchanges: want 1 to %d", cfg.Exchanges, ExchangesMax)
	}
	log := bits.Len(uint(2*cfg.Exchanges - 1))
	t := &Table{
		entries: make([]entry, 1<<log),
		shift:   uint(32 - log),
		most:    cfg.Exchanges,
		sockets: make([]socket, SocketsMax),
		ready:   ready{queue: make([]uint16, SocketsMax)},
	}
	var seed [32]byte
	crand.Read(seed[:]) // Never fails: it ends the program instead.
	t.random.source = rand.NewChaCha8(seed)
	return t, nil
}

// Open starts an exchange on a socket in use, for the query in (slot, gen), under an id that nobody can predict and that no other
// exchange of this socket has. False: the table or the socket is full, or the socket is retired. No allocation.
func (t *Table) Open(sock uint16, slot, gen uint32) (id uint16, ok bool) {
	s := &t.sockets[sock]
	if s.state == retired || s.outstanding >= OutstandingPerSocketMax || t.exchanges == t.most {
		t.stats.Full++
		return 0, false
	}
	for range idTriesMax {
		id = t.random.next()
		at := t.find(keyOf(sock, id))
		if t.entries[at].key != 0 {
			continue
		}
		t.entries[at] = entry{key: keyOf(sock, id), slot: slot, gen: gen}
		t.exchanges++
		s.outstanding++
		s.uses++
		if s.state == inUse && s.uses == s.usesMost {
			t.enqueue(sock)
		}
		return id, true
	}
	t.stats.Full++
	return 0, false
}

// Match returns the exchange that an answer with this id on this socket belongs to, and leaves it open: the question has yet to be
// compared. Ids that belong to none are counted, and too many of them retire the socket. No allocation.
func (t *Table) Match(sock, id uint16) (slot, gen uint32, ok bool) {
	s := &t.sockets[sock]
	e := t.entries[t.find(keyOf(sock, id))]
	if e.key != 0 {
		return e.slot, e.gen, true
	}
	t.stats.Wrong++
	s.wrong++
	if s.wrong == wrongMax {
		t.enqueue(sock)
	}
	return 0, 0, false
}

// Close ends an exchange, answered or not; answers with its id are wrong from here on. It must be open.
func (t *Table) Close(sock, id uint16) {
	hole := t.find(keyOf(sock, id))
	if t.entries[hole].key == 0 {
		panic("do53: an exchange closed that is not open")
	}
	mask := uint32(len(t.entries) - 1)
	for at := (hole + 1) & mask; t.entries[at].key != 0; at = (at + 1) & mask {
		// An entry may move back to the hole only if that is not before its home: compare distances, which wrap with the table.
		if (at-t.home(t.entries[at].key))&mask >= (at-hole)&mask {
			t.entries[hole] = t.entries[at]
			hole = at
		}
	}
	t.entries[hole] = entry{}
	t.exchanges--
	s := &t.sockets[sock]
	s.outstanding--
	if s.outstanding == 0 && s.state == retired {
		t.enqueue(sock)
	}
}

// Len returns how many exchanges are open.
func (t *Table) Len() int { return t.exchanges }

// Outstanding returns how many exchanges are open on one socket.
func (t *Table) Outstanding(sock uint16) int { return int(t.sockets[sock].outstanding) }

// Stats returns the counters.
func (t *Table) Stats() Stats { return t.stats }

// find returns where the key is, or the empty entry where it belongs.
func (t *Table) find(key uint32) uint32 {
	mask := uint32(len(t.entries) - 1)
	at := t.home(key)
	for t.entries[at].key != 0 && t.entries[at].key != key {
		at = (at + 1) & mask
	}
	return at
}

// home spreads the keys by multiplication with the golden ratio; ids are random already, sockets are not.
func (t *Table) home(key uint32) uint32 { return key * 0x9E3779B1 >> t.shift }

// ids draws 16-bit numbers from ChaCha8, four from each of its outputs.
type ids struct {
	source *rand.ChaCha8
	bits   uint64
	left   int
}

func (r *ids) next() uint16 {
	if r.left == 0 {
		r.bits, r.left = r.source.Uint64(), 4
	}
	n := uint16(r.bits)
	r.bits >>= 16
	r.left--
	return n
}
