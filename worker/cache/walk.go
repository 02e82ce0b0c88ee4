package cache

import "secure-dns-proxy/transport/wire"

// Cursor is a place on the way round all chunks. The zero value is a beginning. It stays valid whatever happens to the shard meanwhile: a
// chunk that was emptied and filled again is looked at from its front.
type Cursor struct {
	chunk  int
	offset uint32
	life   uint32 // of the chunk when its offset was last moved
	passed int    // chunks, for Walk
}

// settle makes c a place where next may read.
func (c *Cursor) settle(s *Shard) {
	if c.chunk >= len(s.chunks) {
		c.chunk, c.offset = 0, 0
	}
	if life := s.chunks[c.chunk].life; c.life != life {
		c.offset, c.life = 0, life
	}
}

// next returns the entry at the cursor and moves on; nil: the end of a chunk, and the cursor is in the next one. Dead entries are returned
// too.
func (c *Cursor) next(s *Shard) (ref uint32, e *entry) {
	c.settle(s)
	in := &s.chunks[c.chunk]
	if in.state == chunkFree || c.offset >= in.used {
		c.chunk, c.offset = c.chunk+1, 0
		return 0, nil
	}
	e = entryAt(in.mem, int(c.offset))
	ref = uint32(c.chunk)<<chunkBits | c.offset/unitBytes
	c.offset += uint32(e.bytes())
	return ref, e
}

// Seen is an entry as Walk shows it; its views are valid during the call.
type Seen struct {
	Hash           uint64
	Key            []byte
	Answer         wire.Answer // as Get fills it in
	Stored, Expire uint32      // seconds, of the clock of Put
	Visits         uint8       // 0 to VisitsMax
}

// VisitsMax is how far the visits of an entry are counted, and VisitsPopular from where on it is Popular.
const (
	VisitsMax     = visitsMax
	VisitsPopular = visitsPopular
)

// Walk shows visit the live entries from c on that m matches (nil: all), but looks at no more than limit, and reports whether there are more.
// When visit returns false, the entry will be shown again by the next call. What is put during a walk may be shown or not; what is moved by
// cleaning may be missed, or shown twice.
func (s *Shard) Walk(c *Cursor, limit int, m *Match, visit func(*Seen) bool) (more bool) {
	var seen Seen
	for ; limit > 0; limit-- {
		if c.passed >= len(s.chunks) {
			return false
		}
		c.settle(s)
		before := *c
		_, e := c.next(s)
		switch {
		case e == nil:
			c.passed++
			continue
		case e.bits&bitsDead != 0, m != nil && !m.Matches(e.key()), len(s.flushes) != 0 && s.doomed(e) != nil:
			continue
		}
		seen = Seen{Hash: e.hash, Key: e.key(), Stored: e.stored, Expire: e.expire, Visits: e.visits()}
		e.view(&seen.Answer)
		if !visit(&seen) {
			*c = before
			return true
		}
	}
	return c.passed < len(s.chunks)
}
