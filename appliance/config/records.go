package config

import (
	"strings"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// question is a compression pointer to the name that was asked for (RFC 1035 §4.1.4).
var question = []byte{0xC0, wire.HeaderBytes}

// records makes the answers of an action: for each type those of its records that have it. An alias answers every type.
func (c *checker) records(a *actionTable) *policy.Records {
	out := &policy.Records{ByType: map[uint16]*wire.Answer{}, Any: c.blank(a, false)}
	for _, item := range a.records {
		text, _ := c.text(item)
		rr, err := dns.NewRR(". 0 IN " + text)
		if err != nil || rr == nil {
			c.fault(item, "%q is no record: write a type and its data, such as \"A 192.0.2.1\", \"CNAME www.example.\" or \"TYPE65 \\\\# 3 000100\"", text)
			continue
		}
		buf := make([]byte, wire.MessageBytesMax)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			c.fault(item, "%q: %v", text, err)
			continue
		}
		rrtype, data := rr.Header().Rrtype, buf[11:n] // after the root, type, class, TTL and length
		if rrtype == dns.TypeOPT || rrtype >= dns.TypeIXFR && rrtype <= dns.TypeANY {
			c.fault(item, "%s is no type of data", strings.Fields(text)[0])
			continue
		}
		if out.ByType[rrtype] == nil {
			out.ByType[rrtype] = c.blank(a, false)
		}
		for _, answer := range []*wire.Answer{out.ByType[rrtype], out.Any} {
			answer.AppendRecord(question, rrtype, wire.ClassINET, a.ttl, data)
			answer.AN++
		}
	}
	switch alias := out.ByType[wire.TypeCNAME]; {
	case alias != nil && len(out.ByType) > 1:
		c.fault(a.records[0], "an alias (CNAME) stands alone (RFC 1034 §3.6.2)")
	case alias != nil:
		out.Other = alias
	case !a.continueOther:
		out.Other = c.blank(a, true)
	}
	return out
}

// blank is an answer without records.
func (c *checker) blank(a *actionTable, negative bool) *wire.Answer {
	out := &wire.Answer{TTL: a.ttl, Negative: negative}
	if negative {
		out.TTL = 0
	}
	if a.Extended != wire.EDENone {
		out.Extended = a.Extended
	}
	return out
}

// negative makes the answer that something is not there, with the SOA that lets it be cached (RFC 2308 §3).
func (a *actionTable) negative() *policy.Records {
	mname, rname := a.mname, a.rname
	if mname == nil {
		mname = a.zone
	}
	if rname == nil {
		rname = packName("nobody.invalid.")
	}
	out := &wire.Answer{Flags: wire.FlagAA, RCode: a.RCode, Negative: true, NS: 1, TTL: a.ttl}
	if a.Extended != wire.EDENone {
		out.Extended = a.Extended
	}
	data := append(append([]byte(nil), mname...), rname...)
	for _, n := range [...]uint32{1, 3600, 1200, 604800, a.ttl} {
		data = append(data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	out.AppendRecord(a.zone, wire.TypeSOA, wire.ClassINET, a.ttl, data)
	return &policy.Records{Other: out}
}
