package dot

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"secure-dns-proxy/transport"
)

// table is the outstanding queries of one connection, by id. The connection's lock guards it.
//
// An id is a permutation of entry index and turn: id = factor × (turn<<13 | index) + offset, modulo 65536, with factor (odd) and offset
// random for each connection. The turn of an entry changes each time it is freed, so an id comes back after 8 uses of its entry.
type table struct {
	chunks                  []*[chunkEntries]entry
	free                    []uint16 // indexes, last freed first: the memory in use follows the load
	factor, inverse, offset uint16
	live                    int // queries that are owed a reply
	kept                    int // queries whose deadline passed, waiting out their grace
}

type entryState uint8

const (
	entryFree entryState = iota
	entryLive            // owed a reply
	entryKept            // replied to at its deadline; the id is not free yet
)

// entry is one query and what was sent for it, kept to compare the answer with and to send it again if the server hangs up.
type entry struct {
	slot, gen uint32
	deadline  time.Duration // since Base
	end       uint16        // of the question section in query
	size      uint16        // bytes of query
	turn      uint8
	state     entryState
	resent    uint8 // how often it was sent before, on connections that are gone
	query     [transport.QueryBytesMax]byte
}

// due names a query that is owed a reply no longer held in a table.
type due struct{ slot, gen uint32 }

// init chooses the permutation.
func (t *table) init() {
	t.factor = uint16(rand.Uint32()) | 1
	t.offset = uint16(rand.Uint32())
	t.inverse = t.factor // right in 3 bits for any odd number; each step of Newton's iteration doubles them
	for range 3 {
		t.inverse *= 2 - t.factor*t.inverse
	}
}

// used returns how many ids are taken.
func (t *table) used() int { return t.live + t.kept }

// at returns the entry of index, which exists.
func (t *table) at(index uint16) *entry { return &t.chunks[index/chunkEntries][index%chunkEntries] }

// add takes an id for r, whose question ends at end, and copies it. False: outstandingMax are taken.
func (t *table) add(r transport.Request, end int, resent uint8) (id uint16, ok bool) {
	if len(t.free) == 0 && !t.grow() {
		return 0, false
	}
	index := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	e := t.at(index)
	e.slot, e.gen, e.deadline, e.end, e.size = r.Slot, r.Gen, r.Deadline, uint16(end), uint16(len(r.Query))
	e.state, e.resent = entryLive, resent
	copy(e.query[:], r.Query)
	t.live++
	return t.factor*(uint16(e.turn)<<indexBits|index) + t.offset, true
}

// grow adds a chunk of free entries; false if outstandingMax exist.
func (t *table) grow() bool {
	first := len(t.chunks) * chunkEntries
	if first == outstandingMax {
		return false
	}
	t.chunks = append(t.chunks, new([chunkEntries]entry))
	for i := chunkEntries - 1; i >= 0; i-- {
		t.free = append(t.free, uint16(first+i))
	}
	return true
}

// find returns the entry that has id, live or kept, or nil.
func (t *table) find(id uint16) (*entry, uint16) {
	x := (id - t.offset) * t.inverse
	index := x & (outstandingMax - 1)
	if int(index) >= len(t.chunks)*chunkEntries {
		return nil, 0
	}
	e := t.at(index)
	if e.state == entryFree || uint16(e.turn) != x>>indexBits {
		return nil, 0
	}
	return e, index
}

// release frees the entry of index.
func (t *table) release(e *entry, index uint16) {
	if e.state == entryLive {
		t.live--
	} else {
		t.kept--
	}
	e.state = entryFree
	e.turn = (e.turn + 1) & (1<<(16-indexBits) - 1)
	t.free = append(t.free, index)
}

// verdict is what an answer turned out to be.
type verdict uint8

const (
	unmatched  verdict = iota // nobody asked, or nobody waits any more
	mismatched                // the query is gone from the table and fails: the answer is to another question, or none
	matched                   // the query is gone from the table and this is its answer
)

// match finds the query that msg, at least 12 bytes, answers, and takes it out of the table.
func (t *table) match(msg []byte) (due, verdict) {
	e, index := t.find(binary.BigEndian.Uint16(msg))
	if e == nil {
		return due{}, unmatched
	}
	state, fits := e.state, transport.Answers(e.query[:e.size], int(e.end), msg)
	if state == entryKept && !fits {
		return due{}, unmatched
	}
	t.release(e, index)
	switch {
	case state == entryKept:
		return due{}, unmatched
	case !fits:
		return due{e.slot, e.gen}, mismatched
	}
	return due{e.slot, e.gen}, matched
}

// expire appends to late the queries whose deadline has passed, keeping their ids, and frees the ids kept for grace.
func (t *table) expire(now, grace time.Duration, late []due) []due {
	if t.used() == 0 {
		return late
	}
	for i, chunk := range t.chunks {
		for j := range chunk {
			e := &chunk[j]
			switch {
			case e.state == entryLive && now >= e.deadline:
				e.state = entryKept
				t.live--
				t.kept++
				late = append(late, due{e.slot, e.gen})
			case e.state == entryKept && now >= e.deadline+grace:
				t.release(e, uint16(i*chunkEntries+j))
			}
		}
	}
	return late
}

// drain calls f for every live query and empties the table.
func (t *table) drain(f func(e *entry)) {
	for i, chunk := range t.chunks {
		for j := range chunk {
			e := &chunk[j]
			if e.state == entryLive {
				f(e)
			}
			if e.state != entryFree {
				t.release(e, uint16(i*chunkEntries+j))
			}
		}
	}
}
