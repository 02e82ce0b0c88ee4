package worker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// ruled is a worker with rules. Its queries are written as in conversations, with more words: from=ADDRESS:PORT, listener=N, tcp.
type ruled struct {
	*rfcConversation
	streams int
}

// newRuled has two listeners, 192.0.2.53:53 and [2001:db8::53]:5353, a second pool "other" with upstream 2, and a third, "shadow", with upstream 3.
func newRuled(t testing.TB, rules ...policy.Rule) *ruled { return newRuledWith(t, nil, rules...) }

// newRuledWith is newRuled with views.
func newRuledWith(t testing.TB, views []View, rules ...policy.Rule) *ruled {
	return newRuledOf(t, func(s *Snapshot) { s.Views = views }, rules...)
}

// newRuledOf is newRuled with a snapshot that is changed.
func newRuledOf(t testing.TB, change func(*Snapshot), rules ...policy.Rule) *ruled {
	for i := range rules {
		if rules[i].Name == "" {
			rules[i].Name = fmt.Sprint("rule", i)
		}
	}
	c := &rfcConversation{clients: map[string]string{}}
	c.bench = newBench(t, 3, func(_ *Config, s *Snapshot) {
		s.Pools = []Pool{defaultPool(1), defaultPool(1), defaultPool(1)}
		for i, name := range []string{"default", "other", "shadow"} {
			s.Pools[i].Name, s.Pools[i].Members, s.Pools[i].Policy = name, []int{i}, balance.Sequential
		}
		s.Pools[1].Suffixes = [][]byte{wireName("other.test")}
		s.Rules = rules
		change(s)
		if err := s.validate(1); err != nil {
			t.Fatal(err)
		}
	})
	c.w.active.listen = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("[2001:db8::53]:5353")}
	c.began, c.asked = c.now, make([][]askedQuery, 3)
	return &ruled{rfcConversation: c}
}

// send asks, and returns what the client got (nil: nothing yet) and how many queries the upstreams got.
func (r *ruled) send(text string) (got *dns.Msg, asked int) {
	r.t.Helper()
	words, path, listener, tcp := strings.Fields(text), client(1), uint32(0), false
	var plain []string
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "from":
			path.SetAddr(netip.MustParseAddrPort(value))
		case "listener":
			fmt.Sscan(value, &listener)
		case "tcp":
			tcp = true
		default:
			plain = append(plain, word)
		}
	}
	r.next++
	msg := r.query("1", plain)
	if tcp {
		return r.sendTCP(msg, path, listener)
	}
	return r.sort(r.turn(ring.Event{Kind: ring.Datagram, Handle: clientSocket, Data: msg, Path: path, Tag: listener}))
}

// sort tells the client's reply from queries to upstreams, which are kept.
func (r *ruled) sort(sent []sentDatagram) (got *dns.Msg, asked int) {
	for _, d := range sent {
		if d.handle == clientSocket {
			if idOf(d.data) == r.next { // else: of a query before
				got = unpack(r.t, d.data)
			}
			continue
		}
		r.asked[r.pool(d)] = append(r.asked[r.pool(d)], askedQuery{sentDatagram: d})
		asked++
	}
	return got, asked
}

// pool is the number of the upstream that d went to.
func (r *ruled) pool(d sentDatagram) int {
	u := r.w.sockets[r.answer(d, nil).Tag&^upstreamTag].upstream
	for i, p := range r.w.active.pools {
		if p.members[0] == u {
			return i
		}
	}
	r.t.Fatal("nobody's upstream")
	return -1
}

// sendTCP opens a connection and asks over it.
func (r *ruled) sendTCP(msg []byte, path *ring.Path, listener uint32) (got *dns.Msg, asked int) {
	r.streams++
	h := ring.Handle(5000 + r.streams)
	r.turn(ring.Event{Kind: ring.Accepted, Handle: h, Tag: listener, Path: path})
	var id uint32
	for conn := range r.w.conns.All() {
		if r.w.conns.Conn(conn).Handle == h {
			id = uint32(conn)
		}
	}
	r.eng.streamed = nil
	_, asked = r.sort(r.turn(ring.Event{Kind: ring.StreamData, Handle: h, Tag: id, Data: binary.BigEndian.AppendUint16(nil, uint16(len(msg)))},
		ring.Event{Kind: ring.StreamData, Handle: h, Tag: id, Data: msg}))
	for _, d := range r.eng.streamed {
		got = unpack(r.t, d.data[2:])
	}
	return got, asked
}

// give has upstream n answer the oldest query, as in conversations, and returns what the client got.
func (r *ruled) give(n int, what string) *dns.Msg {
	r.t.Helper()
	d := r.pending(n)
	got, _ := r.sort(r.turn(r.answer(d.sentDatagram, r.reply(d.sentDatagram, what))))
	return got
}

func refuse() policy.Action {
	return policy.Action{Do: policy.Answer, RCode: wire.RCodeRefused, Extended: wire.EDENone}
}

// TestSelectors shows for every selector, over the wire, a query that matches and gets REFUSED and one that does not.
func TestSelectors(t *testing.T) {
	names := func(kind policy.Kind, names ...string) policy.Selector {
		s := policy.Selector{Kind: kind}
		for _, name := range names {
			s.Names = append(s.Names, wireName(name))
		}
		return s
	}
	numbers := func(kind policy.Kind, n ...uint16) policy.Selector {
		return policy.Selector{Kind: kind, Numbers: n}
	}
	span := func(kind policy.Kind, low, high uint32) policy.Selector {
		return policy.Selector{Kind: kind, Low: low, High: high}
	}
	flag := func(kind policy.Kind) policy.Selector { return policy.Selector{Kind: kind, Want: true} }
	prefixes := func(kind policy.Kind, texts ...string) policy.Selector {
		s := policy.Selector{Kind: kind}
		for _, text := range texts {
			s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(text))
		}
		return s
	}
	set := func(kind policy.SetKind, entries ...string) policy.Selector {
		s := policy.NewSet(kind, len(entries))
		for _, e := range entries {
			if kind == policy.SetPrefixes {
				s.AddPrefix(netip.MustParsePrefix(e))
			} else {
				s.AddName(wireName(e))
			}
		}
		return policy.Selector{Kind: policy.InSet, Set: policy.NewSetRef("set", s)}
	}
	for _, tt := range []struct {
		selector policy.Selector
		yes, no  []string
	}{
		{names(policy.QName, "www.example."), []string{"www.example. A", "WWW.Example. TXT"}, []string{"a.www.example. A", "example. A", ". NS"}},
		{names(policy.Suffix, "example.", "b.test."), []string{"example. A", "A.b.EXAMPLE. A", "b.test. A"}, []string{"test. A", "anexample. A", ". NS"}},
		{names(policy.Suffix, "."), []string{"a. A", ". NS"}, nil},
		{set(policy.SetNames, "a.example."), []string{"a.example. A"}, []string{"b.a.example. A"}},
		{set(policy.SetSuffixes, "a.example."), []string{"a.example. A", "x.y.A.example. A"}, []string{"example. A"}},
		{set(policy.SetPrefixes, "10.0.0.0/8"), []string{"a. A from=10.1.2.3:5"}, []string{"a. A from=11.1.2.3:5"}},
		{policy.Selector{Kind: policy.Regex, Pattern: regexp.MustCompile(`^ads[0-9]+\.`)}, []string{"ADS12.example. A"}, []string{"ads.example. A", "a.ads1. A"}},
		{span(policy.Labels, 3, 4), []string{"a.b.c. A", "a.b.c.d. A"}, []string{"a.b. A", "a.b.c.d.e. A"}},
		{span(policy.Labels, 0, 0), []string{". NS"}, []string{"a. A"}},
		{span(policy.NameBytes, 9, 255), []string{"abcdefg. A"}, []string{"abcdef. A"}},
		{numbers(policy.QType, dns.TypeANY, dns.TypeAXFR), []string{"a. ANY", "a. AXFR"}, []string{"a. A"}},
		{numbers(policy.QClass, dns.ClassHESIOD, dns.ClassINET), []string{"a. A class=HS", "a. A"}, nil},
		{numbers(policy.Opcode, dns.OpcodeNotify), []string{"a. SOA opcode=NOTIFY"}, []string{"a. A", "a. A opcode=UPDATE"}},
		{flag(policy.RD), []string{"a. A"}, []string{"a. A nord"}},
		{flag(policy.CD), []string{"a. A cd"}, []string{"a. A"}},
		{flag(policy.DO), []string{"a. A do"}, []string{"a. A edns", "a. A"}},
		{flag(policy.EDNS), []string{"a. A edns"}, []string{"a. A"}},
		{policy.Selector{Kind: policy.EDNS}, []string{"a. A"}, []string{"a. A edns"}},
		{span(policy.EDNSVersion, 1, 255), []string{"a. A version=1"}, []string{"a. A edns", "a. A"}},
		{numbers(policy.EDNSOption, 65002), []string{"a. A option=65001 option=65002"}, []string{"a. A option=65001", "a. A"}},
		{prefixes(policy.Source, "10.0.0.0/8", "2001:db8::/32"), []string{"a. A from=10.9.9.9:1", "a. A from=[2001:db8:1::1]:1", "a. A tcp from=10.9.9.9:1"}, []string{"a. A from=11.0.0.1:1", "a. A from=[2001:db9::1]:1"}},
		{span(policy.SourcePort, 0, 1023), []string{"a. A from=10.0.0.1:53"}, []string{"a. A from=10.0.0.1:1024"}},
		{prefixes(policy.Destination, "2001:db8::/32"), []string{"a. A listener=1", "a. A listener=1 tcp"}, []string{"a. A", "a. A tcp"}},
		{span(policy.DestinationPort, 5353, 5353), []string{"a. A listener=1"}, []string{"a. A"}},
		{flag(policy.TCP), []string{"a. A tcp"}, []string{"a. A"}},
		{policy.Selector{Kind: policy.TCP}, []string{"a. A"}, []string{"a. A tcp"}},
		{span(policy.Size, 30, 65535), []string{"a. A edns"}, []string{"a. A"}},
		{span(policy.Additionals, 1, 65535), []string{"a. A edns"}, []string{"a. A"}},
		{policy.Selector{Kind: policy.Chance, Share: 1}, []string{"a. A"}, nil},
		{policy.Selector{Kind: policy.Chance}, nil, []string{"a. A"}},
		{policy.Selector{Kind: policy.PoolAvailable, Pool: 1, Want: true}, []string{"a. A"}, nil},
		{span(policy.PoolOutstanding, 0, 0), []string{"a. A"}, nil},
	} {
		t.Run(tt.selector.Kind.String(), func(t *testing.T) {
			r := newRuled(t, policy.Rule{Match: policy.Match{Selector: tt.selector}, Action: refuse()})
			hits := uint64(0)
			for _, text := range tt.yes {
				if got, asked := r.send(text); got == nil || got.Rcode != dns.RcodeRefused || asked != 0 {
					t.Errorf("%q: %d upstreams asked, got\n%v", text, asked, got)
				}
				hits++
			}
			for _, text := range tt.no {
				if got, _ := r.send(text); got != nil && got.Rcode == dns.RcodeRefused {
					t.Errorf("%q was refused", text)
				}
			}
			r.w.publish()
			if got := r.w.rules.hits[0].Load(); got != hits {
				t.Errorf("%d hits counted, want %d", got, hits)
			}
		})
	}
}

// TestSelectorsOfAnswers does the same for what an upstream has answered.
func TestSelectorsOfAnswers(t *testing.T) {
	span := func(kind policy.Kind, low, high uint32) policy.Selector {
		return policy.Selector{Kind: kind, Low: low, High: high}
	}
	for _, tt := range []struct {
		selector policy.Selector
		yes, no  string
	}{
		{policy.Selector{Kind: policy.RCode, Numbers: []uint16{dns.RcodeNameError}}, "NXDOMAIN", "NOERROR"},
		{span(policy.Answers, 2, 65535), "| a. 1 IN A 192.0.2.1 | a. 1 IN A 192.0.2.2", "| a. 1 IN A 192.0.2.1"},
		{span(policy.Authorities, 1, 65535), "| authority a. 1 IN NS b.", "| a. 1 IN A 192.0.2.1"},
		{span(policy.Additionals, 1, 65535), "| a. 1 IN A 192.0.2.1 | additional b. 1 IN A 192.0.2.1", "| a. 1 IN A 192.0.2.1"},
		{span(policy.Size, 20, 65535), "| a. 1 IN A 192.0.2.1 | a. 1 IN A 192.0.2.2", "| a. 1 IN A 192.0.2.1"},
		{policy.Selector{Kind: policy.Suffix, Names: [][]byte{wireName("a.")}}, "", "SERVFAIL"},
		{policy.Selector{Kind: policy.CD, Want: true}, "", "-"},
	} {
		t.Run(tt.selector.Kind.String(), func(t *testing.T) {
			r := newRuled(t, policy.Rule{Chain: policy.ChainResponse, Match: policy.Match{Selector: tt.selector}, Action: refuse()})
			for _, half := range []struct {
				answer  string
				refused bool
			}{{tt.yes, true}, {tt.no, false}} {
				words := "a. A cd"
				switch half.answer {
				case "SERVFAIL":
					words = "b. A"
				case "-":
					words, half.answer = "a. A", ""
				}
				r.send(words)
				if got := r.give(1, half.answer); (got.Rcode == dns.RcodeRefused) != half.refused {
					t.Errorf("%q: got\n%v", half.answer, got)
				}
				r.now += time.Minute // what was kept is past its TTL
			}
		})
	}
}

// dullPattern needs the whole name and matches none.
var dullPattern = regexp.MustCompile(`(ads|track)[0-9]*\.[a-z]+\.never\.$`)

// TestRates: so many at once, so many a second, of all together and of each prefix.
func TestRates(t *testing.T) {
	rate := policy.Rate{PerSecond: 2, Burst: 3, Bits4: 24, Bits6: 64, Sources: 16}
	count := func(r *ruled, n int, from string) (refused int) {
		for range n {
			if got, _ := r.send("a. A from=" + from); got != nil && got.Rcode == dns.RcodeRefused {
				refused++
			}
		}
		return refused
	}
	limit := policy.Action{Do: policy.Limit, Rate: rate, RCode: wire.RCodeRefused, Over: policy.Answer, Extended: wire.EDENone}
	limitEach := limit
	limitEach.PerSource = true
	for name, rule := range map[string]policy.Rule{
		"over_rate":  {Match: policy.Match{Selector: policy.Selector{Kind: policy.OverRate, Rate: rate}}, Action: refuse()},
		"rate_limit": {Match: policy.Everything(), Action: limit},
	} {
		r := newRuled(t, rule)
		if n := count(r, 2, "10.0.0.1:1") + count(r, 3, "10.9.0.1:1"); n != 2 {
			t.Errorf("%s: %d of 5 at once refused, want 2", name, n)
		}
		r.now += time.Second
		if n := count(r, 4, "10.0.0.1:1"); n != 2 {
			t.Errorf("%s: %d of 4 refused a second later, want 2", name, n)
		}
	}
	for name, rule := range map[string]policy.Rule{
		"over_source_rate":      {Match: policy.Match{Selector: policy.Selector{Kind: policy.OverSourceRate, Rate: rate}}, Action: refuse()},
		"rate_limit per source": {Match: policy.Everything(), Action: limitEach},
	} {
		r := newRuled(t, rule)
		if n := count(r, 5, "10.0.0.1:1") + count(r, 5, "10.0.0.2:1"); n != 7 {
			t.Errorf("%s: %d of 10 of one /24 refused, want 7", name, n)
		}
		if n := count(r, 3, "10.0.1.1:1") + count(r, 3, "[2001:db8::1]:1"); n != 0 {
			t.Errorf("%s: %d of others refused, want none", name, n)
		}
		r.now += time.Second
		if n := count(r, 4, "10.0.0.1:1"); n != 2 {
			t.Errorf("%s: %d of 4 refused a second later, want 2", name, n)
		}
	}
}

// TestChance: a share of the queries.
func TestChance(t *testing.T) {
	r := newRuled(t, policy.Rule{Match: policy.Match{Selector: policy.Selector{Kind: policy.Chance, Share: 0.25}}, Action: refuse()})
	refused := 0
	for range 4000 {
		if got, _ := r.send("a. A"); got != nil && got.Rcode == dns.RcodeRefused {
			refused++
		}
	}
	if refused < 850 || refused > 1150 {
		t.Errorf("%d of 4000 refused at a probability of 0.25", refused)
	}
}

// TestTimeOfDay: virtual time begins at 10:53:05 on a Wednesday.
func TestTimeOfDay(t *testing.T) {
	at := policy.Schedule{Days: 1 << time.Wednesday, From: 10 * 60, To: 11*60 + 50, Zone: time.UTC}
	over := policy.Schedule{Days: 1 << time.Wednesday, From: 23 * 60, To: 60, Zone: time.UTC}
	r := newRuled(t, policy.Rule{Action: refuse(), Match: policy.Match{Op: policy.Any, Of: []policy.Match{
		{Selector: policy.Selector{Kind: policy.Clock, Schedule: at}}, {Selector: policy.Selector{Kind: policy.Clock, Schedule: over}},
	}}})
	for _, tt := range []struct {
		after   time.Duration
		refused bool
	}{{0, true}, {56 * time.Minute, true}, {57 * time.Minute, false}, {12*time.Hour + 6*time.Minute, false}, {12*time.Hour + 7*time.Minute, true}, {14*time.Hour + 6*time.Minute, true}, {14*time.Hour + 7*time.Minute, false}, {37 * time.Hour, false}} {
		r.now = r.began + tt.after
		if got, _ := r.send("a. A"); (got != nil && got.Rcode == dns.RcodeRefused) != tt.refused {
			t.Errorf("after %v: refused %v", tt.after, !tt.refused)
		}
	}
}

// TestPoolSelectors: an upstream that is down, and one that has queries under way.
func TestPoolSelectors(t *testing.T) {
	r := newRuled(t,
		policy.Rule{Match: policy.Match{Selector: policy.Selector{Kind: policy.PoolOutstanding, Pool: 1, Low: 1, High: 9}}, Action: policy.Action{Do: policy.Answer, RCode: dns.RcodeNotAuth, Extended: wire.EDENone}},
		policy.Rule{Match: policy.Match{Op: policy.Not, Of: []policy.Match{{Selector: policy.Selector{Kind: policy.PoolAvailable, Pool: 1, Want: true}}}}, Action: refuse()})
	if got, asked := r.send("a.other.test. A"); got != nil || asked != 1 {
		t.Fatal("not asked")
	}
	if got, _ := r.send("b. A"); got == nil || got.Rcode != dns.RcodeNotAuth {
		t.Errorf("with a query under way: %v", got)
	}
	r.give(2, "| a.other.test. 9 IN A 192.0.2.1")
	if got, _ := r.send("b. A"); got != nil {
		t.Errorf("with none: %v", got)
	}
	avoid := health.Default()
	avoid.Manual = health.Avoid
	r.health[1].Configure(int64(r.now), avoid)
	if got, _ := r.send("c. A"); got == nil || got.Rcode != dns.RcodeRefused {
		t.Errorf("with its upstream down: %v", got)
	}
}

// TestJoinedMatches: all, any, not, and tags that earlier rules set.
func TestJoinedMatches(t *testing.T) {
	is := func(s policy.Selector) policy.Match { return policy.Match{Selector: s} }
	typeA := is(policy.Selector{Kind: policy.QType, Numbers: []uint16{dns.TypeA}})
	cd := is(policy.Selector{Kind: policy.CD, Want: true})
	do := is(policy.Selector{Kind: policy.DO, Want: true})
	tag := func(bits uint64) policy.Match {
		return is(policy.Selector{Kind: policy.Tagged, Tags: bits})
	}
	r := newRuled(t,
		policy.Rule{Match: policy.Match{Op: policy.All, Of: []policy.Match{typeA, {Op: policy.Any, Of: []policy.Match{cd, do}}, {Op: policy.Not, Of: []policy.Match{{Op: policy.All, Of: []policy.Match{cd, do}}}}}}, Action: refuse()},
		policy.Rule{Match: do, Action: policy.Action{Do: policy.SetTags, Set: 0b101}},
		policy.Rule{Match: cd, Action: policy.Action{Do: policy.SetTags, Unset: 0b100}},
		policy.Rule{Match: tag(0b110), Action: policy.Action{Do: policy.Answer, RCode: dns.RcodeNotAuth, Extended: wire.EDENone}},
		policy.Rule{Match: tag(0b001), Action: policy.Action{Do: policy.Answer, RCode: dns.RcodeNotZone, Extended: wire.EDENone}},
	)
	for text, want := range map[string]int{
		"a. A cd": dns.RcodeRefused, "a. A do": dns.RcodeRefused, "a. A": -1, "a. TXT": -1, "a. TXT cd": -1,
		"a. A cd do": dns.RcodeNotZone, "a. TXT do": dns.RcodeNotAuth, "a. TXT do cd": dns.RcodeNotZone,
	} {
		got, _ := r.send(text)
		if want < 0 && got != nil || want >= 0 && (got == nil || got.Rcode != want) {
			t.Errorf("%q: got %v, want %s", text, got, dns.RcodeToString[want])
		}
	}
}

func prefixesOf(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}
