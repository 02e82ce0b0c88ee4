package synth

import (
	"encoding/binary"
	"net/netip"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/route"
)

// Rebinding finds answers that name addresses of one's own network for names of somebody else.
type Rebinding struct {
	refuse  bool
	inside  []netip.Prefix
	allowed *route.Table
}

// NewRebinding returns a protection of the addresses inside: nobody's names may have them but those that end in one of the suffixes allowed, in wire form and
// lower case. refuse: an answer that offends becomes REFUSED, else an empty one. Errors: a suffix that stands twice or is no name.
func NewRebinding(refuse bool, inside []netip.Prefix, allowed [][]byte) (*Rebinding, error) {
	r := &Rebinding{refuse: refuse, inside: inside, allowed: route.New()}
	for _, suffix := range allowed {
		if err := r.allowed.Add(suffix, 0); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Guard replaces a, the answer to a question of class IN for the folded name qname, by one without records if it offends, and reports whether it
// did. The new one is kept for as long as the old one would have been.
func (r *Rebinding) Guard(a *wire.Answer, qname []byte) bool {
	if !r.offends(a) {
		return false
	}
	if _, allowed := r.allowed.Lookup(qname); allowed {
		return false
	}
	instead := wire.Answer{Flags: a.Flags &^ (wire.RCodeMask | wire.FlagAD | wire.FlagAA), TTL: a.TTL, Negative: true, Told: a.Told, Extended: wire.EDEBlocked}
	if r.refuse {
		instead.Flags |= wire.RCodeRefused
		instead.RCode = wire.RCodeRefused
	}
	*a = instead
	return true
}

// offends says whether the answer section holds an address from inside: of A and AAAA records, and the hints of SVCB and HTTPS records, which
// browsers connect to as well (RFC 9460 §7.3).
func (r *Rebinding) offends(a *wire.Answer) bool {
	for i := range int(a.AN) {
		record := a.Record(i)
		data := a.Records[record.Data:record.End]
		switch record.Type {
		case wire.TypeA, wire.TypeAAAA:
			if r.holds(data, len(data)) {
				return true
			}
		case wire.TypeSVCB, wire.TypeHTTPS:
			if r.hints(data) {
				return true
			}
		}
	}
	return false
}

// Keys of service parameters (RFC 9460 §14.3.2).
const (
	ipv4Hint = 4
	ipv6Hint = 6
)

// hints says whether the RDATA of an SVCB record names an address from inside (RFC 9460 §2.2: priority, a whole name, keys with their values).
func (r *Rebinding) hints(data []byte) bool {
	at := 2
	for at < len(data) && data[at] != 0 {
		at += 1 + int(data[at])
	}
	for at++; at+4 <= len(data); {
		name, size := binary.BigEndian.Uint16(data[at:]), int(binary.BigEndian.Uint16(data[at+2:]))
		at += 4
		if size > len(data)-at {
			return false
		}
		value := data[at : at+size]
		if name == ipv4Hint && r.holds(value, 4) || name == ipv6Hint && r.holds(value, 16) {
			return true
		}
		at += size
	}
	return false
}

// holds says whether one of the addresses of size bytes that list is made of is from inside. An IPv4 address may stand in an IPv6 one, mapped or
// behind the well-known prefix for translation.
func (r *Rebinding) holds(list []byte, size int) bool {
	for ; size != 0 && len(list) >= size; list = list[size:] {
		addr, ok := netip.AddrFromSlice(list[:size])
		if !ok {
			return false
		}
		if wellKnown.Contains(addr) {
			addr = netip.AddrFrom4([4]byte(list[12:16]))
		}
		if contains(r.inside, addr.Unmap()) {
			return true
		}
	}
	return false
}
