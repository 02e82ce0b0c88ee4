package census

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
)

// RCode is a group of response codes that is counted.
type RCode uint8

const (
	NXDomain RCode = iota
	ServFail
	Refused
	OtherError // any but NOERROR and those above
	RCodes
)

// String is the group as the configuration names it.
func (r RCode) String() string { return [...]string{"NXDOMAIN", "SERVFAIL", "REFUSED", "other"}[r] }

// groupOf returns the group of a response code; false: none, it is NOERROR.
func groupOf(rcode uint16) (group RCode, counted bool) {
	switch rcode {
	case wire.RCodeNoError:
		return 0, false
	case wire.RCodeNXDomain:
		return NXDomain, true
	case wire.RCodeServFail:
		return ServFail, true
	case wire.RCodeRefused:
		return Refused, true
	}
	return OtherError, true
}

// SourceCount is what one source did: a cache line. Bytes are of DNS messages that were sent to it.
type SourceCount struct {
	bits   uint64 // of its prefix
	Bytes  uint64
	weight uint32 // Space-Saving's count: Queries and what was inherited
	v6     bool
	_      [3]byte
	// Queries that were counted, of these Misses were not answered from the cache; Answers were sent.
	Queries, Misses, Answers uint32
	RCodes                   [RCodes]uint32
	Types                    [TypesMax]uint32 // in the order of Config.Types
}

// Source says who it is. IPv4 addresses have 32 bits, of IPv6 ones the first 64 count; both may have been cut further.
func (s *SourceCount) Source() admission.Source { return admission.Source{Bits: s.bits, V6: s.v6} }

// ZoneCount is what was asked below one name and not answered from the cache.
type ZoneCount struct {
	hash     uint64
	weight   uint32
	Misses   uint32
	RCodes   [RCodes]uint32 // of answers by upstreams, or for want of one
	Answers  uint32
	Distinct Distinct // names
	nameLen  uint8
	name     [zoneNameMax]byte
}

// Name is the name in wire form, lower case. It is a view.
func (z *ZoneCount) Name() []byte { return z.name[:z.nameLen] }

// Tally is what a worker counted in one period.
type Tally struct {
	Began, Ended int64 // ns
	sources      [SourceSets][ways]SourceCount
	zones        [ZoneSets][ways]ZoneCount
}

// Sources calls yield for every source that is counted, in no order.
func (t *Tally) Sources(yield func(*SourceCount) bool) {
	for i := range t.sources {
		for k := range t.sources[i] {
			if s := &t.sources[i][k]; s.weight != 0 && !yield(s) {
				return
			}
		}
	}
}

// Zones calls yield for every name that is counted, in no order.
func (t *Tally) Zones(yield func(*ZoneCount) bool) {
	for i := range t.zones {
		for k := range t.zones[i] {
			if z := &t.zones[i][k]; z.weight != 0 && !yield(z) {
				return
			}
		}
	}
}

// source returns the entry of a source that is there already; nil if it is not.
func (t *Tally) source(set uint64, s admission.Source) *SourceCount {
	for k := range t.sources[set] {
		if e := &t.sources[set][k]; e.bits == s.Bits && e.v6 == s.V6 && e.weight != 0 {
			return e
		}
	}
	return nil
}

// claim returns the entry of a source, which takes the place of the least one if it has none.
func (t *Tally) claim(set uint64, s admission.Source) *SourceCount {
	if e := t.source(set, s); e != nil {
		return e
	}
	least := &t.sources[set][0]
	for k := 1; k < ways; k++ {
		if e := &t.sources[set][k]; e.weight < least.weight {
			least = e
		}
	}
	*least = SourceCount{bits: s.Bits, v6: s.V6, weight: least.weight}
	return least
}

// zone returns the entry of a name that is there already; nil if it is not.
func (t *Tally) zone(hash uint64) *ZoneCount {
	set := &t.zones[hash%ZoneSets]
	for k := range set {
		if e := &set[k]; e.hash == hash && e.weight != 0 {
			return e
		}
	}
	return nil
}

// claimZone returns the entry of a name, which takes the place of the least one if it has none.
func (t *Tally) claimZone(hash uint64, name []byte) *ZoneCount {
	if e := t.zone(hash); e != nil {
		return e
	}
	set := &t.zones[hash%ZoneSets]
	least := &set[0]
	for k := 1; k < ways; k++ {
		if set[k].weight < least.weight {
			least = &set[k]
		}
	}
	*least = ZoneCount{hash: hash, weight: least.weight, nameLen: uint8(len(name))}
	copy(least.name[:], name)
	return least
}
