package blocks

import (
	"encoding/binary"
	"net/netip"
	"time"

	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/census"
)

// Second is what all workers counted in one period, as rates: each worker's tally covers a time of its own.
type Second struct {
	sources  map[admission.Source]*rates
	names    map[string]*rates
	distinct map[string]*census.Distinct
	types    []uint16
}

// NewSecond returns one in which nothing happened.
func NewSecond() *Second {
	return &Second{sources: map[admission.Source]*rates{}, names: map[string]*rates{}, distinct: map[string]*census.Distinct{}}
}

// Add adds what one worker counted. Nothing of t is kept.
func (s *Second) Add(t *census.Tally, types []uint16) {
	length := max(t.Ended-t.Began, int64(time.Millisecond))
	scale := float64(time.Second) / float64(length)
	s.types = types
	for e := range t.Sources {
		now := rates{queries: float64(e.Queries), misses: float64(e.Misses), answers: float64(e.Answers), bytes: float64(e.Bytes)}
		for i, n := range e.RCodes {
			now.rcodes[i] = float64(n)
		}
		for i, n := range e.Types {
			now.types[i] = float64(n)
		}
		at(s.sources, e.Source()).add(&now, scale)
	}
	for e := range t.Zones {
		now := rates{queries: float64(e.Misses), misses: float64(e.Misses), answers: float64(e.Answers)}
		for i, n := range e.RCodes {
			now.rcodes[i] = float64(n)
		}
		name := string(e.Name())
		at(s.names, name).add(&now, scale)
		s.merge(name, &e.Distinct, scale)
	}
}

// merge estimates the different names anew: the same one may have been asked of several workers.
func (s *Second) merge(name string, d *census.Distinct, scale float64) {
	all := s.distinct[name]
	if all == nil {
		all = new(census.Distinct)
		s.distinct[name] = all
	}
	all.Merge(d)
	s.names[name].distinct = all.Count() * scale
}

// addDropped adds queries a second of a source that no worker has seen.
func (s *Second) addDropped(source netip.Prefix, queries float64) {
	at(s.sources, sourceOf(source)).queries += queries
}

// sourceOf is the inverse of judge.prefix.
func sourceOf(p netip.Prefix) admission.Source {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		return admission.Source{Bits: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := p.Addr().As16()
	return admission.Source{Bits: binary.BigEndian.Uint64(b[:]), V6: true}
}

func at[K comparable](m map[K]*rates, key K) *rates {
	r := m[key]
	if r == nil {
		r = new(rates)
		m[key] = r
	}
	return r
}
