package subnet

import (
	"fmt"
	"math/bits"
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

// Scopes remembers of which questions there are answers for single networks, and with which prefix lengths, so that only those are looked up.
// Times are seconds above 0 that never go back. Questions are known by the keyed hash of their plain key alone: who shares one is only looked up in vain.
type Scopes struct {
	sets []scopeSet
	mem  []byte
}

type scopeSet [scopeWays]scope

// scope is one question. The zero value is none.
type scope struct {
	hash  uint64
	v6    uint64 // bit n-1: there are answers for networks of n bits
	v4    uint32
	used  uint32 // seconds
	since uint32 // seconds: when the window began
	kept  uint16 // in it
	exact bool   // there are answers that are good for one exchange's network alone, because it was too short
	taken bool
}

// Lengths are the prefix lengths of the answers to one question that there may be.
type Lengths struct {
	mask  uint64 // bit n-1: n bits
	Exact bool   // and answers for exactly the network that is asked for
}

// NewScopes maps an empty memory.
func NewScopes() (*Scopes, error) {
	mem, err := sys.Map(scopeSets * int(unsafe.Sizeof(scopeSet{})))
	if err != nil {
		return nil, fmt.Errorf("memory of client subnets: %w", err)
	}
	return &Scopes{sets: unsafe.Slice((*scopeSet)(unsafe.Pointer(unsafe.SliceData(mem))), scopeSets), mem: mem}, nil
}

// Close gives the memory back.
func (s *Scopes) Close() error {
	err := sys.Unmap(s.mem)
	*s = Scopes{}
	return err
}

// Lengths returns what is known of a question for networks of a family, at most max bits long.
func (s *Scopes) Lengths(hash uint64, family, max uint8, now uint32) Lengths {
	e := s.find(hash)
	if e == nil {
		return Lengths{}
	}
	e.used = now
	mask := e.v6
	if family == wire.FamilyIPv4 {
		mask = uint64(e.v4)
	}
	return Lengths{mask: mask & (1<<max - 1), Exact: e.exact}
}

// Next takes the longest length off l; 0: there is none left.
func (l *Lengths) Next() uint8 {
	n := uint8(bits.Len64(l.mask))
	if n > 0 {
		l.mask &^= 1 << (n - 1)
	}
	return n
}

// Keep notes that an answer for a network of n bits is about to be kept, and returns the length to keep it for: n, or one that is longer, up to
// max, the network's own. n 0: for exactly the network that was asked for, and so is what is returned. ok is false if there are too many.
func (s *Scopes) Keep(hash uint64, family, n, max uint8, now uint32) (length uint8, ok bool) {
	e := s.take(hash, now)
	if e.kept == 0 || now-e.since >= Window {
		e.kept, e.since = 0, now
	}
	if e.kept >= NetworksMax {
		return 0, false
	}
	e.kept++
	if n == 0 {
		e.exact = true
		return 0, true
	}
	if family == wire.FamilyIPv4 {
		mask := uint64(e.v4)
		length = fit(&mask, n, max)
		e.v4 = uint32(mask)
		return length, true
	}
	return fit(&e.v6, n, max), true
}

// fit puts n into a mask of at most lengthsMax lengths, or returns one in it that will do.
func fit(mask *uint64, n, max uint8) uint8 {
	if *mask&(1<<(n-1)) != 0 {
		return n
	}
	if bits.OnesCount64(*mask) >= lengthsMax {
		if longer := *mask & (1<<max - 1) >> (n - 1); longer != 0 {
			return n + uint8(bits.TrailingZeros64(longer))
		}
		*mask &= *mask - 1
	}
	*mask |= 1 << (n - 1)
	return n
}

func (s *Scopes) find(hash uint64) *scope {
	set := &s.sets[hash%scopeSets]
	for i := range set {
		if e := &set[i]; e.hash == hash && e.taken {
			return e
		}
	}
	return nil
}

// take returns the entry of a question, made from the one that was used longest ago if there is none.
func (s *Scopes) take(hash uint64, now uint32) *scope {
	e := s.find(hash)
	if e == nil {
		set := &s.sets[hash%scopeSets]
		e = &set[0]
		for i := range set {
			if set[i].used < e.used {
				e = &set[i]
			}
		}
		*e = scope{hash: hash, taken: true}
	}
	e.used = now
	return e
}
