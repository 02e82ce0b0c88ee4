package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// FuzzParseQuery: no panic; what we accept miekg/dns reads with the same question and EDNS; key and upstream query round-trip; every
// fault that is answered has an answer that miekg/dns can read.
func FuzzParseQuery(f *testing.F) {
	f.Add([]byte(idQuery + one + exampleA))                                               // the usual question
	f.Add([]byte(idQuery + oneOPT + exampleA + opt1232DO))                                // EDNS with DO
	f.Add([]byte("\x12\x34\x01\x10" + one + "\x03wWw\x07eXaMpLe\x00\x00\x1c\x00\x01"))    // CD, 0x20 case
	f.Add([]byte(idQuery + one + "\x00\x00\x02\x00\x01"))                                 // the root
	f.Add([]byte(idQuery + one + longName(255) + typeAIN))                                // longest name
	f.Add([]byte(idQuery + oneOPT + exampleA + opt1232[:9] + "\x00\x04\x00\x0f\x00\x00")) // an empty option
	f.Add([]byte(idQuery + one + exampleA + "trailing"))
	f.Add([]byte(idQuery + "\x00\x00\x00\x00\x00\x00\x00\x01" + optWith("\x00\x0a\x00\x08clientid\x00\x03\x00\x00"))) // a cookie without a question
	f.Add([]byte(idQuery + oneOPT + exampleA + optWith("\x00\x0a\x00\x18clientidserverserverserv\x00\x0a\x00\x01x")))
	f.Add([]byte(idQuery + "\x00\x01\x00\x00\x00\x00\x00\x02" + exampleA + toName + "\xff\x00\x00\x01\x00\x00\x00\x00\x00\x01x" + opt1232)) // unknown record first
	for _, m := range malformedQueries {
		f.Add([]byte(m.msg))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		var q Query
		fault := ParseQuery(msg, &q)
		checkAsked(t, &q)
		if !bytes.Equal(before, msg) {
			t.Fatal("the query was modified")
		}
		if fault != FaultNone {
			checkErrorAnswer(t, &q, fault)
			return
		}
		checkAccepted(t, msg, &q)
		checkKeyRoundTrip(t, &q)
	})
}

// checkAsked reads the options again, as one would without a thought for cost.
func checkAsked(t *testing.T, q *Query) {
	a, fault := q.Asked()
	var cookie []byte
	cookies, nsid := 0, false
	for rest := q.Options; len(rest) > 0; {
		code, value := binary.BigEndian.Uint16(rest), rest[4:][:binary.BigEndian.Uint16(rest[2:])]
		rest = rest[4+len(value):]
		nsid = nsid || code == 3
		if code == 10 {
			if cookies == 0 {
				cookie = value
			}
			cookies++
		}
	}
	n := len(cookie)
	bad := cookies > 0 && n != 8 && (n < 16 || n > 40)
	switch {
	case bad != (fault == FaultCookie) || a.NSID != nsid || bad && a.Client != nil:
		t.Fatalf("options %x: %+v, fault %v", q.Options, a, fault)
	case !bad && !bytes.Equal(append(bytes.Clone(a.Client), a.Server...), cookie):
		t.Fatalf("options %x: cookie %x %x, want %x", q.Options, a.Client, a.Server, cookie)
	}
}

func checkErrorAnswer(t *testing.T, q *Query, fault Fault) {
	rcode, answer := fault.RCode()
	if !answer {
		return
	}
	c := q.Client(ReplyBytesMin)
	c.Options = AppendNSID(AppendCookie(nil, new([8]byte), new([16]byte)), "id")
	dst := make([]byte, ErrorBytesMax)
	m := mustUnpack(t, dst[:WriteError(dst, &c, rcode, fault.EDE(), 1232)])
	if m.Id != q.ID || !m.Response || m.Rcode != int(rcode) && (q.HasOPT || rcode <= RCodeMask) {
		t.Fatalf("error answer %v, want id %#x, rcode %d", m, q.ID, rcode)
	}
	if q.Question != nil {
		checkQuestion(t, m, q.Question)
	}
}

// checkAccepted rebuilds the query from what we read of it, without options and unknown records (whose insides are not ours to judge),
// and compares it with the oracle's reading. Without any of those the original must be readable as it is.
func checkAccepted(t *testing.T, msg []byte, q *Query) {
	rebuilt := append([]byte(nil), msg[:4]...)
	rebuilt = append(rebuilt, one...)
	rebuilt = append(rebuilt, q.Question...)
	if q.HasOPT {
		rebuilt[HeaderBytes-1] = 1
		opt := make([]byte, OPTBytes)
		putOPT(opt, q.UDPSize, 0, q.DO, 0)
		rebuilt = append(rebuilt, opt...)
	}
	readings := []*dns.Msg{mustUnpack(t, rebuilt)}
	additional := binary.BigEndian.Uint16(msg[10:])
	if additional == 0 || additional == 1 && q.HasOPT && len(q.Options) == 0 {
		readings = append(readings, mustUnpack(t, msg))
	}
	for _, m := range readings {
		checkQuestion(t, m, q.Question)
		opt := m.IsEdns0()
		if (opt != nil) != q.HasOPT {
			t.Fatalf("HasOPT = %v, oracle %v", q.HasOPT, opt)
		}
		if opt != nil && (opt.Do() != q.DO || opt.UDPSize() != q.UDPSize || opt.Version() != q.Version) {
			t.Fatalf("OPT = %+v, oracle %v", q, opt)
		}
		if m.Id != q.ID || m.RecursionDesired != (q.Flags&FlagRD != 0) || m.CheckingDisabled != (q.Flags&FlagCD != 0) {
			t.Fatalf("header = %#x %#x, oracle %v", q.ID, q.Flags, m.MsgHdr)
		}
	}
}

func checkKeyRoundTrip(t *testing.T, q *Query) {
	var buf, again [KeyBytesMax]byte
	key := q.Key(&buf)
	var set [32]byte
	CaseBits(q.Question[:q.NameLen], &set)
	var question [QuestionBytesMax]byte
	if got := RestoreQuestion(&question, key, &set); !bytes.Equal(got, q.Question) {
		t.Fatalf("RestoreQuestion = %q, want %q", got, q.Question)
	}
	dst := make([]byte, BuiltQueryBytesMax)
	built := dst[:BuildQuery(dst, q.ID, key, 1232)]
	m := mustUnpack(t, built)
	checkQuestion(t, m, KeyQuestion(key))
	if !m.AuthenticatedData || m.IsEdns0() == nil {
		t.Fatalf("upstream query without AD or OPT: %v", m)
	}
	var upstream Query
	if fault := ParseQuery(built, &upstream); fault != FaultNone {
		t.Fatalf("our own query: %v", fault)
	}
	if got := upstream.Key(&again); !bytes.Equal(got, key) {
		t.Fatalf("key of the upstream query = %q, want %q", got, key)
	}
}

// keyOf makes the key a response would be expected under, from its own question.
func keyOf(msg []byte) []byte {
	if len(msg) < HeaderBytes {
		return []byte(exampleA + "\x04")
	}
	end := plainNameEnd(msg, HeaderBytes)
	if end < 0 || end+4 > len(msg) {
		return []byte(exampleA + "\x04")
	}
	key := append(asciiLower(msg[HeaderBytes:end]), msg[end:end+4]...)
	return append(key, KeyRD)
}

// inCaseOf puts the client's spelling into a response: names that point at the question take on its case, as they do in our replies.
func inCaseOf(question, response []byte) []byte {
	copy(response[HeaderBytes:], question)
	return response
}

func addResponses(add func(string)) {
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA)                                                                        // one address
	add(answerHead(flagsAnswer, 2, 0, 1) + exampleA + cnameWWW + record("\xc0\x29", "\x00\x01", ttl300, "\xc0\x00\x02\x01") + opt1232) // chain and OPT
	add(answerHead(nxdomain, 0, 1, 1) + exampleA + soa900 + opt1232DO)                                                                 // negative
	add(answerHead(flagsAnswer, 0, 0, 3) + exampleA + opt1232 + record("\x01g"+toName, "\x00\x01", ttl300, "\xc0\x00\x02\x01") +
		record("\xc0\x28", "\x00\x1c", ttl300, "0123456789abcdef")) // OPT first, then a pointer behind it
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x0f", ttl300, "\x00\x0a\x02mx"+toName)) // MX
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x21", ttl300, "\x00\x0a\x00\x00\x00\x35\x02mx"+toName))
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x23", ttl300, "\x00\x0a\x00\x00\x01S\x00\x00"+toName))          // NAPTR
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x41", ttl300, "\x00\x01\x00\x00\x01\x00\x03\x02h2"))            // HTTPS
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x01", "\x80\x00\x00\x00", "\xc0\x00\x02\x01"))                  // TTL of 2^31
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\xff\x01", ttl300, "opaque"))                                        // unknown type
	add(answerHead(flagsAnswer|FlagTC, 0, 0, 1) + exampleA + opt1232)                                                                      // truncated
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x2f", ttl300, "\x01b"+toName+"\x00\x01\x40"))                   // NSEC
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x2e", ttl300, "\x00\x01\x0d\x020123456789abcd"+toName+"sign"))  // RRSIG
	add(answerHead(flagsAnswer, 1, 0, 0) + exampleA + record(toName, "\x00\x2d", ttl300, "\x0a\x03\x02\x01\x02gw"+toName+"key"))           // IPSECKEY: opaque
	add(answerHead(flagsAnswer, 0, 0, 1) + exampleA + "\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x06\x00\x0f\x00\x02\x00\x16" + "trailing") // BADVERS, EDE
}

// FuzzParseResponse: no panic; what we accept and miekg/dns can read gives a reply that miekg/dns reads with the same records, aged;
// what miekg/dns cannot read (RDATA of types that are opaque to us) still gives a reply that we accept.
func FuzzParseResponse(f *testing.F) {
	addResponses(func(s string) { f.Add([]byte(s), uint32(7)) })
	for _, m := range malformedResponses {
		f.Add([]byte(m.msg), uint32(0))
	}
	scratch := new(ResponseScratch)
	f.Fuzz(func(t *testing.T, msg []byte, age uint32) {
		key := keyOf(msg)
		question := bytes.Clone(KeyQuestion(key))
		before := bytes.Clone(msg)
		var a Answer
		if ParseResponse(msg, key, &a, scratch) != FaultNone {
			return
		}
		response := new(dns.Msg)
		oracleErr := response.Unpack(inCaseOf(question, before))
		checkTTL(t, &a, response, oracleErr)
		c := Client{Question: question, Limit: MessageBytesMax}
		dst := make([]byte, MessageBytesMax)
		written := dst[:WriteReply(dst, &c, &a, age, 1232)]
		if zone := a.Zone(question[:len(question)-4]); !bytes.HasSuffix(question[:len(question)-4], zone) || zone[len(zone)-1] != 0 {
			t.Fatalf("zone %q of a question for %q", zone, question)
		}
		if dst[2]&(FlagTC>>8) != 0 && a.Flags&FlagTC == 0 {
			t.Fatalf("truncated at %d bytes", len(written))
		}
		if _, _, comparable := oracleRecords(response, 0); oracleErr == nil && comparable {
			checkRecords(t, response, mustUnpack(t, written), age)
		}
		counts := [3]uint16{a.AN, a.NS, a.AR}
		ttls := len(a.TTLs)
		if fault := ParseResponse(written, key, &a, scratch); fault != FaultNone {
			t.Fatalf("our own reply: %v", fault)
		}
		if counts != [3]uint16{a.AN, a.NS, a.AR} || ttls != len(a.TTLs) {
			t.Fatalf("counts %v, %d TTLs; in the reply %v, %d", counts, ttls, [3]uint16{a.AN, a.NS, a.AR}, len(a.TTLs))
		}
	})
}

func checkTTL(t *testing.T, a *Answer, response *dns.Msg, oracleErr error) {
	for i, off := range a.TTLs {
		if int(off)+4 > len(a.Records) || i > 0 && off < a.TTLs[i-1]+recordBytesMin {
			t.Fatalf("TTL offsets %v in %d bytes", a.TTLs, len(a.Records))
		}
	}
	if len(a.TTLs) != int(a.AN)+int(a.NS)+int(a.AR) {
		t.Fatalf("%d TTLs for %d+%d+%d records", len(a.TTLs), a.AN, a.NS, a.AR)
	}
	_, ttlMin, comparable := oracleRecords(response, 0)
	if oracleErr != nil || !comparable || a.TTL == 0 {
		return
	}
	if a.TTL > ttlMin || !a.Negative && a.TTL != ttlMin {
		t.Fatalf("TTL = %d, least of the records %d", a.TTL, ttlMin)
	}
	if a.Flags&FlagTC != 0 || a.RCode != RCodeNoError && a.RCode != RCodeNXDomain {
		t.Fatalf("TTL = %d for flags %#x, rcode %d", a.TTL, a.Flags, a.RCode)
	}
}

// FuzzWriteReply: a query and a response as two parties sent them; the reply never exceeds the limit, is always readable, echoes the
// client's question and EDNS, and is cut at the border of an RRset when it would not fit.
func FuzzWriteReply(f *testing.F) {
	addResponses(func(s string) {
		f.Add([]byte(idQuery+one+exampleA), []byte(s), uint32(0), uint16(512))
		f.Add([]byte(idQuery+oneOPT+exampleA+opt1232DO), []byte(s), uint32(100), uint16(40))
		f.Add([]byte("\x12\x34\x01\x20"+one+"\x07EXAMPLE\x03com\x00"+typeAIN), []byte(s), uint32(1<<31), uint16(1232)) // AD, upper case
	})
	large := "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x01\x00\x20" + exampleA + addressA + addressA + soa900
	for range 32 { // additional records of alternating types
		large += addressA + "\xc0\x0c\x00\x10\x00\x01" + ttl300 + "\x00\x20\x1f" + strings.Repeat("x", 31)
	}
	f.Add([]byte(idQuery+one+exampleA), []byte(large), uint32(7), uint16(512))
	f.Add([]byte(idQuery+oneOPT+exampleA+opt1232DO), []byte(large), uint32(7), uint16(700))
	scratch := new(ResponseScratch)
	f.Fuzz(func(t *testing.T, query, response []byte, age uint32, size uint16) {
		var q Query
		if ParseQuery(query, &q) != FaultNone {
			return
		}
		var buf [KeyBytesMax]byte
		var a Answer
		before := bytes.Clone(response)
		if ParseResponse(response, q.Key(&buf), &a, scratch) != FaultNone {
			return
		}
		original := new(dns.Msg)
		oracleErr := original.Unpack(inCaseOf(q.Question, before))
		c := q.Client(q.ReplyLimit(size))
		dst := make([]byte, c.Limit)
		written := dst[:WriteReply(dst, &c, &a, age, 1232)]
		need := HeaderBytes + len(q.Question) + len(a.Records)
		if q.HasOPT {
			need += OPTBytes
			if a.Extended != 0 {
				need += EDEBytes
			}
		}
		fits := need <= c.Limit
		if fits && len(written) != need || len(written) > c.Limit {
			t.Fatalf("%d bytes, need %d, limit %d", len(written), need, c.Limit)
		}
		_, _, comparable := oracleRecords(original, 0)
		if !fits {
			reread := bytes.Clone(written)
			var again Answer
			if fault := ParseResponse(reread, q.Key(&buf), &again, scratch); fault != FaultNone {
				t.Fatalf("our own cut reply: %v", fault)
			}
		}
		if oracleErr != nil || !comparable {
			return // RDATA that only the oracle looks into; FuzzParseResponse re-reads such replies itself
		}
		m := mustUnpack(t, written)
		checkQuestion(t, m, q.Question)
		if fits && m.Truncated != (a.Flags&FlagTC != 0) {
			t.Fatalf("TC = %v, but it fits", m.Truncated)
		}
		if m.Id != q.ID || !m.Response || !m.RecursionAvailable || m.RecursionDesired != (q.Flags&FlagRD != 0) {
			t.Fatalf("header %v for query %#x %#x", m.MsgHdr, q.ID, q.Flags)
		}
		if m.AuthenticatedData && q.Flags&FlagAD == 0 && !q.DO {
			t.Fatal("AD for a client that did not ask")
		}
		opt := m.IsEdns0()
		if (opt != nil) != q.HasOPT || opt != nil && opt.Do() != q.DO {
			t.Fatalf("OPT %v for a query with OPT %v, DO %v", opt, q.HasOPT, q.DO)
		}
		if fits {
			checkRecords(t, original, m, age)
		} else {
			checkCut(t, original, m, a.Negative)
		}
	})
}

// checkCut: what is left of a reply that was cut are whole RRsets from its front, and TC tells when something is missing that counts.
func checkCut(t *testing.T, original, cut *dns.Msg, negative bool) {
	t.Helper()
	before, after := sectionsOf(original), sectionsOf(cut)
	missing := -1
	for s := range before {
		n := len(after[s])
		if missing >= 0 && n > 0 {
			t.Fatalf("section %d has %d records, but section %d was cut", s, n, missing)
		}
		if n > len(before[s]) {
			t.Fatalf("section %d has %d records of %d", s, n, len(before[s]))
		}
		for i := range n {
			if !strings.EqualFold(before[s][i].Header().Name, after[s][i].Header().Name) || before[s][i].Header().Rrtype != after[s][i].Header().Rrtype {
				t.Fatalf("section %d, record %d: %v, was %v", s, i, after[s][i], before[s][i])
			}
		}
		if n == len(before[s]) {
			continue
		}
		if missing < 0 {
			missing = s
		}
		if n > 0 {
			last, next := before[s][n-1].Header(), before[s][n].Header()
			if last.Rrtype == next.Rrtype || next.Rrtype == dns.TypeRRSIG {
				t.Fatalf("cut between %v and %v", last, next)
			}
		}
	}
	opt := cut.IsEdns0()
	want := original.Truncated || missing == 0 || missing > 0 && negative || missing == 1 && opt != nil && opt.Do()
	if cut.Truncated != want {
		t.Fatalf("TC = %v, section %d was cut, negative %v", cut.Truncated, missing, negative)
	}
}

// sectionsOf leaves the OPT out.
func sectionsOf(m *dns.Msg) [3][]dns.RR {
	extra := slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	return [3][]dns.RR{m.Answer, m.Ns, extra}
}
