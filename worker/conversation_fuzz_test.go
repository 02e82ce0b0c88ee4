package worker

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/subnet"
	"secure-dns-proxy/worker/synth"
)

// script is what a conversation is made of: bytes, of which each step takes some. At its end there are zeros.
type script struct{ rest []byte }

func (s *script) byte() int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b)
}

// bytes takes a length and as many.
func (s *script) bytes() []byte {
	n := min(s.byte(), len(s.rest))
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func (s *script) on() bool { return s.byte()&1 == 1 }

// few takes a number below n, mostly one of the first few: what is asked for again can be in the cache.
func (s *script) few(first, n int) int {
	if b := s.byte(); b < 200 {
		return b % first
	}
	return s.byte() % n
}

// scripted is a worker whose clients and upstream do what a script says.
type scripted struct {
	*bench
	script
	asked   []scriptedQuery
	queries map[uint16]clientQuery // by id, those that have not been answered
	sent    uint16                 // messages of clients, the id of the last
	opaque  bool                   // an upstream's answer was taken that the oracle cannot read: what it holds we pass on as it is
}

// clientQuery is what a client has sent.
type clientQuery struct {
	from netip.AddrPort
	msg  []byte
}

// scriptedQuery is what the upstream has been asked.
type scriptedQuery struct {
	sentDatagram
	lane      *transport.Lane // nil: over UDP
	slot, gen uint32
}

// beginScript makes the worker, with a choice of everything that makes or changes answers.
func beginScript(t *testing.T, data []byte) *scripted {
	s := &scripted{script: script{data}, queries: map[uint16]clientQuery{}}
	s.bench = newBench(t, 1, func(c *Config, snap *Snapshot) {
		p := &snap.Pools[0]
		p.Subnet = subnet.Spec{Mode: subnet.Mode(s.byte() % 4), IPv4: 24, IPv6: 56, Private: true}
		p.WhenDown, p.StaleAfter, snap.StaleMax = WhenDown(s.byte()%3), 300*time.Millisecond, 3600
		snap.NXDomainCut, snap.PassErrors, snap.PrefetchPercent, snap.PrefetchRate = s.on(), s.on(), 50*(s.byte()&1), 100
		snap.FailureTTL, snap.FailureTTLMax = time.Duration(s.byte()&1)*time.Second, time.Second
		if s.on() {
			snap.DNS64, _ = synth.NewDNS64(netip.MustParsePrefix("64:ff9b::/96"), nil)
		}
		if s.on() {
			snap.Rebinding, _ = synth.NewRebinding(s.on(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
		}
		if s.on() {
			snap.PassOptions = []uint16{65001}
		}
		if s.on() {
			snap.NSID = string(bytes.Repeat([]byte("n"), wire.NSIDBytesMax))
		}
		snap.Cookies.Enabled, snap.Cookies.Secrets = s.on(), []cookie.Secret{{1}}
		if snap.Requests.Classes = Refused; s.on() {
			snap.Requests.Classes = Forwarded
		}
		snap.Local = local.Spec{Localhost: true, PrivateReverse: s.on(), ResolverARPA: true, Version: "one", Any: local.Any(s.byte() % len(local.AnyNames))}
		snap.TTLMin = uint32(s.byte() & 3)
		c.UDPSizeMax = []uint16{512, 1232, 4096}[s.byte()%3]
	})
	return s
}

var scriptNames = []string{
	"a.example.", "b.example.", "c.a.example.", ".", "localhost.", "id.server.", "version.bind.", "1.0.0.10.in-addr.arpa.", "_dns.resolver.arpa.",
	"4.0.9.2.6.2.6.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.", "ipv4only.arpa.",
	"abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc.abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijx.",
}

var scriptTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeANY, dns.TypePTR, dns.TypeSVCB, dns.TypeHINFO, dns.TypeDS, dns.TypeAXFR, 65400}

// query makes a query that the oracle can read.
func (s *scripted) query() []byte {
	m := query(0, scriptNames[s.few(3, len(scriptNames))], scriptTypes[s.few(2, len(scriptTypes))])
	name := []byte(m.Question[0].Name)
	for i, mask := 0, s.byte(); i < len(name); i++ {
		if name[i] >= 'a' && name[i] <= 'z' && mask>>(i&7)&1 == 1 {
			name[i] -= 0x20
		}
	}
	m.Question[0].Name = string(name)
	flags := s.few(1, 256)
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = flags&1 == 0, flags&2 != 0, flags&4 != 0
	switch flags >> 4 {
	case 1:
		m.Question[0].Qclass = dns.ClassCHAOS
	case 2:
		m.Opcode = flags & 15
	case 3:
		m.Question = append(m.Question, m.Question...)[:flags&3*2/3]
	}
	if edns := s.byte(); edns != 0 {
		opt := m.SetEdns0([]uint16{0, 512, 700, 1232, 4096, 65535}[edns%6], edns&64 != 0).IsEdns0()
		if edns&32 != 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: []uint16{3, 8, 10, 12, 15, 65001}[s.byte()%6], Data: s.bytes()})
		}
		if edns&16 != 0 {
			bits := uint8(8 * (s.byte() % 4))
			network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(s.byte()), 1, 0}), int(bits)).Masked().Addr()
			opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: bits, Address: network.AsSlice()})
		}
		opt.SetVersion(uint8(edns >> 7))
	}
	return pack(s.t, m)
}

// answer makes an answer to q that the oracle can read.
func (s *scripted) answer(q []byte) []byte {
	asked, m := unpack(s.t, q), new(dns.Msg)
	m.SetReply(asked)
	flags := s.byte()
	m.Compress, m.Authoritative, m.AuthenticatedData, m.Truncated = flags&1 == 0, flags&2 != 0, flags&4 != 0, flags&56 == 56
	m.Rcode = []int{0, 0, 0, 0, dns.RcodeNameError, dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeBadVers}[s.byte()%8]
	for i := range s.byte() % 16 {
		h := dns.RR_Header{Name: m.Question[0].Name, Rrtype: m.Question[0].Qtype, Class: m.Question[0].Qclass, Ttl: uint32(s.byte()) << (s.byte() & 31)}
		var rr dns.RR
		kind := s.byte()
		if plain := slices.Index(scriptTypes[:3], h.Rrtype); i == 0 && plain >= 0 {
			kind = kind&^7 | []int{0, 1, 4}[plain] // what was asked for
		}
		switch kind % 8 {
		case 0:
			h.Rrtype = dns.TypeA
			rr = &dns.A{Hdr: h, A: []byte{192 - 182*byte(kind>>3&1), 0, 0, byte(s.byte())}}
		case 1:
			h.Rrtype = dns.TypeAAAA
			rr = &dns.AAAA{Hdr: h, AAAA: append(make([]byte, 15), byte(s.byte()))}
		case 2:
			h.Rrtype = dns.TypeCNAME
			rr = &dns.CNAME{Hdr: h, Target: scriptNames[s.byte()%len(scriptNames)]}
		case 3:
			h.Rrtype, h.Name = dns.TypeSOA, scriptNames[s.byte()%3]
			rr = &dns.SOA{Hdr: h, Ns: scriptNames[s.byte()%len(scriptNames)], Mbox: "m.", Minttl: uint32(s.byte())}
		case 4:
			h.Rrtype = dns.TypeTXT
			rr = &dns.TXT{Hdr: h, Txt: []string{string(bytes.Repeat([]byte("t"), s.byte()))}}
		case 5:
			h.Name, h.Rrtype = scriptNames[s.byte()%len(scriptNames)], dns.TypeNS
			rr = &dns.NS{Hdr: h, Ns: scriptNames[s.byte()%len(scriptNames)]}
		case 6:
			h.Rrtype = uint16(s.byte()) + 65280
			rr = &dns.RFC3597{Hdr: h, Rdata: ""}
		default:
			h.Name = scriptNames[s.byte()%len(scriptNames)]
			rr = &dns.ANY{Hdr: h}
			rr.Header().Rrtype = dns.TypeNULL
			rr = &dns.NULL{Hdr: *rr.Header(), Data: string(bytes.Repeat([]byte{0xC0}, s.byte()))}
		}
		section := []*[]dns.RR{&m.Answer, &m.Answer, &m.Ns, &m.Extra}[s.byte()%4]
		*section = append(*section, rr)
	}
	if edns := s.byte(); edns&1 == 0 || m.Rcode == dns.RcodeBadVers {
		opt := m.SetEdns0(1232, edns&2 != 0).IsEdns0()
		for _, o := range asked.IsEdns0().Option {
			if network, ok := o.(*dns.EDNS0_SUBNET); ok && edns&16 == 0 {
				network.SourceScope = uint8(s.byte() % 33)
				opt.Option = append(opt.Option, network)
			}
		}
		if edns&4 != 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(s.byte()), ExtraText: "text"})
		}
		if edns&8 != 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: []uint16{3, 8, 10, 12, 65001}[s.byte()%5], Data: s.bytes()})
		}
	}
	return pack(s.t, m)
}

// spoil changes some bytes.
func (s *scripted) spoil(msg []byte) []byte {
	for range 1 + s.byte()%3 {
		at := s.byte()<<8 | s.byte()
		msg[at%len(msg)] ^= byte(1 + s.byte())
	}
	if s.byte()%8 == 0 {
		msg = msg[:s.byte()%len(msg)]
	}
	return msg
}

// step is one thing that happens.
func (s *scripted) step() {
	switch op := s.byte(); op % 8 {
	case 0, 1:
		s.ask(op>>3, s.query())
	case 2:
		s.ask(op>>3, s.spoil(s.query()))
	case 3:
		s.ask(op>>3, bytes.Clone(s.bytes()))
	case 4, 5:
		s.reply(func(q []byte) []byte { return s.answer(q) })
	case 6:
		s.reply(func(q []byte) []byte {
			if op&8 == 0 {
				return s.spoil(s.answer(q))
			}
			end := len(q) - 11 // in front of the OPT, if there are no options in it
			counts := []byte{0, 1, 0, byte(s.byte() % 4), 0, byte(s.byte() % 3), 0, byte(s.byte() % 3)}
			msg := append(bytes.Clone(q[:4]), counts...)
			msg[2] |= 0x80
			return append(append(msg, q[12:max(end, 12)]...), s.bytes()...)
		})
	default:
		s.now += time.Duration(s.byte()) * 20 * time.Millisecond
		s.see(s.turn())
	}
}

// ask has a client send a message.
func (s *scripted) ask(n int, msg []byte) {
	if s.sent++; len(msg) > 1 {
		binary.BigEndian.PutUint16(msg, s.sent)
	}
	ev := from(1+n%5, msg)
	s.queries[s.sent] = clientQuery{ev.Path.Addr(), bytes.Clone(msg)}
	s.see(s.turn(ev))
}

// reply has the upstream answer what it was asked first, if it was asked.
func (s *scripted) reply(make func(q []byte) []byte) {
	if len(s.asked) == 0 {
		return
	}
	q := s.asked[0]
	s.asked = s.asked[1:]
	msg := make(q.data)
	if new(dns.Msg).Unpack(msg) != nil {
		var asked wire.Query
		var space [wire.KeyBytesMax]byte
		var a wire.Answer
		s.opaque = s.opaque || wire.ParseQuery(q.data, &asked) == wire.FaultNone &&
			wire.ParseResponse(bytes.Clone(msg), asked.Key(&space), &a, new(wire.ResponseScratch)) == wire.FaultNone
	}
	if q.lane != nil {
		if len(msg) < wire.HeaderBytes {
			q.lane.Fail(q.slot, q.gen, transport.FaultProtocol)
		} else {
			q.lane.Answer(q.slot, q.gen, msg)
		}
		q.lane.Publish()
		s.see(s.turn())
		return
	}
	for i := range s.w.sockets {
		if sock := &s.w.sockets[i]; sock.upstream != nil && sock.handle == q.handle { // else it was closed meanwhile
			s.see(s.turn(s.bench.answer(q.sentDatagram, msg)))
			return
		}
	}
}

// see checks what the worker has sent.
func (s *scripted) see(sent []sentDatagram) {
	for _, d := range sent {
		d.data = bytes.Clone(d.data)
		if d.handle != clientSocket {
			unpack(s.t, d.data)
			s.asked = append(s.asked, scriptedQuery{sentDatagram: d})
			continue
		}
		s.judge(d)
	}
	for _, u := range s.w.active.pools[0].members {
		for r, ok := u.lane.Next(); ok; r, ok = u.lane.Next() {
			if !r.Cancel {
				unpack(s.t, r.Query)
				s.asked = append(s.asked, scriptedQuery{sentDatagram: sentDatagram{data: bytes.Clone(r.Query)}, lane: u.lane, slot: r.Slot, gen: r.Gen})
			}
		}
	}
}

// judge checks a reply: it is to a query of this client, repeats its id, opcode and question, fits, and can be read.
func (s *scripted) judge(d sentDatagram) {
	s.t.Helper()
	if err := walk(d.data); err != "" {
		s.t.Fatalf("%s: %x", err, d.data)
	}
	m := new(dns.Msg)
	if err := m.Unpack(d.data); err != nil && !s.opaque {
		s.t.Fatalf("%v: %x", err, d.data)
	}
	q, ok := s.queries[idOf(d.data)]
	if delete(s.queries, idOf(d.data)); !ok || q.from != d.to || !repliesTo(d.data, q.msg) {
		s.t.Fatalf("%x is no reply to %x, or the second one", d.data, q.msg)
	}
	if !s.fits(m, len(d.data), q.msg) {
		s.t.Fatalf("%x, %d bytes, is too long for %x, or has an OPT where that has none", d.data, len(d.data), q.msg)
	}
}

// fits reports whether the client that sent msg takes so many bytes, and an OPT if there is one. What the oracle cannot read of a query it does not judge.
func (s *scripted) fits(reply *dns.Msg, n int, msg []byte) bool {
	q := new(dns.Msg)
	if q.Unpack(msg) != nil {
		var parsed wire.Query
		wire.ParseQuery(msg, &parsed)
		return n <= parsed.ReplyLimit(s.w.cfg.UDPSizeMax)
	}
	opt, limit := q.IsEdns0(), uint16(wire.ReplyBytesMin)
	if opt != nil {
		limit = max(limit, min(opt.UDPSize(), s.w.cfg.UDPSizeMax))
	}
	unread := len(reply.Question) == 0 // it was not looked at so far that an OPT could be found
	return n <= int(limit) && (unread || s.opaque || (reply.IsEdns0() != nil) == (opt != nil))
}

// repliesTo reports whether reply can be one to msg: with QR and RA, not Z, opcode, RD and CD of the query, and its question.
func repliesTo(reply, msg []byte) bool {
	const qr, opcodeAndRD, ra, z, cd = 0x80, 0x79, 0x80, 0x40, 0x10
	if len(msg) < wire.HeaderBytes || msg[2]&qr != 0 || reply[2]&qr == 0 || (reply[2]^msg[2])&opcodeAndRD != 0 {
		return false
	}
	if reply[3]&ra == 0 || reply[3]&z != 0 || (reply[3]^msg[3])&cd != 0 {
		return false
	}
	if binary.BigEndian.Uint16(reply[4:]) == 0 {
		return binary.BigEndian.Uint16(reply[6:])+binary.BigEndian.Uint16(reply[8:]) == 0 // an error
	}
	end, _ := skipName(reply, wire.HeaderBytes)
	return binary.BigEndian.Uint16(reply[4:]) == 1 && end > 0 && bytes.HasPrefix(msg[wire.HeaderBytes:], reply[wire.HeaderBytes:end+4])
}

// walk steps over a message without a look into RDATA, and returns what is wrong.
func walk(msg []byte) string {
	if len(msg) < wire.HeaderBytes {
		return "no header"
	}
	off, ok := wire.HeaderBytes, true
	records := 0
	for i := range 4 {
		n := int(binary.BigEndian.Uint16(msg[4+2*i:]))
		for range n {
			if off, ok = skipName(msg, off); !ok || off+4 > len(msg) {
				return "a name or a question is cut short"
			}
			if off += 4; i == 0 {
				continue
			}
			if off+6 > len(msg) {
				return "a record is cut short"
			}
			off += 6 + int(binary.BigEndian.Uint16(msg[off+4:]))
			if off > len(msg) {
				return "RDATA are cut short"
			}
			records++
		}
	}
	if off != len(msg) {
		return "there is more than its header says"
	}
	return ""
}

// skipName returns the end of the name at off.
func skipName(msg []byte, off int) (end int, ok bool) {
	for at, hops := off, 0; at < len(msg); {
		switch c := int(msg[at]); {
		case c == 0:
			if end == 0 {
				end = at + 1
			}
			return end, true
		case c < 64:
			at += 1 + c
		case c < 192 || at+1 >= len(msg) || hops > 127:
			return 0, false
		default:
			if end == 0 {
				end = at + 2
			}
			at = int(binary.BigEndian.Uint16(msg[at:])) & 0x3FFF
			hops++
		}
	}
	return 0, false
}

// FuzzConversation: whatever clients and an upstream send, in whatever order, with whatever configured, what the worker sends can be read by the oracle; a reply is to
// a query that its client has sent, once, and fits it; an upstream is sent a query that can be read. Random scripts are seeds, so that a plain test run has some of
// each kind.
func FuzzConversation(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 300 {
		data := make([]byte, 100+rng.IntN(900))
		for i := range data {
			if data[i] = byte(rng.Uint32()); rng.IntN(3) == 0 {
				data[i] &= 7
			}
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := beginScript(t, data)
		for len(s.rest) > 0 {
			s.step()
		}
		for range 100 { // all that is under way comes to its end
			s.now += 50 * time.Millisecond
			s.see(s.turn())
		}
		if n := s.w.table.Len(); n != 0 {
			t.Fatalf("%d questions are never given up", n)
		}
	})
}
