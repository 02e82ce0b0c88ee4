package rpz

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gaissmai/bart"
)

// Zone is one compiled zone.
type Zone struct {
	origin    []byte
	soa       SOA
	names     [Triggers]names // QName and NSDName
	addresses [Triggers]bart.Table[rule]
	records   records
	ignored   int
}

// SOA is the start of authority of a zone.
type SOA struct {
	Serial                          uint32
	Refresh, Retry, Expire, Minimum time.Duration
	TTL                             uint32
	Data                            []byte // RDATA, names not compressed
}

// parseSOA reads RDATA that a parser has made: two names and five numbers.
func parseSOA(ttl uint32, data []byte) (SOA, bool) {
	if len(data) < 22 {
		return SOA{}, false
	}
	n := data[len(data)-20:]
	seconds := func(i int) time.Duration {
		return time.Duration(binary.BigEndian.Uint32(n[4*i:])) * time.Second
	}
	return SOA{
		Serial: binary.BigEndian.Uint32(n), Refresh: seconds(1), Retry: seconds(2), Expire: seconds(3), Minimum: seconds(4),
		TTL: ttl, Data: append([]byte(nil), data...),
	}, true
}

// negativeTTL is how long a negative answer of the zone is good: RFC 2308 §5.
func (s *SOA) negativeTTL() uint32 { return min(s.TTL, uint32(s.Minimum/time.Second)) }

// Origin is the zone's name, in wire form and lower case.
func (z *Zone) Origin() []byte { return z.origin }

// SOA is the zone's. Its Data is not to be changed.
func (z *Zone) SOA() SOA { return z.soa }

// Count is how many triggers of a kind there are.
func (z *Zone) Count(t Trigger) int {
	if t == QName || t == NSDName {
		return z.names[t].count
	}
	return z.addresses[t].Size()
}

// Len is how many triggers there are.
func (z *Zone) Len() int {
	n := 0
	for t := range triggers {
		n += z.Count(t)
	}
	return n
}

// Ignored is how many records were left out because policies have no use for them: name servers, and what belongs to DNSSEC.
func (z *Zone) Ignored() int { return z.ignored }

// prefixBytes is what an entry of a prefix table takes, by measurement (TestBytes): between 30 for neighbours and 110 for addresses far from each
// other.
const prefixBytes = 110

// Bytes is what the zone takes: exact for names and records, an upper estimate for prefixes.
func (z *Zone) Bytes() int {
	n := cap(z.records.mem)
	for t := range triggers {
		n += z.names[t].bytes() + z.addresses[t].Size()*prefixBytes
	}
	return n
}

// answers reports whether the zone has triggers that are asked with an answer.
func (z *Zone) answers() bool { return z.Count(IP)+z.Count(NSDName)+z.Count(NSIP) != 0 }

// address returns the rule of the longest prefix that holds a. length is that of the prefix within ::ffff:0:0/96 for IPv4.
func (z *Zone) address(t Trigger, a netip.Addr) (r rule, length int, ok bool) {
	table := &z.addresses[t]
	if table.Size() == 0 || !a.IsValid() {
		return rule{}, 0, false
	}
	p, r, ok := table.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	if !ok {
		return rule{}, 0, false
	}
	length = p.Bits()
	if a.Is4() {
		length += 96
	}
	return r, length, true
}

// special is the RDATA of the CNAMEs that stand for actions.
var special = map[string]Action{
	"\x00":                 NXDomain,
	"\x01*\x00":            NoData,
	"\x0crpz-passthru\x00": Passthru,
	"\x08rpz-drop\x00":     Drop,
	"\x0crpz-tcp-only\x00": TCPOnly,
}

// specialData is the reverse.
var specialData = func() (data [Actions][]byte) {
	for text, action := range special {
		data[action] = []byte(text)
	}
	return data
}()

// All calls yield for each record of the zone but the SOA: owner and RDATA in wire form, valid until yield returns. What stands for an action
// has the TTL of the SOA. It ends early when yield returns false.
func (z *Zone) All(yield func(owner []byte, rrtype uint16, ttl uint32, data []byte) bool) {
	var buf [2 * nameBytesMax]byte
	emit := func(o *owner, r rule) bool {
		name := o.appendOwner(buf[:0], z.origin)
		if r.action != Local {
			return yield(name, typeCNAME, z.soa.TTL, specialData[r.action])
		}
		for at := r.data; at != 0; {
			e := z.records.at(at)
			if !yield(name, e.rrtype, e.ttl, e.data) {
				return false
			}
			at = e.next
		}
		return true
	}
	for t := range triggers {
		if !z.names[t].all(func(name []byte, wildcard bool, r rule) bool {
			return emit(&owner{trigger: t, name: name, wildcard: wildcard}, r)
		}) {
			return
		}
		for p, r := range z.addresses[t].All() {
			if !emit(&owner{trigger: t, prefix: p}, r) {
				return
			}
		}
	}
}
