package worker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker/inflight"
)

func TestMissThenHit(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(7, "wWw.Example.", dns.TypeA)))
	asked := unpack(t, up.data)
	if asked.Question[0].Name != "www.example." || asked.IsEdns0() == nil || !asked.RecursionDesired {
		t.Fatalf("asked upstream: %v", asked)
	}
	got := one(t, b.turn(b.answer(up, reply(t, up.data, nil, "www.example. 300 IN A 192.0.2.1"))))
	m := unpack(t, got.data)
	if m.Id != 7 || m.Question[0].Name != "wWw.Example." || len(m.Answer) != 1 || !m.RecursionAvailable || m.IsEdns0() != nil {
		t.Fatalf("reply: %v", m)
	}
	if got.handle != clientSocket || got.to != client(1).Addr() {
		t.Errorf("reply went to %v on %d", got.to, got.handle)
	}
	b.now += 100 * time.Second
	m = unpack(t, one(t, b.ask(2, query(8, "WWW.example.", dns.TypeA))).data)
	if m.Id != 8 || m.Question[0].Name != "WWW.example." || m.Answer[0].Header().Ttl != 200 {
		t.Fatalf("hit: %v", m)
	}
	if s := b.w.stats; s.Hits != 1 || s.Misses != 1 || s.QueriesUDP != 2 || s.Answers[0] != 2 {
		t.Errorf("hits %d misses %d queries %d answers %v", s.Hits, s.Misses, s.QueriesUDP, s.Answers)
	}
	b.now += 201 * time.Second
	if up = one(t, b.ask(3, query(9, "www.example.", dns.TypeA))); up.handle == clientSocket {
		t.Error("an expired entry was served")
	}
}

func TestEqualQuestionsShareOneExchange(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	for n := 2; n <= 5; n++ {
		if sent := b.ask(n, query(uint16(n), "A.example.", dns.TypeA)); len(sent) != 0 {
			t.Fatalf("client %d set off %d datagrams", n, len(sent))
		}
	}
	// Other flags make another question: DO changes the answer.
	signed := query(6, "a.example.", dns.TypeA)
	signed.SetEdns0(1232, true)
	other := one(t, b.ask(6, signed))
	replies := b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")))
	if len(replies) != 5 {
		t.Fatalf("%d replies, want 5", len(replies))
	}
	for i, r := range replies {
		if m := unpack(t, r.data); int(m.Id) != i+1 || r.to != client(i+1).Addr() {
			t.Errorf("reply %d: id %d to %v", i, m.Id, r.to)
		}
	}
	m := unpack(t, one(t, b.turn(b.answer(other, reply(t, other.data, nil, "a.example. 60 IN A 192.0.2.1")))).data)
	if m.Id != 6 || m.IsEdns0() == nil || !m.IsEdns0().Do() {
		t.Errorf("signed reply: %v", m)
	}
	if s := b.w.stats; s.Coalesced != 4 || s.Misses != 2 {
		t.Errorf("coalesced %d, misses %d; want 4, 2", s.Coalesced, s.Misses)
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	true0 := reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")
	wrongID := append([]byte(nil), true0...)
	binary.BigEndian.PutUint16(wrongID, idOf(true0)+1)
	wrongName := reply(t, up.data, func(m *dns.Msg) { m.Question[0].Name = "b.example."; m.Answer = nil })
	wrongType := reply(t, up.data, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT; m.Answer = nil })
	noAnswer := append([]byte(nil), true0...)
	noAnswer[2] &^= 0x80
	for name, forged := range map[string][]byte{
		"id": wrongID, "name": wrongName, "type": wrongType, "QR": noAnswer, "short": true0[:5], "empty": nil,
	} {
		if sent := b.turn(b.answer(up, forged)); len(sent) != 0 {
			t.Errorf("wrong %s: %d datagrams sent", name, len(sent))
		}
	}
	// Right id, but on another of our ports.
	for i := range b.w.sockets {
		if s := &b.w.sockets[i]; s.upstream != nil && s.handle != up.handle {
			if sent := b.turn(b.answer(sentDatagram{handle: s.handle}, true0)); len(sent) != 0 {
				t.Error("accepted on another port")
			}
			break
		}
	}
	if m := unpack(t, one(t, b.turn(b.answer(up, true0))).data); len(m.Answer) != 1 {
		t.Errorf("the true answer did not get through: %v", m)
	}
	if sent := b.turn(b.answer(up, true0)); len(sent) != 0 {
		t.Error("the same answer was accepted twice")
	}
	if got := b.w.upstreams[0].stats.Rejected; got != 8 {
		t.Errorf("rejected %d, want 8", got)
	}
}

func TestPortsAndIDsVary(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) { c.Slots, c.Waiters = 512, 512 })
	ports, ids := map[ring.Handle]bool{}, map[uint16]bool{}
	for n := range 200 {
		up := one(t, b.ask(n, query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA)))
		ports[up.handle], ids[idOf(up.data)] = true, true
		b.turn(b.answer(up, reply(t, up.data, nil)))
	}
	if len(ports) != socketsPerUpstream || len(ids) < 190 {
		t.Errorf("%d ports, %d ids for 200 exchanges", len(ports), len(ids))
	}
	// All are answered, the ports grow old, and every one is replaced.
	first := map[ring.Handle]bool{}
	for h := range b.eng.fds {
		first[h] = true
	}
	for n := range 4000 {
		b.now += 10 * time.Millisecond
		up := one(t, b.ask(n, query(1, fmt.Sprintf("m%d.example.", n), dns.TypeA)))
		b.turn(b.answer(up, reply(t, up.data, nil)))
	}
	b.now += 40 * time.Second
	b.turn()
	left := 0
	for h := range b.eng.fds {
		if first[h] {
			left++
		}
	}
	if left != 0 || len(b.eng.fds) != socketsPerUpstream {
		t.Errorf("%d of the first ports are still open; %d open in all, want %d", left, len(b.eng.fds), socketsPerUpstream)
	}
}

func TestTimeoutGoesToAnotherUpstreamThenServfail(t *testing.T) {
	b := newBench(t, 2, nil)
	first := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	b.now += 1001 * time.Millisecond
	second := one(t, b.turn())
	if b.upstreamOf(first) == b.upstreamOf(second) {
		t.Error("the retry went to the same upstream")
	}
	b.now += 1001 * time.Millisecond
	again := one(t, b.turn())
	if again.handle != second.handle || idOf(again.data) != idOf(second.data) {
		t.Error("with nobody else to ask the datagram is repeated as it was")
	}
	b.now += 1001 * time.Millisecond
	m := unpack(t, one(t, b.turn()).data)
	if m.Rcode != dns.RcodeServerFailure {
		t.Errorf("after the deadline: %v", m)
	}
	if b.w.table.Len() != 0 || b.w.exchanges.Len() != 0 || b.w.upstreams[0].outstanding+b.w.upstreams[1].outstanding != 0 {
		t.Error("something is left of the query")
	}
	if sent := b.turn(b.answer(second, reply(t, second.data, nil))); len(sent) != 0 {
		t.Error("a late answer was sent to the client")
	}
}

func TestServfailCarriesExtendedError(t *testing.T) {
	b := newBench(t, 1, nil)
	q := query(1, "a.example.", dns.TypeA)
	q.SetEdns0(1232, false)
	one(t, b.ask(1, q))
	for range 3 {
		b.now += 1001 * time.Millisecond
		b.eng.sent = nil
		b.turn()
	}
	m := unpack(t, one(t, b.eng.sent).data)
	if opt := m.IsEdns0(); m.Rcode != dns.RcodeServerFailure || opt == nil || len(opt.Option) != 1 ||
		opt.Option[0].(*dns.EDNS0_EDE).InfoCode != dns.ExtendedErrorCodeNetworkError {
		t.Errorf("got %v", m)
	}
}

func TestUpstreamErrorsAreRetriedElsewhere(t *testing.T) {
	for name, edit := range map[string]func(*dns.Msg){
		"SERVFAIL": func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure },
		"REFUSED":  func(m *dns.Msg) { m.Rcode = dns.RcodeRefused },
		"NOTIMP":   func(m *dns.Msg) { m.Rcode = dns.RcodeNotImplemented },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 2, nil)
			first := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
			second := one(t, b.turn(b.answer(first, reply(t, first.data, edit))))
			if b.upstreamOf(first) == b.upstreamOf(second) {
				t.Fatal("asked the same upstream again")
			}
			m := unpack(t, one(t, b.turn(b.answer(second, reply(t, second.data, edit)))).data)
			if m.Rcode == dns.RcodeSuccess {
				t.Errorf("got %v", m)
			}
			if up := one(t, b.ask(2, query(2, "a.example.", dns.TypeA))); up.handle == clientSocket {
				t.Error("the error was cached")
			}
		})
	}
}

func TestRefusedPortMovesAllItsQueries(t *testing.T) {
	b := newBench(t, 2, func(_ *Config, s *Snapshot) { s.Pools[0].Policy = balance.Sequential })
	var ups []sentDatagram
	for n := range 10 {
		ups = append(ups, one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA))))
	}
	moved := b.turn(b.refused(ups[0]))
	if len(moved) != 10 {
		t.Fatalf("%d queries moved, want 10", len(moved))
	}
	for _, d := range moved {
		if b.upstreamOf(d) != 1 {
			t.Fatal("moved to the refusing upstream")
		}
	}
	if b.health[0].Status() != health.Down || !strings.Contains(b.health[0].Reason().Error(), "refused") {
		t.Errorf("status %v, reason %v", b.health[0].Status(), b.health[0].Reason())
	}
}

// A full send buffer is our own trouble: nothing is held against the upstream, and its other queries stay where they are.
func TestFullSendBufferIsNoRefusal(t *testing.T) {
	b := newBench(t, 2, func(_ *Config, s *Snapshot) { s.Pools[0].Policy = balance.Sequential })
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	full := b.refused(up)
	full.Kind, full.Errno = ring.SendFailed, syscall.EAGAIN
	if sent := b.turn(full); len(sent) != 0 || b.health[0].Status() == health.Down {
		t.Errorf("%d datagrams sent, upstream %v", len(sent), b.health[0].Status())
	}
	if got := b.w.upstreams[0].stats.Faults[transport.FaultFull]; got != 1 {
		t.Errorf("counted %d times, want once", got)
	}
	b.now += 1100 * time.Millisecond
	if d := one(t, b.turn()); b.upstreamOf(d) != 1 {
		t.Error("not asked elsewhere after the attempt's time")
	}
}

func TestNegativeAnswersAreCached(t *testing.T) {
	for name, test := range map[string]struct {
		rcode int
		soa   string
		held  time.Duration // 0: not cached
	}{
		"NXDOMAIN by the SOA minimum":     {dns.RcodeNameError, "example. 900 IN SOA ns. root. 1 2 3 4 30", 30 * time.Second},
		"NODATA by the TTL of the SOA":    {dns.RcodeSuccess, "example. 20 IN SOA ns. root. 1 2 3 4 300", 20 * time.Second},
		"NXDOMAIN within our own maximum": {dns.RcodeNameError, "example. 9000 IN SOA ns. root. 1 2 3 4 9000", 3600 * time.Second},
		"no SOA, not cached (RFC 2308)":   {dns.RcodeNameError, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1, nil)
			up := one(t, b.ask(1, query(1, "no.example.", dns.TypeA)))
			b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) {
				m.Rcode = test.rcode
				if test.soa != "" {
					rr, err := dns.NewRR(test.soa)
					if err != nil {
						t.Fatal(err)
					}
					m.Ns = append(m.Ns, rr)
				}
			})))
			fromCache := func() bool { return one(t, b.ask(2, query(2, "no.example.", dns.TypeA))).handle == clientSocket }
			if test.held == 0 {
				if fromCache() {
					t.Error("cached")
				}
				return
			}
			b.now += test.held - time.Second
			if !fromCache() {
				t.Errorf("not cached for %v", test.held)
			}
			b.now += 2 * time.Second
			if fromCache() {
				t.Errorf("cached for longer than %v", test.held)
			}
		})
	}
}

func TestTTLClamps(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.TTLMin, s.TTLMax = 60, 600 })
	for _, test := range []struct {
		name      string
		ttl, want uint32
		cached    bool
	}{
		{"short", 5, 60, true}, {"long", 9999, 600, true}, {"within", 300, 300, true}, {"zero", 0, 0, false},
	} {
		up := one(t, b.ask(1, query(1, test.name+".example.", dns.TypeA)))
		record := fmt.Sprintf("%s.example. %d IN A 192.0.2.1", test.name, test.ttl)
		m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil, record)))).data)
		if got := m.Answer[0].Header().Ttl; got != test.want {
			t.Errorf("%s: TTL %d, want %d", test.name, got, test.want)
		}
		if got := one(t, b.ask(1, query(1, test.name+".example.", dns.TypeA))).handle == clientSocket; got != test.cached {
			t.Errorf("%s: cached %v, want %v", test.name, got, test.cached)
		}
	}
}

func TestAnswersAreCutToTheClientsSize(t *testing.T) {
	b := newBench(t, 1, nil)
	text := `big.example. 60 IN TXT "` + strings.Repeat("x", 250) + `"`
	big := func(up sentDatagram) []byte { return reply(t, up.data, nil, text, text, text, text) } // about 1060 bytes
	up := one(t, b.ask(1, query(1, "big.example.", dns.TypeTXT)))
	m := unpack(t, one(t, b.turn(b.answer(up, big(up)))).data)
	if !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("without EDNS: %v", m)
	}
	for size, whole := range map[uint16]bool{100: false, 512: false, 800: false, 1232: true, 65535: true} {
		q := query(2, "big.example.", dns.TypeTXT)
		q.SetEdns0(size, false)
		d := one(t, b.ask(2, q))
		if m := unpack(t, d.data); m.Truncated == whole || (len(m.Answer) == 4) != whole || len(d.data) > 1232 {
			t.Errorf("size %d: truncated %v, %d records, %d bytes", size, m.Truncated, len(m.Answer), len(d.data))
		}
	}
	if got := b.w.stats.Truncated; got != 4 {
		t.Errorf("truncated %d, want 4", got)
	}
}

func TestTruncatedAnswerIsFetchedOverTCP(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(1, "big.example.", dns.TypeTXT)))
	if sent := b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Truncated = true }))); len(sent) != 0 {
		t.Fatalf("%d datagrams sent", len(sent))
	}
	u := b.w.upstreams[0]
	r, ok := u.lane.Next()
	if !ok || u.stats.Truncated != 1 {
		t.Fatal("nothing was submitted to the TCP lane")
	}
	u.lane.Answer(r.Slot, r.Gen, reply(t, r.Query, nil, "big.example. 60 IN TXT here"))
	u.lane.Publish()
	if m := unpack(t, one(t, b.turn()).data); len(m.Answer) != 1 || m.Id != 1 {
		t.Errorf("got %v", m)
	}
}

func TestMalformedQueries(t *testing.T) {
	good := pack(t, query(0x1234, "a.example.", dns.TypeA))
	with := func(edit func([]byte) []byte) []byte { return edit(append([]byte(nil), good...)) }
	version := query(0x1234, "a.example.", dns.TypeA)
	version.SetEdns0(1232, false)
	version.IsEdns0().SetVersion(1)
	chaos := query(0x1234, "version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for _, test := range []struct {
		name string
		msg  []byte
		want int // RCODE, -1: silence
	}{
		{"empty", nil, -1},
		{"11 bytes", good[:11], -1},
		{"a response", with(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		{"header only", good[:12], dns.RcodeFormatError},
		{"QDCOUNT 0", with(func(b []byte) []byte { b[5] = 0; return b[:12] }), dns.RcodeFormatError},
		{"QDCOUNT 2", with(func(b []byte) []byte { b[5] = 2; return append(b, b[12:]...) }), dns.RcodeFormatError},
		{"name cut short", good[:16], dns.RcodeFormatError},
		{"compression loop", with(func(b []byte) []byte { b[12], b[13] = 0xC0, 12; return b }), dns.RcodeFormatError},
		{"NOTIFY", with(func(b []byte) []byte { b[2] |= 4 << 3; return b }), dns.RcodeNotImplemented},
		{"AXFR", pack(t, query(0x1234, "example.", dns.TypeAXFR)), dns.RcodeNotImplemented},
		{"EDNS version 1", pack(t, version), dns.RcodeBadVers},
		{"CHAOS class", pack(t, chaos), dns.RcodeRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, 1, nil)
			sent := b.turn(from(1, test.msg))
			if test.want < 0 {
				if len(sent) != 0 {
					t.Fatalf("answered %x", sent[0].data)
				}
				return
			}
			m := unpack(t, one(t, sent).data)
			if m.Rcode != test.want || m.Id != 0x1234 || !m.Response {
				t.Errorf("got rcode %d id %x", m.Rcode, m.Id)
			}
		})
	}
}

func TestFullTablesShed(t *testing.T) {
	b := newBench(t, 1, func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = 16, 16 })
	for n := range 16 {
		one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA)))
	}
	for _, name := range []string{"one-more.example.", "n3.example."} { // no slot; no waiter
		m := unpack(t, one(t, b.ask(99, query(99, name, dns.TypeA))).data)
		if m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v", name, m)
		}
	}
	if b.w.stats.Shed != 2 || b.w.table.Len() != 16 {
		t.Errorf("shed %d, in flight %d", b.w.stats.Shed, b.w.table.Len())
	}
}

func TestReloadKeepsWhatIsUnderWay(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	cached := one(t, b.ask(1, query(1, "c.example.", dns.TypeA)))
	b.turn(b.answer(cached, reply(t, cached.data, nil, "c.example. 300 IN A 192.0.2.3")))
	old := b.w.upstreams[0]
	other := newBench(t, 2, nil) // its upstreams are moved over
	next := *other.w.command.Load()
	list := make([]*upstream, 0, 1)
	for _, u := range next.upstreams[1:] {
		list = append(list, &upstream{endpoint: u.endpoint, health: u.health, lane: u.lane, index: inflight.NoUpstream})
	}
	next.upstreams = list
	only := *next.snapshot
	only.Upstreams, only.Pools = only.Upstreams[1:], []Pool{defaultPool(1)}
	next.snapshot, next.pools = &only, b.w.command.Load().pools
	b.w.command.Store(&next)
	b.turn()
	if b.w.adopted.Load() != &next || old.gone.Load() {
		t.Fatal("not adopted, or gone too early")
	}
	if m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")))).data); len(m.Answer) != 1 {
		t.Errorf("the exchange under way was lost: %v", m)
	}
	if !old.gone.Load() {
		t.Error("the old upstream is still held")
	}
	if d := one(t, b.ask(3, query(3, "c.example.", dns.TypeA))); d.handle != clientSocket {
		t.Error("the cache was lost")
	}
	if d := one(t, b.ask(3, query(3, "d.example.", dns.TypeA))); b.upstreamOf(d) != 0 || b.w.active.pools[0].members[0] != list[0] {
		t.Error("the new upstream is not in use")
	}
}

func TestUnresolvedUpstreamIsPassedOver(t *testing.T) {
	b := newBench(t, 2, func(_ *Config, s *Snapshot) {
		s.Pools[0].Policy = balance.Sequential
		s.Upstreams[0].Endpoint.Addresses.Store(nil)
	})
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	if b.upstreamOf(up) != 1 {
		t.Error("went nowhere")
	}
	b.turn(b.answer(up, reply(t, up.data, nil)))
	b.now += time.Second
	b.w.active.pools[0].members[0].endpoint.Addresses.Store([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")})
	b.health[0].Up()
	if up = one(t, b.ask(1, query(1, "b.example.", dns.TypeA))); b.upstreamOf(up) != 0 {
		t.Error("not used after its name was resolved")
	}
}

// A cached answer costs no allocation; the worker has no lock or channel to take on its way (the fake engine has none either, so a
// blocking operation in the worker would hang this test).
func TestHitAllocatesNothing(t *testing.T) {
	b := newBench(t, 1, nil)
	up := one(t, b.ask(1, query(1, "a.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))
	plain := pack(t, query(1, "A.example.", dns.TypeA))
	edns := query(1, "a.EXAMPLE.", dns.TypeA)
	edns.SetEdns0(1232, false)
	events := []ring.Event{from(1, plain), from(2, pack(t, edns))}
	b.eng.keep = false
	before := b.w.stats.Hits
	if n := testing.AllocsPerRun(1000, func() {
		b.eng.events = events
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per turn of two hits, want 0", n)
	}
	if got := b.w.stats.Hits - before; got != 2*1001 {
		t.Errorf("%d hits, want 2002", got)
	}
}

// A miss over a lane or a datagram costs the worker no allocation either.
func TestMissAllocatesNothing(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.CacheBytes = 0 })
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	up := one(t, b.turn(from(1, msg)))
	answer := reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")
	scratch := make([]byte, len(answer))
	b.turn(b.answer(up, answer))
	events, backs := []ring.Event{from(1, msg)}, make([]ring.Event, 1)
	b.eng.keep = false
	answers := b.w.upstreams[0].stats.Answers
	if n := testing.AllocsPerRun(200, func() {
		b.eng.events = events
		b.w.turn()
		s := b.w.table.At(0)
		copy(scratch, answer)
		binary.BigEndian.PutUint16(scratch, uint16(s.Exchanges[0].Key))
		backs[0] = ring.Event{Kind: ring.Datagram, Tag: upstreamTag | s.Exchanges[0].Key>>16, Data: scratch}
		b.eng.events = backs
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per miss, want 0", n)
	}
	if got := b.w.upstreams[0].stats.Answers - answers; got != 201 {
		t.Errorf("%d answers, want 201", got)
	}
}

func TestLatencyBucketsAreExactToAnEighth(t *testing.T) {
	for ns := int64(1); ns < int64(16*time.Second); ns += ns/7 + 1 {
		i := latencyBucket(ns)
		bound := int64(LatencyBound(i))
		if bound <= ns || bound > ns+ns/8+2048 {
			t.Fatalf("%d ns: bucket %d up to %d", ns, i, bound)
		}
		if i > 0 && int64(LatencyBound(i-1)) > ns {
			t.Fatalf("%d ns: bucket %d, but the one before ends at %v", ns, i, LatencyBound(i-1))
		}
	}
	var h Histogram
	for i := range 100 {
		h.add(int64(i+1)*int64(time.Millisecond), 1)
	}
	if p := h.Quantile(0.5); p < 50*time.Millisecond || p > 60*time.Millisecond {
		t.Errorf("median %v", p)
	}
}
