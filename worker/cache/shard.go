package cache

import (
	"errors"
	"fmt"
	"math/bits"
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

// Config is what a shard is made from.
type Config struct {
	Bytes int64  // limit with everything counted, BytesMin to BytesMax; can be changed by SetLimit
	Ahead *Ahead // provides memory before it is touched; nil: nobody does
}

// Shard is the cache of one worker. Make it with New; one thread may use it at a time.
type Shard struct {
	_ [128]byte // workers' tables may lie side by side: see worker's TestWorkersShareNoLine

	index  index
	old    index // being moved into index after the cache grew; no memory: none
	moved  int   // buckets of old before this one are empty
	chunks []chunk
	ahead  *Ahead

	free        chunkList
	shares      []share // the first is what has no share of its own
	byPool      [wire.KeyPoolsMax]uint8
	byPartition [wire.KeyPartitionsMax]uint8

	now     uint32   // of the last Put
	lives   uint32   // of all chunks so far
	flushes []*Flush // that are not finished
	sweeper Cursor   // of all of them
	flushNo uint8    // of the last one, modulo flushNumbers
	limit   int64
	stats   Stats

	_ [128]byte
}

// State is the outcome of Get.
type State uint8

const (
	Miss    State = iota
	Fresh         // within its TTL
	Expired       // there, but its TTL has passed: for serving stale
)

func (st State) String() string {
	switch st {
	case Miss:
		return "miss"
	case Fresh:
		return "fresh"
	case Expired:
		return "expired"
	}
	return "unknown"
}

// Stats counts since New, apart from Entries, Bytes and Limit, which are of now.
type Stats struct {
	Entries   uint64 // live in the index, expired ones included
	Bytes     int64  // in use: index, tables and every chunk that is not empty; never above the limit. An old index (see SetLimit) is not in it
	Limit     int64  // bytes
	Inserts   uint64 // new keys
	Replaced  uint64 // keys that were there already
	Evictions uint64 // dropped within their TTL to make room
	Expired   uint64 // dropped after their TTL to make room
	Refused   uint64 // Puts that returned false
}

// New maps a shard. Pages of chunks are touched only as the cache fills, by an Ahead or by Put; those of the index, a twelfth of all, by an
// Ahead as soon as its Work is called.
func New(cfg Config) (*Shard, error) {
	if err := checkLimit(cfg.Bytes); err != nil {
		return nil, err
	}
	s := &Shard{
		free: emptyList(), limit: cfg.Bytes, ahead: cfg.Ahead,
	}
	n := chunksWithin(cfg.Bytes)
	s.shares = []share{newShare(Share{}, n)}
	var err error
	if s.index, err = openIndex(n); err != nil {
		return nil, err
	}
	if err := s.addChunks(n); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.startAhead()
	return s, nil
}

func checkLimit(bytes int64) error {
	if bytes < BytesMin || bytes > BytesMax {
		return fmt.Errorf("cache of %d bytes: must be %d to %d", bytes, BytesMin, int64(BytesMax))
	}
	return nil
}

// Close gives all memory back. The shard and all views are unusable afterwards; closing again does nothing.
func (s *Shard) Close() error {
	s.ahead.cancel()
	err := errors.Join(sys.Unmap(s.index.mem), sys.Unmap(s.old.mem))
	for i := range s.chunks {
		err = errors.Join(err, sys.Unmap(s.chunks[i].mem))
	}
	s.index, s.old, s.chunks = index{}, index{}, nil
	return err
}

// Get looks key up and fills a, unless the state is Miss, with views that are valid until the next Put, SetLimit, Flush or Close. age is
// the seconds since it was put. a.TTL is the TTL it was put with. hash must be wire.Hash of key with one seed for the life of the shard.
func (s *Shard) Get(hash uint64, key []byte, now uint32, a *wire.Answer) (age uint32, state State) {
	e := s.find(hash, key)
	if e == nil || len(s.flushes) != 0 && s.doomed(e) != nil {
		return 0, Miss
	}
	e.visit()
	e.view(a)
	age = now - min(now, e.stored)
	if e.expired(now) {
		return age, Expired
	}
	return age, Fresh
}

// Popular reports whether key has been asked for several times since it was stored or last moved, as far as that is counted.
func (s *Shard) Popular(hash uint64, key []byte) bool {
	e := s.find(hash, key)
	return e != nil && e.visits() >= visitsPopular
}

// find returns the entry of key, or nil.
func (s *Shard) find(hash uint64, key []byte) *entry {
	ref, ok := s.findKey(hash, key)
	if !ok {
		return nil
	}
	return s.at(ref)
}

// findKey returns the reference to the entry of key.
func (s *Shard) findKey(hash uint64, key []byte) (ref uint32, ok bool) {
	if ref, ok = s.findThrough(&s.index, hash, key); ok || s.old.mem == nil {
		return ref, ok
	}
	return s.findThrough(&s.old, hash, key)
}

func (s *Shard) findThrough(x *index, hash uint64, key []byte) (ref uint32, ok bool) {
	b := x.first(hash)
	if ref, ok = s.findIn(b, hash, key); ok || b.overflow == 0 {
		return ref, ok
	}
	return s.findIn(x.second(hash), hash, key)
}

// locate returns the index that holds ref, and where. Every live entry is in one.
func (s *Shard) locate(hash uint64, ref uint32) (*index, place) {
	for _, x := range [2]*index{&s.index, &s.old} {
		if x.mem == nil {
			continue
		}
		if at, ok := x.findRef(hash, ref); ok {
			return x, at
		}
	}
	panic("cache: a live entry is not in the index")
}

func (s *Shard) findIn(b *bucket, hash uint64, key []byte) (ref uint32, ok bool) {
	tag := tagOf(hash)
	for w, tags := range b.tags {
		for m := lanes(tags, tag); m != 0; m &= m - 1 {
			ref = b.refs[(w*4+bits.TrailingZeros64(m)>>4)&(bucketSlots-1)]
			if s.at(ref).holds(hash, key) {
				return ref, true
			}
		}
	}
	return 0, false
}

// Put stores a copy of a under key for ttl seconds from now, in place of what was there. It returns false, and changes nothing, if ttl is
// 0, key is no key, the rcode is above 15 (such codes are about one hop, and are not kept), or a is bigger than a message can be.
func (s *Shard) Put(hash uint64, key []byte, a *wire.Answer, ttl, now uint32) bool {
	return s.PutAged(hash, key, a, ttl, 0, now)
}

// PutAged is Put of an answer that was learned age seconds ago, by somebody else.
func (s *Shard) PutAged(hash uint64, key []byte, a *wire.Answer, ttl, age, now uint32) bool {
	if ttl == 0 || a.RCode > wire.RCodeMask || len(key) < keyBytesMin || len(key) > wire.KeyBytesMax ||
		len(a.Records) > wire.MessageBytesMax || len(a.TTLs) > ttlsMax {
		s.stats.Refused++
		return false
	}
	s.now = now
	ttl = min(ttl, TTLMax)
	units := entryUnits(key, a)
	stored := now - min(now, age)
	own := s.shareOf(key)
	queue, visits := s.makeWay(hash, key, a, units, ttl, stored, own)
	if queue == chunkFree {
		return true // it was overwritten in place
	}
	ref, e, ok := s.allocate(own, queue, units)
	for !ok {
		s.clean(s.cleaned(own)) // a victim ends as a free chunk, so this does end
		ref, e, ok = s.allocate(own, queue, units)
	}
	e.bits = visits
	e.fill(hash, key, a, ttl, stored)
	e.stamp(s.flushNo)
	s.account(ref, e)
	s.enter(hash, ref)
	s.cleanAhead(own, units*unitBytes*cleanFactor)
	s.migrate(bucketsPerPut)
	return true
}

// makeWay deals with the old entry of key. If the new one can take its room, it does, and queue is chunkFree. Else the old one is dead,
// and queue says where the new one goes and visits what it inherits.
func (s *Shard) makeWay(hash uint64, key []byte, a *wire.Answer, units int, ttl, stored uint32, own uint8) (queue chunkState, visits uint8) {
	ref, ok := s.findKey(hash, key)
	if !ok {
		s.stats.Inserts++
		if s.index.exorcise(hash) {
			return chunkMain, 0
		}
		return chunkProbation, 0
	}
	s.stats.Replaced++
	e := s.at(ref)
	s.countDoomed(e)
	if slack := (int(e.units) - units) * unitBytes; slack >= 0 && slack <= reuseSlackMax && s.chunks[ref>>chunkBits].share == own {
		s.discount(ref, e)
		e.fill(hash, key, a, ttl, stored)
		e.stamp(s.flushNo)
		s.account(ref, e)
		return chunkFree, 0
	}
	queue, visits = s.queueOf(ref), e.visits()
	s.drop(ref, e)
	return queue, visits
}

// enter puts ref into the index, at the cost of a lesser entry if both buckets are full.
func (s *Shard) enter(hash uint64, ref uint32) {
	if !s.index.add(hash, ref) {
		s.evictFrom(s.index.first(hash), s.index.second(hash), s.chunks[ref>>chunkBits].share)
		s.index.add(hash, ref)
	}
	s.stats.Entries++
}

// account and discount keep the chunk's sum of live bytes right when an entry gains or loses its expiry.
func (s *Shard) account(ref uint32, e *entry) {
	c := &s.chunks[ref>>chunkBits]
	c.live[c.class(e.expire)] += uint32(e.bytes())
}

func (s *Shard) discount(ref uint32, e *entry) {
	c := &s.chunks[ref>>chunkBits]
	c.live[c.class(e.expire)] -= uint32(e.bytes())
}

// drop takes a live entry out of the index and marks it dead. Its room comes back when its chunk is cleaned.
func (s *Shard) drop(ref uint32, e *entry) {
	x, at := s.locate(e.hash, ref)
	x.remove(at, e.hash)
	s.discount(ref, e)
	e.bits |= bitsDead
	s.stats.Entries--
}

// Delete removes the entry of key and says whether there was one.
func (s *Shard) Delete(hash uint64, key []byte) bool {
	ref, ok := s.findKey(hash, key)
	if ok {
		s.drop(ref, s.at(ref))
	}
	return ok
}

// Stats returns the counters.
func (s *Shard) Stats() Stats {
	st := s.stats
	st.Limit = s.limit
	st.Bytes = fixedBytes + int64(len(s.index.mem)) + int64(len(s.chunks))*int64(unsafe.Sizeof(chunk{})) +
		int64(len(s.chunks)-s.free.chunks)*chunkBytes
	return st
}
