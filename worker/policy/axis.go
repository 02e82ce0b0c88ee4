package policy

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"secure-dns-proxy/transport/wire"
)

// axis is one number of a query of which rules of a chain want certain values. One look-up rules out all those that want another one. Rules that do not
// mind are left in, and so is what the rest of a match has to be asked for.
type axis struct {
	kind Kind
	cuts []uint32 // ascending, the first 0: where the values of a segment begin
	fits []uint64 // for each segment a bitmap of the rules that its values do not rule out
	none []uint64 // the same for queries without such a number
}

// ladder is an axis of prefixes: those around an address are known by the longest one.
type ladder struct {
	kind Kind
	fits bart.Table[[]uint64]
	none []uint64 // for addresses in none of them
}

// want is what a rule asks of an axis: that a selector holds, or that it does not.
type want struct {
	bit int // of the head in its chain
	literal
}

// number reports whether a selector is about one number of a query.
func (k Kind) number() bool {
	switch k {
	case Labels, NameBytes, QType, QClass, Opcode, RD, DO, CD, EDNS, EDNSVersion, SourcePort, DestinationPort, TCP, Size, Answers, Authorities, Additionals, RCode:
		return true
	}
	return false
}

// numberOf is the number that a selector of a kind is about, false if the query has none.
func (q *Query) numberOf(k Kind) (uint32, bool) {
	named, answered := q.Name != nil, q.Answer != nil
	switch k {
	case Labels:
		if !q.counted {
			q.count()
		}
		return uint32(q.labels), named
	case NameBytes:
		return uint32(len(q.Name)), named
	case QType:
		return uint32(q.Type), named
	case QClass:
		return uint32(q.Class), named
	case Opcode:
		return uint32(q.Flags & wire.OpcodeMask >> 11), true
	case RD:
		return one(q.Flags&wire.FlagRD != 0), true
	case CD:
		return one(q.Flags&wire.FlagCD != 0), true
	case DO:
		return one(q.DO), true
	case EDNS:
		return one(q.HasOPT), true
	case EDNSVersion:
		return uint32(q.Version), q.HasOPT
	case TCP:
		return one(q.TCP), true
	case SourcePort:
		return uint32(q.Source.Port()), true
	case DestinationPort:
		return uint32(q.Target.Port()), true
	case Size:
		if answered {
			return uint32(len(q.Answer.Records)), true
		}
		return uint32(q.Bytes), true
	case Additionals:
		if answered {
			return uint32(q.Answer.AR), true
		}
		return uint32(q.Additionals), true
	}
	switch {
	case !answered:
		return 0, false
	case k == Answers:
		return uint32(q.Answer.AN), true
	case k == Authorities:
		return uint32(q.Answer.NS), true
	case k == RCode:
		return uint32(q.Answer.RCode), true
	}
	panic("policy: no such number")
}

func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// spans calls yield for each range of values that a selector of a number wants, ends included.
func (s *Selector) spans(yield func(low, high uint32)) {
	switch s.Kind {
	case QType, QClass, Opcode, RCode:
		for _, n := range s.Numbers {
			yield(uint32(n), uint32(n))
		}
	case RD, DO, CD, EDNS, TCP:
		yield(one(s.Want), one(s.Want))
	default:
		yield(s.Low, s.High)
	}
}

// newAxis makes the axis of what rules of a chain with so many heads want; nil if that would be more than axisSegmentsMax.
func newAxis(k Kind, wants []want, words, heads int) *axis {
	a := &axis{kind: k, cuts: []uint32{0}, none: all(words, heads)}
	for _, w := range wants {
		w.selector.spans(func(low, high uint32) {
			if a.cuts = append(a.cuts, low); high != ^uint32(0) {
				a.cuts = append(a.cuts, high+1)
			}
		})
	}
	slices.Sort(a.cuts)
	if a.cuts = slices.Compact(a.cuts); len(a.cuts) > axisSegmentsMax {
		return nil
	}
	for range a.cuts {
		a.fits = append(a.fits, all(words, heads)...)
	}
	for _, w := range wants {
		if !w.not {
			out(a.none, w.bit)
		}
		for i, value := range a.cuts {
			fits := false
			w.selector.spans(func(low, high uint32) { fits = fits || value >= low && value <= high })
			if fits == w.not {
				out(a.fits[i*words:], w.bit)
			}
		}
	}
	return a
}

// rules takes those out of found that a query's number rules out.
func (a *axis) rules(found []uint64, q *Query) {
	fits := a.none
	if v, has := q.numberOf(a.kind); has {
		low, high := 0, len(a.cuts) // cuts[low] <= v
		for high-low > 1 {
			if middle := (low + high) / 2; a.cuts[middle] <= v {
				low = middle
			} else {
				high = middle
			}
		}
		fits = a.fits[low*len(found):]
	}
	meet(found, fits)
}

// newLadder makes the ladder of what rules of a chain want; nil if there are more than ladderPrefixesMax prefixes.
func newLadder(k Kind, wants []want, words, heads int) *ladder {
	l := &ladder{kind: k, none: all(words, heads)}
	var prefixes []netip.Prefix
	for _, w := range wants {
		prefixes = append(prefixes, w.selector.Prefixes...)
		if !w.not {
			out(l.none, w.bit)
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	if prefixes = slices.Compact(prefixes); len(prefixes) > ladderPrefixesMax {
		return nil
	}
	for _, p := range prefixes {
		fits := all(words, heads)
		for _, w := range wants {
			fit := slices.ContainsFunc(w.selector.Prefixes, func(of netip.Prefix) bool { return of.Bits() <= p.Bits() && of.Contains(p.Addr()) })
			if fit == w.not {
				out(fits, w.bit)
			}
		}
		l.fits.Insert(p, fits)
	}
	return l
}

// rules takes those out of found that want another address.
func (l *ladder) rules(found []uint64, q *Query) {
	a := q.Source
	if l.kind == Destination {
		a = q.Target
	}
	fits, ok := l.fits.Lookup(a.Addr())
	if !ok {
		fits = l.none
	}
	meet(found, fits)
}

// all is a bitmap of so many heads.
func all(words, heads int) []uint64 {
	b := make([]uint64, words)
	for i := range heads {
		b[i/64] |= 1 << (i % 64)
	}
	return b
}

func out(b []uint64, bit int) { b[bit/64] &^= 1 << (bit % 64) }

func meet(into, bits []uint64) {
	bits = bits[:len(into)]
	for i := range into {
		into[i] &= bits[i]
	}
}
