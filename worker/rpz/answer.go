package rpz

import (
	"encoding/binary"

	"secure-dns-proxy/transport/wire"
)

// Reply makes the answer that a match of NXDomain, NoData, TCPOnly or Local means for a question of type qtype; sc must be as Query or Judge
// has left it, or with its Name Set where neither was asked about this query. It is valid until sc is used again.
//
// The CNAMEs of the answer that come before the trigger stay, age seconds older. Negative answers have the SOA of the zone.
//
// Where local data is a CNAME and another type was asked for, out is of no use: the answer is a CNAME from the question's name to target, with
// this TTL, and what there is at target. Any CNAMEs before the trigger are left out then.
func (s *Set) Reply(sc *Scratch, m Match, qtype uint16, age uint32, out *wire.Answer) (target []byte, ttl uint32) {
	p := &s.policies[m.Zone]
	*out = wire.Answer{Records: sc.records[:0], TTLs: sc.ttls[:0], Extended: wire.EDEBlocked}
	w := writer{out: out}
	if m.Action == TCPOnly {
		out.Flags |= wire.FlagTC
		return nil, 0
	}
	owner := w.chain(sc, m.step, age)
	switch m.Action {
	case NXDomain:
		w.negative(p.Zone, wire.RCodeNXDomain)
	case NoData:
		w.negative(p.Zone, wire.RCodeNoError)
	default:
		out.Extended = wire.EDEForged
		return w.local(sc, p, m, owner, qtype)
	}
	return nil, 0
}

// writer appends records to an answer.
type writer struct {
	out *wire.Answer
}

// add appends a record; what does not fit is told with TC.
func (w *writer) add(count *uint16, owner []byte, rrtype uint16, ttl uint32, data []byte) bool {
	r := w.out.Records
	if len(r)+len(owner)+10+len(data) > cap(r) || len(w.out.TTLs) == cap(w.out.TTLs) {
		w.out.Flags |= wire.FlagTC
		return false
	}
	r = append(r, owner...)
	r = binary.BigEndian.AppendUint16(r, rrtype)
	r = binary.BigEndian.AppendUint16(r, wire.ClassINET)
	w.out.TTLs = append(w.out.TTLs, uint16(len(r)))
	r = binary.BigEndian.AppendUint32(r, ttl)
	r = binary.BigEndian.AppendUint16(r, uint16(len(data)))
	w.out.Records = append(r, data...)
	*count++
	return true
}

// question is a compression pointer to the name that was asked for (RFC 1035 §4.1.4).
var question = []byte{0xC0, wire.HeaderBytes}

// chain appends the first links of the answer's chain and returns the owner's name of what comes after them.
func (w *writer) chain(sc *Scratch, links int, age uint32) (owner []byte) {
	owner = question
	for _, l := range sc.chain[:links] {
		w.add(&w.out.AN, owner, typeCNAME, l.ttl-min(l.ttl, age), l.name)
		owner = l.name
	}
	return owner
}

// negative ends an answer that something is not there. The SOA lets it be cached (RFC 2308 §3).
func (w *writer) negative(z *Zone, rcode uint16) {
	w.out.RCode, w.out.Negative = rcode, true
	w.add(&w.out.NS, z.origin, wire.TypeSOA, z.soa.negativeTTL(), z.soa.Data)
}

// local appends a trigger's records of type qtype.
func (w *writer) local(sc *Scratch, p *Policy, m Match, owner []byte, qtype uint16) (target []byte, ttl uint32) {
	name := sc.Name.wire
	if m.step > 0 {
		name = owner
	}
	if m.data == 0 {
		return w.alias(sc, name, owner, overrideTTL, p.CNAME, qtype)
	}
	for at := m.data; at != 0; {
		r := p.Zone.records.at(at)
		if r.rrtype == typeCNAME {
			return w.alias(sc, name, owner, r.ttl, r.data, qtype)
		}
		if (r.rrtype == qtype || qtype == wire.TypeANY) && !w.add(&w.out.AN, owner, r.rrtype, r.ttl, r.data) {
			return nil, 0
		}
		at = r.next
	}
	if w.out.AN == uint16(m.step) && w.out.Flags&wire.FlagTC == 0 {
		w.negative(p.Zone, wire.RCodeNoError)
	}
	return nil, 0
}

// alias appends a CNAME if that was asked for, else says where it leads to, and puts the name before it where it begins with an asterisk. A name that gets too long for that does not exist any
// more: YXDOMAIN, as with DNAME (RFC 6672 §2.2).
func (w *writer) alias(sc *Scratch, name, owner []byte, ttl uint32, to []byte, qtype uint16) ([]byte, uint32) {
	target := sc.target[:0]
	if len(to) > 2 && to[0] == 1 && to[1] == '*' {
		to = to[2:]
		if len(name)-1+len(to) > nameBytesMax {
			w.out.RCode = wire.RCodeYXDomain
			return nil, 0
		}
		target = append(target, name[:len(name)-1]...)
	}
	target = append(target, to...)
	if qtype == typeCNAME || qtype == wire.TypeANY {
		w.add(&w.out.AN, owner, typeCNAME, ttl, target)
		return nil, 0
	}
	return target, ttl
}
