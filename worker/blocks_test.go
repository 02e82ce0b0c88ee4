package worker

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
)

// blocked returns a bench whose worker blocks what entries say.
func blocked(t *testing.T, entries ...*block.Entry) *bench {
	b := newBench(t, 1, nil)
	table, err := block.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	b.w.blocks.next.Store(table)
	return b
}

func entryOf(t *testing.T, prefix, name string, action block.Action, rate int) *block.Entry {
	var p netip.Prefix
	var n []byte
	if prefix != "" {
		p = netip.MustParsePrefix(prefix)
	}
	if name != "" {
		buf := make([]byte, 255)
		length, err := dns.PackDomainName(name, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		n = buf[:length]
	}
	e, err := block.NewEntry(p, n, action, rate, 1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func question(name string) *dns.Msg {
	m := query(1, name, dns.TypeA)
	m.SetEdns0(1232, false)
	return m
}

// toClient returns the only datagram of sent, and its extended error; it went to a client.
func toClient(t *testing.T, sent []sentDatagram) (*dns.Msg, uint16) {
	t.Helper()
	d := one(t, sent)
	if d.handle != clientSocket {
		t.Fatalf("sent to %d", d.handle)
	}
	m := unpack(t, d.data)
	for _, o := range m.IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			return m, e.InfoCode
		}
	}
	return m, wire.EDENone
}

func TestBlockedSourcesAreTurnedAway(t *testing.T) {
	b := blocked(t,
		entryOf(t, "127.0.0.1/32", "", block.Drop, 0),
		entryOf(t, "127.0.0.2/32", "", block.Refuse, 0),
		entryOf(t, "127.0.0.3/32", "", block.Truncate, 0),
		entryOf(t, "127.0.0.4/32", "", block.Limit, 1))
	if sent := b.ask(1, question("a.example.")); len(sent) != 0 {
		t.Errorf("dropped query: %d datagrams", len(sent))
	}
	r, ede := toClient(t, b.ask(2, question("a.example.")))
	if r.Rcode != dns.RcodeRefused || ede != wire.EDEProhibited {
		t.Errorf("refused query: %v", r)
	}
	if r, _ = toClient(t, b.ask(3, question("a.example."))); r.Rcode != dns.RcodeSuccess || !r.Truncated || len(r.Answer) != 0 {
		t.Errorf("truncated query: %v", r)
	}
	if sent := b.ask(4, question("a.example.")); len(sent) != 1 || sent[0].handle == clientSocket {
		t.Errorf("the first query of a limited source: %v", sent)
	}
	if sent := b.ask(4, question("b.example.")); len(sent) != 0 {
		t.Errorf("the second query of a limited source: %v", sent)
	}
	if b.w.stats.Blocked != [block.Actions]uint64{1, 1, 1, 1} {
		t.Errorf("blocked: %v", b.w.stats.Blocked)
	}
	b.w.blocks.next.Store(nil)
	if sent := b.ask(1, question("c.example.")); len(sent) != 1 {
		t.Errorf("no longer blocked: %d datagrams", len(sent))
	}
}

// Below a blocked name what the cache has is answered.
func TestBlockedNamesAreAnsweredFromTheCache(t *testing.T) {
	b := newBench(t, 1, nil)
	asked := b.ask(1, question("www.victim.example."))
	b.turn(b.answer(asked[0], reply(t, asked[0].data, nil, "www.victim.example. 60 IN A 192.0.2.1")))
	e := entryOf(t, "", "victim.example.", block.Refuse, 0)
	table, err := block.New([]*block.Entry{e})
	if err != nil {
		t.Fatal(err)
	}
	b.w.blocks.next.Store(table)
	if r, _ := toClient(t, b.ask(2, question("www.victim.example."))); len(r.Answer) != 1 {
		t.Errorf("cached name: %v", r)
	}
	if r, ede := toClient(t, b.ask(2, question("x1.victim.example."))); r.Rcode != dns.RcodeRefused || ede != wire.EDEBlocked {
		t.Errorf("unknown name: %v", r)
	}
	if sent := b.ask(2, question("x1.other.example.")); len(sent) != 1 || sent[0].handle == clientSocket {
		t.Error("another name is blocked")
	}
	if e.Blocked() != 1 {
		t.Errorf("%d counted", e.Blocked())
	}
}

// What a worker counts is what happened: queries, misses and answers of a source, and what became of unknown names.
func TestCensusCountsWhatHappens(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Census = &census.Config{IPv4Bits: 32, IPv6Bits: 64, Types: []uint16{dns.TypeA}, Zones: true}
	})
	asked := b.ask(1, question("www.victim.example."))
	b.turn(b.answer(asked[0], reply(t, asked[0].data, nil, "www.victim.example. 60 IN A 192.0.2.1")))
	b.ask(1, question("www.victim.example."))
	asked = b.ask(2, question("x.victim.example."))
	b.turn(b.answer(asked[0], reply(t, asked[0].data, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError })))
	b.now += 2 * time.Second
	b.turn()
	tally := b.w.blocks.census.Take()
	if tally == nil {
		t.Fatal("no tally")
	}
	for s := range tally.Sources {
		want := map[uint64][4]uint32{0x7f000001: {2, 1, 2, 0}, 0x7f000002: {1, 1, 1, 1}}[s.Source().Bits]
		if got := [4]uint32{s.Queries, s.Misses, s.Answers, s.RCodes[census.NXDomain]}; got != want || s.Types[0] != s.Queries || s.Bytes == 0 {
			t.Errorf("%v: %v, want %v; %+v", s.Source().Prefix(), got, want, s)
		}
	}
	zones := 0
	for z := range tally.Zones {
		zones++
		if string(z.Name()) != "\x06victim\x07example\x00" || z.Misses != 2 || z.Answers != 2 || z.RCodes[census.NXDomain] != 1 {
			t.Errorf("zone %q: %+v", z.Name(), z)
		}
	}
	if zones != 1 {
		t.Errorf("%d zones", zones)
	}
}

// TestCensusCountsMalformedQueries: who sends what cannot be read is counted, with what that is answered.
func TestCensusCountsMalformedQueries(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Census = &census.Config{IPv4Bits: 32, IPv6Bits: 64, Types: []uint16{dns.TypeA}}
	})
	msg := pack(t, question("www.example."))
	for n := range 5 {
		one(t, b.turn(from(1, msg[:len(msg)-1-n])))
	}
	b.now += 2 * time.Second
	b.turn()
	found := 0
	for s := range b.w.blocks.census.Take().Sources {
		found++
		if s.Queries != 5 || s.Answers != 5 || s.RCodes[census.OtherError] != 5 || s.Types[0] != 0 {
			t.Errorf("counted %+v", s)
		}
	}
	if found != 1 {
		t.Errorf("%d sources", found)
	}
}
