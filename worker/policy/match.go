package policy

import (
	"encoding/binary"
	"regexp"
	"slices"

	"secure-dns-proxy/transport/wire"
)

// pattern is a regular expression over names as text.
type pattern struct{ *regexp.Regexp }

// matches reports whether the match at node i holds.
func (p *Policy) matches(i int32, q *Query, s *State) bool {
	n := &p.nodes[i]
	switch n.op {
	case Is:
		return p.selects(n, q, s)
	case All:
		for i++; i < n.end; i = p.nodes[i].end {
			if !p.matches(i, q, s) {
				return false
			}
		}
		return true
	case Any:
		for i++; i < n.end; i = p.nodes[i].end {
			if p.matches(i, q, s) {
				return true
			}
		}
		return false
	}
	return !p.matches(i+1, q, s)
}

// selects reports whether one selector holds.
func (p *Policy) selects(n *node, q *Query, s *State) bool {
	switch n.kind {
	case InSet:
		if q.Name != nil && !q.hashed {
			q.hash(p.deepest)
		}
		return p.sets[n.at].Set().holds(q)
	case Regex:
		return q.Name != nil && p.patterns[n.at].Match(s.textOf(q))
	case Labels:
		if !q.counted {
			q.count()
		}
		return q.Name != nil && n.has(q.labels)
	case NameBytes:
		return q.Name != nil && n.has(len(q.Name))
	case QType:
		return q.Name != nil && slices.Contains(p.numbers[n.at], q.Type)
	case QClass:
		return q.Name != nil && slices.Contains(p.numbers[n.at], q.Class)
	case Opcode:
		return slices.Contains(p.numbers[n.at], q.Flags&wire.OpcodeMask>>11)
	case RD:
		return q.Flags&wire.FlagRD != 0 == n.want
	case CD:
		return q.Flags&wire.FlagCD != 0 == n.want
	case DO:
		return q.DO == n.want
	case EDNS:
		return q.HasOPT == n.want
	case EDNSVersion:
		return q.HasOPT && n.has(int(q.Version))
	case EDNSOption:
		return hasOption(q.Options, p.numbers[n.at])
	case TCP:
		return q.TCP == n.want
	}
	return p.selectsMore(n, q, s)
}

// selectsMore holds what is rarer.
func (p *Policy) selectsMore(n *node, q *Query, s *State) bool {
	switch n.kind {
	case Source:
		return p.prefixes[n.at].Contains(q.Source.Addr())
	case Destination:
		return p.prefixes[n.at].Contains(q.Target.Addr())
	case SourcePort:
		return n.has(int(q.Source.Port()))
	case DestinationPort:
		return n.has(int(q.Target.Port()))
	case Size:
		if q.Answer != nil {
			return n.has(len(q.Answer.Records))
		}
		return n.has(q.Bytes)
	case Answers:
		return q.Answer != nil && n.has(int(q.Answer.AN))
	case Authorities:
		return q.Answer != nil && n.has(int(q.Answer.NS))
	case Additionals:
		if q.Answer != nil {
			return n.has(int(q.Answer.AR))
		}
		return n.has(q.Additionals)
	case RCode:
		return q.Answer != nil && slices.Contains(p.numbers[n.at], q.Answer.RCode)
	case Chance:
		return n.want || uint32(s.next()>>32) < n.high
	case OverRate:
		return s.buckets[n.at].over(&p.rates[n.at], q.Now)
	case OverSourceRate:
		return s.sources[n.at].over(&p.bySource[n.at], q.Source.Addr(), q.Now)
	case PoolAvailable:
		return q.Pools.Available(int(n.at)) == n.want
	case PoolOutstanding:
		return n.has(q.Pools.Outstanding(int(n.at)))
	case Tagged:
		return q.Tags&n.tags != 0
	case Clock:
		return p.schedules[n.at].holds(s.wall(q.Now))
	}
	panic("policy: no such selector")
}

// has reports whether v is in the node's range.
func (n *node) has(v int) bool { return uint32(v) >= n.low && uint32(v) <= n.high }

// hasOption reports whether an OPT's options, which are whole, have one of the codes.
func hasOption(options []byte, codes []uint16) bool {
	for len(options) >= 4 {
		if slices.Contains(codes, binary.BigEndian.Uint16(options)) {
			return true
		}
		options = options[4+int(binary.BigEndian.Uint16(options[2:])):]
	}
	return false
}

// appendText writes a name as text: labels with dots behind them, what is no letter, digit, hyphen or underscore as \DDD (RFC 1035 §5.1).
func appendText(dst, name []byte) []byte {
	if len(name) == 1 {
		return append(dst, '.')
	}
	for i := 0; name[i] != 0; {
		n := int(name[i])
		for _, c := range name[i+1 : i+1+n] {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
				dst = append(dst, c)
			} else {
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			}
		}
		dst = append(dst, '.')
		i += 1 + n
	}
	return dst
}
