package stream

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// clients counts connections per client: open addressing with linear probing and backward-shift deletion, at most half full because
// every entry stands for at least one connection. The hash is keyed, so nobody can choose addresses that collide.
type clients struct {
	entries []clientEntry
	seed    maphash.Seed
}

// client is what one limit is for: an IPv4 address, or an IPv6 /64: one link, all addresses of which a single host
// can use (RFC 7421).
type client struct {
	prefix  uint64
	version uint32 // 4 or 6; an empty entry has 0
}

// clientEntry is 16 bytes: four to a cache line.
type clientEntry struct {
	prefix  uint64
	version uint32
	count   uint32
}

func (e *clientEntry) client() client { return client{prefix: e.prefix, version: e.version} }

// clientEntries returns the size of the table for so many connections.
func clientEntries(conns int) int { return 1 << bits.Len(uint(2*conns-1)) }

func (t *clients) init() { t.seed = maphash.MakeSeed() }

func clientOf(a netip.Addr) client {
	if a.Is4() {
		b := a.As4()
		return client{prefix: uint64(binary.BigEndian.Uint32(b[:])), version: 4}
	}
	b := a.As16()
	return client{prefix: binary.BigEndian.Uint64(b[:8]), version: 6}
}

// add counts one more connection of the client, unless it has that many.
func (t *clients) add(c client, most int) bool {
	at := t.find(c)
	e := &t.entries[at]
	if int(e.count) >= most {
		return false
	}
	*e = clientEntry{prefix: c.prefix, version: c.version, count: e.count + 1}
	return true
}

// remove takes back what add has counted.
func (t *clients) remove(c client) {
	hole := t.find(c)
	if t.entries[hole].count == 0 {
		panic("stream: a client has fewer than no connections")
	}
	t.entries[hole].count--
	if t.entries[hole].count > 0 {
		return
	}
	mask := len(t.entries) - 1
	for at := (hole + 1) & mask; t.entries[at].version != 0; at = (at + 1) & mask {
		// An entry may move back to the hole only if that is not before its home: compare distances, which wrap with the table.
		if (at-t.home(t.entries[at].client()))&mask >= (at-hole)&mask {
			t.entries[hole] = t.entries[at]
			hole = at
		}
	}
	t.entries[hole] = clientEntry{}
}

// count returns how many connections the client has.
func (t *clients) count(c client) int { return int(t.entries[t.find(c)].count) }

// find returns where the client is, or the empty entry where it belongs.
func (t *clients) find(c client) int {
	mask := len(t.entries) - 1
	at := t.home(c)
	for t.entries[at].version != 0 && t.entries[at].client() != c {
		at = (at + 1) & mask
	}
	return at
}

func (t *clients) home(c client) int {
	var key [12]byte
	binary.LittleEndian.PutUint64(key[:], c.prefix)
	binary.LittleEndian.PutUint32(key[8:], c.version)
	return int(maphash.Bytes(t.seed, key[:])) & (len(t.entries) - 1)
}
