package census

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
)

// Config says what is counted.
type Config struct {
	IPv4Bits, IPv6Bits int      // of an address that tell sources apart: 1 to 32, 1 to 64
	Types              []uint16 // record types that are counted, TypesMax at most
	Zones              bool     // names are counted too
}

// Counter is the worker's side. One thread uses it but for Take and Return, which the judge calls. Nothing allocates but New. Its memory is
// the Go heap's, fixed and without pointers: so a tally may be read when its worker has another counter already, or none.
type Counter struct {
	cfg    Config
	v4, v6 uint64 // masks
	seed   maphash.Seed
	active *Tally
	_      [64]byte
	full   atomic.Pointer[Tally] // for the judge
	empty  atomic.Pointer[Tally] // back from it
}

// Validate returns what is out of range.
func (cfg *Config) Validate() error {
	if cfg.IPv4Bits < 1 || cfg.IPv4Bits > 32 || cfg.IPv6Bits < 1 || cfg.IPv6Bits > 64 || len(cfg.Types) > TypesMax {
		return fmt.Errorf("census: %d bits of IPv4, %d of IPv6, %d types: want 1 to 32, 1 to 64, and at most %d", cfg.IPv4Bits, cfg.IPv6Bits, len(cfg.Types), TypesMax)
	}
	return nil
}

// New makes a counter of a valid configuration.
func New(cfg Config) *Counter {
	c := &Counter{
		cfg: cfg, seed: maphash.MakeSeed(), active: new(Tally),
		v4: 0xFFFFFFFF << (32 - cfg.IPv4Bits) & 0xFFFFFFFF, v6: ^uint64(0) << (64 - cfg.IPv6Bits),
	}
	c.empty.Store(new(Tally))
	return c
}

// Counts reports whether cfg is what c was made from.
func (c *Counter) Counts(cfg *Config) bool {
	return c.cfg.IPv4Bits == cfg.IPv4Bits && c.cfg.IPv6Bits == cfg.IPv6Bits && c.cfg.Zones == cfg.Zones && slices.Equal(c.cfg.Types, cfg.Types)
}

// cut returns the part of a source that tells it from others, and the set that it belongs to.
func (c *Counter) cut(s admission.Source) (admission.Source, uint64) {
	if s.V6 {
		s.Bits &= c.v6
	} else {
		s.Bits &= c.v4
	}
	return s, maphash.Comparable(c.seed, s) % SourceSets
}

// Query counts a query.
func (c *Counter) Query(from admission.Source, qtype uint16) {
	s, set := c.cut(from)
	e := c.active.claim(set, s)
	e.weight++
	e.Queries++
	for i, t := range c.cfg.Types {
		if t == qtype {
			e.Types[i]++
		}
	}
}

// Answer counts a reply of so many bytes to a source whose query was counted, if it still has a place.
func (c *Counter) Answer(to admission.Source, rcode uint16, bytes int) {
	s, set := c.cut(to)
	e := c.active.source(set, s)
	if e == nil {
		return
	}
	e.Answers++
	e.Bytes += uint64(bytes)
	if group, counted := groupOf(rcode); counted {
		e.RCodes[group]++
	}
}

// Miss counts a query that the cache had no answer to. name is its name in wire form, lower case; hash is of the question.
func (c *Counter) Miss(from admission.Source, name []byte, hash uint64) {
	s, set := c.cut(from)
	if e := c.active.source(set, s); e != nil {
		e.Misses++
	}
	if !c.cfg.Zones {
		return
	}
	for zone := range above(name) {
		e := c.active.claimZone(maphash.Bytes(c.seed, zone), zone)
		e.weight++
		e.Misses++
		e.Distinct.Add(hash)
	}
}

// Outcome counts what became of a miss, once for all who waited for it.
func (c *Counter) Outcome(name []byte, rcode uint16) {
	if !c.cfg.Zones {
		return
	}
	group, counted := groupOf(rcode)
	for zone := range above(name) {
		if e := c.active.zone(maphash.Bytes(c.seed, zone)); e != nil {
			e.Answers++
			if counted {
				e.RCodes[group]++
			}
		}
	}
}

// above yields the names of DepthMin to DepthMax labels that name is below of, the longest first.
func above(name []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		var starts [wire.NameBytesMax]uint8
		labels := 0
		for at := 0; at < len(name) && name[at] != 0; at += 1 + int(name[at]) {
			starts[labels] = uint8(at)
			labels++
		}
		for depth := min(DepthMax, labels-1); depth >= DepthMin; depth-- {
			zone := name[starts[labels-depth]:]
			if len(zone) <= zoneNameMax && !yield(zone) {
				return
			}
		}
	}
}

// HandOver gives the judge the tally if it is due, and the judge has returned the last one. Call it once a turn; now is in ns.
func (c *Counter) HandOver(now int64) {
	if c.active.Began == 0 {
		c.active.Began = now
	}
	if now-c.active.Began < int64(Interval) || c.full.Load() != nil {
		return
	}
	next := c.empty.Swap(nil)
	if next == nil {
		return
	}
	c.active.Ended = now
	c.full.Store(c.active)
	c.active = next
	c.active.Began = now
}

// Take returns a tally that is full; nil if there is none. It is to be given back by Return.
func (c *Counter) Take() *Tally { return c.full.Swap(nil) }

// Types are the types that SourceCount.Types counts, in its order.
func (c *Counter) Types() []uint16 { return c.cfg.Types }

// Return gives a tally back, which is emptied.
func (c *Counter) Return(t *Tally) {
	clear(t.sources[:])
	clear(t.zones[:])
	c.empty.Store(t)
}
