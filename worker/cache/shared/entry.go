package shared

import (
	"bytes"
	"sync/atomic"
	"unsafe"

	"secure-dns-proxy/transport/wire"
)

// Copy is where a reader copies an answer to, and where a writer puts one together. Each worker has one of its own. Answer's views are
// valid until the next Get or Put with the same Copy.
type Copy struct {
	Answer wire.Answer // set by Get
	words  [slotWordsMax]uint64
}

// The header of a slot:
//
//	word 0   hash
//	word 1   expire (32) | stored (32), seconds
//	word 2   flags | AN | NS | AR
//	word 3   bytes of records | TTL offsets | bytes of the key | negative
//	word 4   generation of the table (32) | extended error (32)
const (
	wordHash = iota
	wordTimes
	wordCounts
	wordSizes
	wordRest
)

// entryBytes is the room that an answer takes.
func entryBytes(key []byte, a *wire.Answer) int {
	return headerWords*wordBytes + 2*len(a.TTLs) + len(key) + len(a.Records)
}

// wordsFor returns how many words hold n bytes.
func wordsFor(n int) int { return (n + wordBytes - 1) / wordBytes }

// body is all that follows the header.
func (c *Copy) body() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&c.words[headerWords])), slotBytesMax-headerWords*wordBytes)
}

// fill puts an entry together and returns its length in words. It must fit.
func (c *Copy) fill(hash uint64, key []byte, a *wire.Answer, expire, stored, generation uint32) int {
	c.words[wordHash] = hash
	c.words[wordTimes] = uint64(expire)<<32 | uint64(stored)
	c.words[wordCounts] = uint64(a.Flags&^wire.RCodeMask|a.RCode)<<48 | uint64(a.AN)<<32 | uint64(a.NS)<<16 | uint64(a.AR)
	var negative uint64
	if a.Negative {
		negative = 1
	}
	c.words[wordSizes] = uint64(len(a.Records))<<48 | uint64(len(a.TTLs))<<32 | uint64(len(key))<<16 | negative
	c.words[wordRest] = uint64(generation)<<32 | uint64(a.Extended)
	body := c.body()
	n := 2 * len(a.TTLs)
	copy(c.offsets(len(a.TTLs)), a.TTLs)
	n += copy(body[n:], key)
	n += copy(body[n:], a.Records)
	words := headerWords + wordsFor(n)
	for i := n; i < (words-headerWords)*wordBytes; i++ {
		body[i] = 0 // what was there before is nobody's business
	}
	return words
}

// offsets views the list of TTL offsets.
func (c *Copy) offsets(n int) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(&c.words[headerWords])), n)
}

func (c *Copy) expire() uint32 { return uint32(c.words[wordTimes] >> 32) }
func (c *Copy) stored() uint32 { return uint32(c.words[wordTimes]) }

// generation is that of the table when the entry was stored.
func (c *Copy) generation() uint32 { return uint32(c.words[wordRest] >> 32) }

// sizes takes the word of sizes apart.
func sizes(word uint64) (records, ttls, key int) {
	return int(word >> 48), int(word >> 32 & 0xFFFF), int(word >> 16 & 0xFFFF)
}

// key views the key of the entry.
func (c *Copy) key() []byte {
	_, ttls, key := sizes(c.words[wordSizes])
	return c.body()[2*ttls : 2*ttls+key]
}

// holds says whether the entry is that of key.
func (c *Copy) holds(hash uint64, key []byte) bool {
	return c.words[wordHash] == hash && bytes.Equal(c.key(), key)
}

// view makes Answer views of the entry.
func (c *Copy) view() {
	records, ttls, key := sizes(c.words[wordSizes])
	counts := c.words[wordCounts]
	start := 2*ttls + key
	c.Answer = wire.Answer{
		Flags: uint16(counts >> 48), AN: uint16(counts >> 32), NS: uint16(counts >> 16), AR: uint16(counts),
		Records:  c.body()[start : start+records],
		TTLs:     c.offsets(ttls),
		TTL:      c.expire() - c.stored(),
		Negative: c.words[wordSizes]&1 != 0,
		RCode:    uint16(counts>>48) & wire.RCodeMask,
		Extended: uint16(c.words[wordRest]),
	}
}

// load copies the entry out of a slot word by word. false: the sizes in its header cannot be, so it is being written.
func (c *Copy) load(slot []uint64) bool {
	for i := range headerWords {
		c.words[i] = atomic.LoadUint64(&slot[i])
	}
	records, ttls, key := sizes(c.words[wordSizes])
	n := headerWords + wordsFor(2*ttls+key+records)
	if n > len(slot) || key < keyBytesMin {
		return false
	}
	from, to := slot[headerWords:n], c.words[headerWords:n]
	for i := range from {
		to[i] = atomic.LoadUint64(&from[i])
	}
	return true
}

// save copies the first n words into a slot.
func (c *Copy) save(slot []uint64, n int) {
	to, from := slot[:n], c.words[:n]
	for i := range to {
		atomic.StoreUint64(&to[i], from[i])
	}
}
