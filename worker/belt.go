package worker

import (
	"encoding/binary"
	"sync/atomic"
)

// belt carries records between a worker and a goroutine, in two crates that go to and fro: one is filled while the other one is emptied. Neither
// side waits for the other in here.
type belt struct {
	crates    [2]crate
	at, from  int         // the crate to be filled; to be emptied
	unloaded  int         // bytes of that one
	delivered atomic.Bool // by the filler: nothing more comes
}

type crate struct {
	mem  []byte
	used int
	full atomic.Bool // it is the emptier's
}

func newBelt() *belt {
	b := new(belt)
	for i := range b.crates {
		b.crates[i].mem = make([]byte, crateBytes)
	}
	return b
}

// free returns whether the filler has a crate to fill.
func (b *belt) free() bool { return !b.crates[b.at].full.Load() }

// room returns n bytes of the crate to be filled, for the next record; nil: it is full, and has to be sent. Only while free.
func (b *belt) room(n int) []byte {
	c := &b.crates[b.at]
	end := c.used + recordLengthBytes + n
	if end > len(c.mem) {
		return nil
	}
	binary.LittleEndian.PutUint32(c.mem[c.used:], uint32(n))
	at := c.used + recordLengthBytes
	c.used = end
	return c.mem[at:end]
}

const recordLengthBytes = 4

// send hands over the crate that was filled.
func (b *belt) send() {
	b.crates[b.at].full.Store(true)
	b.at ^= 1
}

// next returns the next record, which is valid until next is called again; nil: there is none yet. Then end tells whether one will come.
func (b *belt) next() record {
	c := &b.crates[b.from]
	if !c.full.Load() {
		return nil
	}
	if b.unloaded == c.used {
		c.used, b.unloaded = 0, 0
		c.full.Store(false)
		b.from ^= 1
		return b.next()
	}
	n := int(binary.LittleEndian.Uint32(c.mem[b.unloaded:]))
	at := b.unloaded + recordLengthBytes
	b.unloaded = at + n
	return record(c.mem[at : at+n : at+n])
}

// ended reports whether everything was delivered and taken. The filler sends before it says that all was delivered, and that is looked at first.
func (b *belt) ended() bool { return b.delivered.Load() && !b.crates[b.from].full.Load() }
