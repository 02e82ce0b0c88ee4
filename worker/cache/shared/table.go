package shared

import (
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

// Table holds answers for all workers of a node. Make it with New, on a thread of that node.
type Table struct {
	mem        []byte
	provided   int // bytes of mem that Provide has dealt with
	limit      int64
	shares     []Share
	parts      []part // the first is what has no share; then as shares
	owners     owners
	generation atomic.Uint32 // of entries that a Flush has not reached
}

// Share is a part of a table that certain keys have for themselves: they take no room from others, nor others from them.
type Share struct {
	Partition uint8 // keys of this partition; 0: those of the pool whose tag is Pool, unless their partition has a share
	Pool      uint8
	Bytes     int64 // BytesMin and more
}

// part is what one share, or the rest, has.
type part struct{ classes [classes]class }

// owners are the numbers of the parts of keys.
type owners struct {
	byPool      [wire.KeyPoolsMax]uint8
	byPartition [wire.KeyPartitionsMax]uint8
}

// part is the one for a key.
func (t *Table) part(key []byte) *part {
	if len(t.parts) == 1 {
		return &t.parts[0]
	}
	if own := t.owners.byPartition[wire.KeyPartition(key)]; own != 0 {
		return &t.parts[own]
	}
	return &t.parts[t.owners.byPool[wire.KeyPool(key)]]
}

// class is all sets with slots of one size.
type class struct {
	words     []uint64
	sets      uint64
	setWords  uint64
	slotWords int
}

// State is the outcome of Get.
type State uint8

const (
	Miss    State = iota
	Busy          // a miss, because a writer was in the way
	Fresh         // within its TTL
	Expired       // there, but its TTL has passed: for serving stale
)

func (st State) String() string { return [...]string{"miss", "busy", "fresh", "expired"}[st] }

// Result is the outcome of Put.
type Result uint8

const (
	Stored   Result = iota
	Replaced        // an answer to the same question
	Evicted         // stored in place of another answer that was within its TTL
	Crowded         // not stored: other writers were in the way
	TooLarge        // not stored: more than EntryBytesMax, or nothing that is kept (TTL 0, an rcode above 15)
)

func (r Result) String() string {
	return [...]string{"stored", "replaced", "evicted", "crowded", "too large"}[r]
}

// Kept reports whether the answer can be found.
func (r Result) Kept() bool { return r <= Evicted }

// New maps a table of at most so many bytes, BytesMin to BytesMax, of which shares, up to SharesMax, have what they say, and the rest BytesMin or more.
func New(limit int64, shares []Share) (*Table, error) {
	if limit < BytesMin || limit > BytesMax {
		return nil, fmt.Errorf("shared cache of %d bytes: must be %d to %d", limit, BytesMin, int64(BytesMax))
	}
	rest := limit
	for _, sh := range shares {
		if rest -= sh.Bytes; sh.Bytes < BytesMin || rest < BytesMin {
			return nil, fmt.Errorf("share of %d bytes, which leaves %d: both must be %d at least", sh.Bytes, rest, BytesMin)
		}
	}
	if len(shares) > SharesMax {
		return nil, fmt.Errorf("%d shares: at most %d", len(shares), SharesMax)
	}
	mem, err := sys.Map(int(limit) / wordBytes * wordBytes)
	if err != nil {
		return nil, fmt.Errorf("shared cache: %w", err)
	}
	t := build(unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/wordBytes), shares)
	t.mem, t.limit = mem, limit
	return t, nil
}

// build divides zeroed memory among the shares.
func build(words []uint64, shares []Share) *Table {
	t := &Table{limit: int64(len(words) * wordBytes), shares: slices.Clone(shares), parts: make([]part, 1+len(shares))}
	for i, sh := range shares {
		n := int(sh.Bytes) / wordBytes
		t.parts[1+i].build(words[:n])
		words = words[n:]
		if sh.Partition != 0 {
			t.owners.byPartition[sh.Partition] = uint8(1 + i)
		} else {
			t.owners.byPool[sh.Pool] = uint8(1 + i)
		}
	}
	t.parts[0].build(words)
	return t
}

// build divides memory among the classes.
func (p *part) build(words []uint64) {
	all := len(words)
	for i := range p.classes {
		slotWords := slotBytes[i] / wordBytes
		setWords := metaWords + ways*slotWords
		sets := all / 16 * classShare[i] / setWords
		p.classes[i] = class{words: words[:sets*setWords], sets: uint64(sets), setWords: uint64(setWords), slotWords: slotWords}
		words = words[sets*setWords:]
	}
}

// Close gives the memory back. Nobody may use the table any more.
func (t *Table) Close() error {
	err := sys.Unmap(t.mem)
	t.mem = nil
	t.parts = nil
	return err
}

// Is reports whether the table was made for so many bytes, and these shares.
func (t *Table) Is(limit int64, shares []Share) bool {
	return t.limit == limit && slices.Equal(t.shares, shares)
}

// Limit returns the bytes that the table was made for.
func (t *Table) Limit() int64 { return t.limit }

// Provide has the kernel provide the next part of the table's memory, so that no worker has to wait for that, and reports whether there was
// anything to do. One goroutine. Where the kernel cannot, the first write to each page does it.
func (t *Table) Provide() bool {
	if t.provided >= len(t.mem) {
		return false
	}
	step := t.mem[t.provided:min(t.provided+populateStep, len(t.mem))]
	t.provided += len(step)
	return sys.Populate(step) == nil
}

// set returns the set of a hash.
func (k *class) set(hash uint64) set {
	i, _ := bits.Mul64(hash, k.sets)
	return k.at(i)
}

func (k *class) at(i uint64) set {
	return set{words: k.words[i*k.setWords : (i+1)*k.setWords], slotWords: k.slotWords}
}

// classOf returns the class for entries of n bytes, or -1.
func classOf(n int) int {
	for i, most := range slotBytes {
		if n <= most {
			return i
		}
	}
	return -1
}

// Get looks key up and fills c.Answer if it is Fresh or Expired. age is the seconds since it was put, c.Answer.TTL the TTL it was put with.
// hash must be wire.Hash of key with the seed of all workers. Never waits.
func (t *Table) Get(hash uint64, key []byte, now uint32, c *Copy) (age uint32, state State) {
	tag := tagOf(hash)
	var old set
	oldWay := -1
	p := t.part(key)
	for i := range p.classes {
		s := p.classes[i].set(hash)
		for way := range ways {
			seen := atomic.LoadUint64(s.state(way))
			if seen&tagMask != tag {
				continue
			}
			if times := atomic.LoadUint64(&s.slot(way)[wordTimes]); !written(seen) && uint32(times>>32) <= now {
				old, oldWay = s, way // there may be a fresh one
				continue
			}
			switch found, whole := t.fetch(&s, way, hash, key, c); {
			case !whole:
				state = Busy
			case found && c.expire() > now:
				s.visit(way)
				c.view()
				return now - min(now, c.stored()), Fresh
			}
		}
	}
	if oldWay < 0 {
		return 0, state
	}
	found, whole := t.fetch(&old, oldWay, hash, key, c)
	if !found {
		if !whole {
			state = Busy
		}
		return 0, state
	}
	c.view()
	if c.expire() > now { // it was replaced meanwhile
		state = Fresh
	} else {
		state = Expired
	}
	return now - min(now, c.stored()), state
}

// fetch copies a slot that may be that of key. found: it is. whole: what was copied belongs together, so that if it is not found it is not there.
func (t *Table) fetch(s *set, way int, hash uint64, key []byte, c *Copy) (found, whole bool) {
	for range readTries {
		seen := atomic.LoadUint64(s.state(way))
		if written(seen) {
			continue
		}
		if s.read(way, seen, c) {
			return c.holds(hash, key) && c.generation() == t.generation.Load(), true
		}
	}
	return false, false
}

// Put stores a copy of a under key for ttl seconds from now, in place of what was there. a must not be a view of c.
func (t *Table) Put(hash uint64, key []byte, a *wire.Answer, ttl, now uint32, c *Copy) Result {
	size := classOf(entryBytes(key, a))
	if ttl == 0 || a.RCode > wire.RCodeMask || len(key) < keyBytesMin || len(key) > wire.KeyBytesMax || size < 0 {
		return TooLarge
	}
	n := c.fill(hash, key, a, now+min(ttl, ttlMax), now, t.generation.Load())
	return t.put(size, n, now, c)
}

// put stores the entry of n words that c holds, which is of a class: where its question has a slot that is large enough, else where something is free
// or has expired, else in place of another answer of its class.
func (t *Table) put(size, n int, now uint32, c *Copy) Result {
	hash, p := c.words[wordHash], t.part(c.key())
	for k := size; k < classes; k++ {
		s := p.classes[k].set(hash)
		if way, state, busy := s.find(hash); way >= 0 || busy {
			if way < 0 || !s.write(way, state, n, true, c) {
				return Crowded // by another answer to this question
			}
			p.dropElsewhere(k, hash)
			return Replaced
		}
	}
	result, place := Crowded, size
	for k := size; k < classes && !result.Kept(); k++ {
		s := p.classes[k].set(hash)
		result, place = s.insert(n, now, false, c), k
	}
	if !result.Kept() {
		s := p.classes[size].set(hash)
		result, place = s.insert(n, now, true, c), size
	}
	if result.Kept() {
		p.dropElsewhere(place, hash)
	}
	return result
}

// dropElsewhere removes what other classes hold of a hash: an answer of another size.
func (p *part) dropElsewhere(size int, hash uint64) {
	for i := range p.classes {
		if i == size {
			continue
		}
		s := p.classes[i].set(hash)
		if way, state, _ := s.find(hash); way >= 0 {
			s.drop(way, state)
		}
	}
}

// Flush drops everything. Entries that are being written meanwhile are void, too.
func (t *Table) Flush() {
	t.generation.Add(1)
	for s := range t.sets {
		for way := range ways {
			s.drop(way, atomic.LoadUint64(s.state(way)))
		}
	}
}

// sets yields every set.
func (t *Table) sets(yield func(*set) bool) {
	for at := range t.parts {
		for i := range t.parts[at].classes {
			k := &t.parts[at].classes[i]
			for j := range k.sets {
				if s := k.at(j); !yield(&s) {
					return
				}
			}
		}
	}
}

// FlushMatching drops the entries of keys for which match returns true, and returns how many that were; left are slots in which a writer stopped.
// match gets a view of the key that is valid during the call: wire.KeyName and wire.KeyQuestion take it apart. It reads the whole table: not for a worker.
func (t *Table) FlushMatching(match func(key []byte) bool) (dropped, left int) {
	var c Copy
	for s := range t.sets {
		for way := range ways {
			switch s.flush(way, match, &c) {
			case flushed:
				dropped++
			case unsettled:
				left++
			}
		}
	}
	return dropped, left
}

type flushing uint8

const (
	kept flushing = iota
	flushed
	unsettled
)

// flush drops the entry at way if it matches.
func (s *set) flush(way int, match func([]byte) bool, c *Copy) flushing {
	for try := range flushTries {
		state := atomic.LoadUint64(s.state(way))
		if !written(state) && state&tagMask == 0 {
			return kept
		}
		if !written(state) && s.read(way, state, c) {
			if !match(c.key()) {
				return kept
			}
			if s.drop(way, state) {
				return flushed
			}
		}
		if try > 0 {
			time.Sleep(flushPause)
		}
	}
	return unsettled
}

// CopyTo puts all that t holds and that has not expired into another table, ages kept. For a change of size; not for a worker.
func (t *Table) CopyTo(other *Table, now uint32) (copied int) {
	var c Copy
	for s := range t.sets {
		for way := range ways {
			state := atomic.LoadUint64(s.state(way))
			if written(state) || state&tagMask == 0 || !s.read(way, state, &c) || c.expire() <= now ||
				c.generation() != t.generation.Load() {
				continue
			}
			c.words[wordRest] = uint64(other.generation.Load())<<32 | c.words[wordRest]&(1<<32-1)
			records, ttls, key := sizes(c.words[wordSizes])
			n := 2*ttls + key + records
			if other.put(classOf(headerWords*wordBytes+n), headerWords+wordsFor(n), now, &c).Kept() {
				copied++
			}
		}
	}
	return copied
}
