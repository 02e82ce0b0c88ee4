package transport

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"
)

// A record is a 32-byte header and its payload, padded to a multiple of 32 bytes and never split at the end of the ring: what is
// left there is skipped. Header: payload bytes (4), fault (4), slot (4), generation (4), deadline (8), unused (8), native order.
//
// Because records are aligned to the header's size, a record without payload fits wherever 32 bytes are free. Lane relies on that.
const (
	recordAlign = 32
	skipMark    = ^uint32(0) // in place of the payload bytes: go on at the start of the ring
	cacheLines  = 128        // two lines, because the adjacent one is prefetched with each
)

// One of these stands for the fault of a record in the queue of queries that has no query: see Lane.Cancel.
const (
	cancelMark = FaultCount + iota
	cancelLateMark
)

// record is the header of one record, decoded.
type record struct {
	slot, gen uint32
	fault     Fault
	deadline  int64
}

// recordBytes returns what a record with n bytes of payload takes up.
func recordBytes(n int) uint64 {
	return uint64(recordAlign + (n+recordAlign-1)&^(recordAlign-1))
}

// Queue is a ring of variable-size records between one producer and one consumer, each on any thread. Neither side locks,
// waits or allocates. What the producer puts is invisible until it publishes. Each side's own words and the word it shows to the
// other lie on lines of their own.
type Queue struct {
	ring []byte
	mask uint64
	_    [cacheLines]byte

	// producer
	tail     uint64 // end of the last record put
	headSeen uint64 // released, when last looked at
	_        [cacheLines]byte

	published atomic.Uint64 // producer → consumer: records up to here are complete
	_         [cacheLines]byte

	// consumer
	head     uint64 // first record not taken; the view handed out last ends here
	tailSeen uint64 // published, when last looked at
	shown    uint64 // released, as last stored
	_        [cacheLines]byte

	released atomic.Uint64 // consumer → producer: bytes before this may be overwritten
	_        [cacheLines]byte
}

// newQueue returns an empty queue over a ring of the given size, a power of two of at least 4 KiB.
func newQueue(bytes int) (*Queue, error) {
	if bytes < 4096 || bytes&(bytes-1) != 0 {
		return nil, fmt.Errorf("queue of %d bytes: want a power of two of at least 4096", bytes)
	}
	return &Queue{ring: make([]byte, bytes), mask: uint64(bytes - 1)}, nil
}

// NewQueue returns an empty queue over a ring of the given size, a power of two of at least 4 KiB.
func NewQueue(bytes int) (*Queue, error) { return newQueue(bytes) }

// Put copies payload, which came at a time since Base, into the ring; false if there is no room. Producer only; no allocation.
func (q *Queue) Put(at time.Duration, payload []byte) bool {
	return q.put(record{deadline: int64(at)}, payload, 0)
}

// Publish makes everything put so far visible to the consumer. It reports whether there was anything new. Producer only.
func (q *Queue) Publish() bool { return q.publish() }

// Take returns the next published payload, which the consumer may modify and which is valid until the next Take, and its time. Consumer only.
func (q *Queue) Take() (at time.Duration, payload []byte, ok bool) {
	r, payload, ok := q.take()
	return time.Duration(r.deadline), payload, ok
}

// Empty reports whether the consumer has taken everything that is published. Consumer only.
func (q *Queue) Empty() bool { return q.empty() }

// put copies one record into the ring if that leaves spare bytes free; false if it does not.
func (q *Queue) put(r record, payload []byte, spare uint64) bool {
	need, at := recordBytes(len(payload)), q.tail&q.mask
	skip := uint64(0)
	if left := uint64(len(q.ring)) - at; need > left {
		skip = left
	}
	end := q.tail + skip + need
	if end+spare-q.headSeen > uint64(len(q.ring)) {
		q.headSeen = q.released.Load()
		if end+spare-q.headSeen > uint64(len(q.ring)) {
			return false
		}
	}
	if skip != 0 {
		binary.NativeEndian.PutUint32(q.ring[at:], skipMark)
		at = 0
	}
	h := q.ring[at : at+recordAlign : at+recordAlign]
	binary.NativeEndian.PutUint32(h[0:], uint32(len(payload)))
	binary.NativeEndian.PutUint32(h[4:], uint32(r.fault))
	binary.NativeEndian.PutUint32(h[8:], r.slot)
	binary.NativeEndian.PutUint32(h[12:], r.gen)
	binary.NativeEndian.PutUint64(h[16:], uint64(r.deadline))
	copy(q.ring[at+recordAlign:], payload)
	q.tail = end
	return true
}

// publish makes everything put so far visible to the consumer. It reports whether there was anything new.
func (q *Queue) publish() bool {
	if q.published.Load() == q.tail {
		return false
	}
	q.published.Store(q.tail)
	return true
}

// take returns the next published record and a view of its payload, which the consumer may modify and which is valid until the
// next take. Space goes back to the producer when the queue has been seen empty, or a quarter of it has been taken.
func (q *Queue) take() (r record, payload []byte, ok bool) {
	if q.head == q.tailSeen {
		q.release()
		q.tailSeen = q.published.Load()
		if q.head == q.tailSeen {
			return record{}, nil, false
		}
	} else if q.head-q.shown > uint64(len(q.ring))/4 {
		q.release()
	}
	at := q.head & q.mask
	size := binary.NativeEndian.Uint32(q.ring[at:])
	if size == skipMark {
		q.head += uint64(len(q.ring)) - at
		at = 0
		size = binary.NativeEndian.Uint32(q.ring)
	}
	h := q.ring[at : at+recordAlign : at+recordAlign]
	r = record{
		fault:    Fault(binary.NativeEndian.Uint32(h[4:])),
		slot:     binary.NativeEndian.Uint32(h[8:]),
		gen:      binary.NativeEndian.Uint32(h[12:]),
		deadline: int64(binary.NativeEndian.Uint64(h[16:])),
	}
	q.head += recordBytes(int(size))
	begin := at + recordAlign
	return r, q.ring[begin : begin+uint64(size) : begin+uint64(size)], true
}

// release lets the producer overwrite everything before head.
func (q *Queue) release() {
	if q.shown != q.head {
		q.shown = q.head
		q.released.Store(q.head)
	}
}

// empty reports whether the consumer has taken everything that is published. Consumer only.
func (q *Queue) empty() bool { return q.published.Load() == q.head }
