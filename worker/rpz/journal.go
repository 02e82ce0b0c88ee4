package rpz

import (
	"net/netip"
	"sync/atomic"
)

// Hit is a trigger that fitted a query, to be logged.
type Hit struct {
	Policy  *Policy
	Trigger Trigger
	Action  Action // of the policy after its override; of a disabled one: what the zone says
	Client  netip.Addr
	Type    uint16 // of the question

	length uint8
	name   [nameBytesMax]byte
}

// Name is the question's, in wire form: a view of the hit.
func (h *Hit) Name() []byte { return h.name[:h.length] }

// Journal takes hits from one worker to one reader, without locks. What finds no room is counted.
type Journal struct {
	hits    [JournalMax]Hit
	_       [64]byte
	written atomic.Uint64 // by the worker
	lost    atomic.Uint64
	_       [64]byte
	read    atomic.Uint64 // by the reader
}

// Write notes a hit; a worker's. name is copied.
func (j *Journal) Write(p *Policy, m *Match, client netip.Addr, qtype uint16, name []byte) {
	at := j.written.Load()
	if at-j.read.Load() == JournalMax { // pairs with the store in Read: the reader is done with what it has counted
		j.lost.Store(j.lost.Load() + 1)
		return
	}
	h := &j.hits[at%JournalMax]
	h.Policy, h.Trigger, h.Action, h.Client, h.Type = p, m.Trigger, m.Action, client, qtype
	h.length = uint8(copy(h.name[:], name))
	j.written.Store(at + 1) // pairs with the load in Read
}

// Read calls yield for each hit since the last call, and returns how many found no room since the start. One goroutine at a time.
func (j *Journal) Read(yield func(*Hit)) (lost uint64) {
	at := j.read.Load()
	for end := j.written.Load(); at != end; at++ {
		h := &j.hits[at%JournalMax]
		yield(h)
		h.Policy = nil // or a zone that has gone would stay in memory
		j.read.Store(at + 1)
	}
	return j.lost.Load()
}
