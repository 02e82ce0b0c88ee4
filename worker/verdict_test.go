package worker

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
)

// always is a rule of chain query that matches everything.
func always(a policy.Action) policy.Rule {
	if a.Extended == 0 {
		a.Extended = wire.EDENone
	}
	return policy.Rule{Match: policy.Everything(), Action: a}
}

// ofType is a rule that matches one type.
func ofType(qtype uint16, a policy.Action) policy.Rule {
	r := always(a)
	r.Match = policy.Match{Selector: policy.Selector{Kind: policy.QType, Numbers: []uint16{qtype}}}
	return r
}

func in(c policy.Chain, r policy.Rule) policy.Rule {
	r.Chain = c
	return r
}

// answerOf holds one record for each type.
func answerOf(address string) *policy.Records {
	rr, err := dns.NewRR(". 0 IN A " + address)
	if err != nil {
		panic(err)
	}
	a := &wire.Answer{AN: 1, TTL: 60}
	a.AppendRecord([]byte{0xC0, wire.HeaderBytes}, wire.TypeA, wire.ClassINET, 60, rr.(*dns.A).A.To4())
	return &policy.Records{ByType: map[uint16]*wire.Answer{wire.TypeA: a}, Any: a, Other: &wire.Answer{Negative: true, Extended: wire.EDEBlocked}}
}

// expect compares a reply, written as in conversations; "" is none.
func (r *ruled) expect(what string, got *dns.Msg, want string) {
	r.t.Helper()
	text := ""
	if got != nil {
		text = dns.RcodeToString[got.Rcode] + describe(got)
	}
	if text != want {
		r.t.Errorf("%s:\ngot  %s\nwant %s", what, text, want)
	}
}

// TestActionsThatAnswer: final actions, over UDP and TCP.
func TestActionsThatAnswer(t *testing.T) {
	for _, tt := range []struct {
		name          string
		action        policy.Action
		query         string
		udp, tcp      string // "" over UDP: nothing; over TCP: the connection is closed
		asks          int
		passesOverTCP bool
	}{
		{name: "drop", action: policy.Action{Do: policy.Drop}, query: "a. A"},
		{name: "refuse", action: policy.Action{Do: policy.Answer, RCode: 5, Extended: wire.EDEProhibited}, query: "a. A edns", udp: `REFUSED rd ra | a. A | edns 1232 ede="Prohibited"`, tcp: `REFUSED rd ra | a. A | edns 1232 ede="Prohibited"`},
		{name: "rcode", action: policy.Action{Do: policy.Answer, RCode: 3}, query: "a. A cd", udp: `NXDOMAIN rd ra cd | a. A`, tcp: `NXDOMAIN rd ra cd | a. A`},
		{name: "rcode of a faulty request", action: policy.Action{Do: policy.Answer, RCode: 5}, query: "a. AXFR", udp: `REFUSED rd ra | a. AXFR`, tcp: `REFUSED rd ra | a. AXFR`},
		{name: "truncate", action: policy.Action{Do: policy.Truncate}, query: "a. A", udp: `NOERROR tc rd ra | a. A`, passesOverTCP: true},
		{name: "answer", action: policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}, query: "WWW.a. A", udp: `NOERROR rd ra | WWW.a. A | WWW.a. 60 IN A 192.0.2.7`, tcp: `NOERROR rd ra | WWW.a. A | WWW.a. 60 IN A 192.0.2.7`},
		{name: "answer any", action: policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}, query: "a. ANY", udp: `NOERROR rd ra | a. ANY | a. 60 IN A 192.0.2.7`, tcp: `NOERROR rd ra | a. ANY | a. 60 IN A 192.0.2.7`},
		{name: "answer another type", action: policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}, query: "a. MX edns", udp: `NOERROR rd ra | a. MX | edns 1232 ede="Blocked"`, tcp: `NOERROR rd ra | a. MX | edns 1232 ede="Blocked"`},
		{name: "allow", action: policy.Action{Do: policy.Allow}, query: "a. A", asks: 1, passesOverTCP: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// What is allowed does not reach the second rule.
			r := newRuled(t, always(tt.action), always(policy.Action{Do: policy.SkipCache}))
			got, asked := r.send(tt.query)
			if r.expect("udp", got, tt.udp); asked != tt.asks {
				t.Errorf("%d upstreams asked, want %d", asked, tt.asks)
			}
			closed := len(r.eng.closed)
			got, asked = r.send(tt.query + " tcp from=10.9.8.7:1000")
			r.expect("tcp", got, tt.tcp)
			if cut := len(r.eng.closed) > closed; cut != (tt.tcp == "" && !tt.passesOverTCP) {
				t.Errorf("connection closed: %v", cut)
			}
			if tt.passesOverTCP && tt.asks == 0 && asked != 1 {
				t.Error("over TCP nobody was asked")
			}
		})
	}
}

// TestOtherTypesGoOn: an answer without one for the type lets the next rule act.
func TestOtherTypesGoOn(t *testing.T) {
	only := answerOf("192.0.2.7")
	only.Other = nil
	r := newRuled(t, always(policy.Action{Do: policy.Answer, Records: only}), always(refuse()))
	got, _ := r.send("a. A")
	r.expect("A", got, `NOERROR rd ra | a. A | a. 60 IN A 192.0.2.7`)
	got, _ = r.send("a. AAAA")
	r.expect("AAAA", got, `REFUSED rd ra | a. AAAA`)
}

// TestRoute: another pool's upstreams are asked, and its answers are kept apart from those of the name's own pool.
func TestRoute(t *testing.T) {
	from := policy.Match{Selector: policy.Selector{Kind: policy.CD, Want: true}}
	r := newRuled(t, policy.Rule{Match: from, Action: policy.Action{Do: policy.Route, Pool: 1}})
	r.send("a. A")
	r.expect("default", r.give(1, "| a. 100 IN A 192.0.2.1"), `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
	if _, asked := r.send("a. A cd"); asked != 1 {
		t.Fatal("what is kept for one pool was given to a client of another")
	}
	r.expect("other", r.give(2, "| a. 100 IN A 192.0.2.2"), `NOERROR rd ra cd | a. A | a. 100 IN A 192.0.2.2`)
	for text, want := range map[string]string{"a. A": "192.0.2.1", "a. A cd": "192.0.2.2"} {
		if got, asked := r.send(text); asked != 0 || got == nil || !strings.Contains(got.Answer[0].String(), want) {
			t.Errorf("%q: %d asked, got %v", text, asked, got)
		}
	}
}

// TestRouteOnMiss: what the other pool has in the cache is found.
func TestRouteOnMiss(t *testing.T) {
	r := newRuled(t, in(policy.ChainMiss, ofType(dns.TypeA, policy.Action{Do: policy.Route, Pool: 1})))
	r.send("a. A")
	r.give(2, "| a. 100 IN A 192.0.2.2")
	got, asked := r.send("a. A")
	if r.expect("again", got, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.2`); asked != 0 {
		t.Error("asked again")
	}
}

// TestFirstFinalRouteCounts: a route that goes on may be replaced by a later one; a final one not.
func TestFirstFinalRouteCounts(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.Route, Pool: 1, Continue: true}), ofType(dns.TypeA, policy.Action{Do: policy.Route, Pool: 2}),
		always(refuse()))
	for text, pool := range map[string]int{"a. A": 3} {
		if r.send(text); len(r.asked[pool-1]) != 1 {
			t.Errorf("%q: pool %d was not asked", text, pool-1)
		}
	}
	got, _ := r.send("a. MX")
	r.expect("MX", got, "REFUSED rd ra | a. MX")
}

// TestSkipCache: neither from the cache nor in it.
func TestSkipCache(t *testing.T) {
	r := newRuled(t, policy.Rule{Match: policy.Match{Selector: policy.Selector{Kind: policy.EDNS, Want: true}}, Action: policy.Action{Do: policy.SkipCache}})
	r.send("a. A edns")
	r.give(1, "| a. 100 IN A 192.0.2.1")
	if _, asked := r.send("a. A"); asked != 1 {
		t.Error("an answer that was not to be kept was kept")
	}
	r.give(1, "| a. 100 IN A 192.0.2.2")
	if _, asked := r.send("a. A edns"); asked != 1 {
		t.Error("answered from the cache")
	}
	if _, asked := r.send("a. A"); asked != 0 {
		t.Error("others are not answered from the cache")
	}
}

// TestExtendedError: beside an answer from upstream and from the cache, but not in place of one that the answer has.
func TestExtendedError(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.Extend, Extended: 4}))
	r.send("a. A edns")
	want := `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232 ede="Forged Answer"`
	r.expect("upstream", r.give(1, "| a. 100 IN A 192.0.2.1"), want)
	got, _ := r.send("a. A edns")
	r.expect("cache", got, want)
	got, _ = r.send("a. A")
	r.expect("without EDNS", got, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
}

// TestLimitTTL: what clients are told, and what is kept.
func TestLimitTTL(t *testing.T) {
	r := newRuled(t, policy.Rule{Match: policy.Match{Selector: policy.Selector{Kind: policy.EDNS, Want: true}}, Action: policy.Action{Do: policy.LimitTTL, High: 30}},
		in(policy.ChainResponse, always(policy.Action{Do: policy.LimitTTL, Low: 50, High: 80})))
	r.send("a. A edns")
	r.expect("told at most 30", r.give(1, "| a. 100 IN A 192.0.2.1"), `NOERROR rd ra | a. A | a. 30 IN A 192.0.2.1 | edns 1232`)
	got, _ := r.send("a. A")
	r.expect("kept for 80", got, `NOERROR rd ra | a. A | a. 80 IN A 192.0.2.1`)
	r.now += 60 * time.Second
	got, _ = r.send("a. A edns")
	r.expect("20 are left", got, `NOERROR rd ra | a. A | a. 20 IN A 192.0.2.1 | edns 1232`)
	r.send("b. A")
	r.expect("raised to 50", r.give(1, "| b. 10 IN A 192.0.2.1"), `NOERROR rd ra | b. A | b. 50 IN A 192.0.2.1`)
	r.send("c. A")
	r.expect("0 stays", r.give(1, "| c. 0 IN A 192.0.2.1"), `NOERROR rd ra | c. A | c. 0 IN A 192.0.2.1`)
}

// TestFlagsTowardsUpstreams: RD and CD; the client sees its own.
func TestFlagsTowardsUpstreams(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.NoRecurse}), always(policy.Action{Do: policy.NoVerify}))
	r.send("a. A")
	if q := unpack(t, r.asked[0][0].data); q.RecursionDesired || !q.CheckingDisabled {
		t.Errorf("asked\n%v", q)
	}
	r.expect("client", r.give(1, "| a. 100 IN A 192.0.2.1"), `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
	if _, asked := r.send("a. A"); asked != 0 {
		t.Error("not kept")
	}
}

// TestDelay: over UDP the query rests, over TCP it does not; what rules decided on it holds afterwards.
func TestDelay(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.Delay, Wait: 100 * time.Millisecond}), always(policy.Action{Do: policy.Delay, Wait: 50 * time.Millisecond}),
		ofType(dns.TypeMX, policy.Action{Do: policy.Answer, RCode: 3}))
	if got, asked := r.send("a. A"); got != nil || asked != 0 {
		t.Fatal("not delayed")
	}
	r.now += 149 * time.Millisecond
	if _, asked := r.sort(r.turn()); asked != 0 {
		t.Fatal("too early")
	}
	if wait := r.w.untilTimer(); wait > time.Millisecond {
		t.Errorf("the worker would sleep for %v", wait)
	}
	r.now += time.Millisecond
	if _, asked := r.sort(r.turn()); asked != 1 {
		t.Fatal("not asked")
	}
	r.expect("in the end", r.give(1, "| a. 100 IN A 192.0.2.1"), `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
	r.send("a. MX")
	r.now += 150 * time.Millisecond
	got, _ := r.sort(r.turn())
	r.expect("the verdict", got, "NXDOMAIN rd ra | a. MX")
	got, _ = r.send("a. A tcp")
	r.expect("tcp", got, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
	for range restingMax + 1 {
		r.send("a. MX")
	}
	if s := &r.w.stats; s.DelaysDenied != 1 || s.Delays != restingMax+2 {
		t.Errorf("%d delayed, %d not", s.Delays, s.DelaysDenied)
	}
	r.now += 150 * time.Millisecond
	if sent := r.turn(); len(sent) != restingMax || r.w.rules.rest.used != 0 {
		t.Errorf("%d answered", len(sent))
	}
}

// TestTee: the shadow is asked once, its answer goes nowhere, and it does not hold up the client.
func TestTee(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.Tee, Pool: 2}))
	if _, asked := r.send("a. A"); asked != 2 || len(r.asked[2]) != 1 {
		t.Fatalf("%d asked, the shadow %d times", asked, len(r.asked[2]))
	}
	r.expect("the shadow's answer", r.give(3, "| a. 100 IN A 192.0.2.66"), "")
	r.expect("the client's", r.give(1, "| a. 100 IN A 192.0.2.1"), `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1`)
	if got, asked := r.send("a. A"); asked != 1 || got == nil {
		t.Errorf("a hit: %d asked, got %v", asked, got)
	}
	r.send("a. A")
	if s := &r.w.stats; s.Tees != 2 {
		t.Errorf("%d sent to the shadow, want 2: one was under way", s.Tees)
	}
	for i := range 64 {
		r.send(strings.Repeat("x", 1+i/2) + ". TYPE" + []string{"1", "28"}[i%2])
	}
	if r.w.stats.TeesDenied == 0 || r.w.stats.Shed != 0 {
		t.Errorf("%d not sent to the shadow, %d clients shed", r.w.stats.TeesDenied, r.w.stats.Shed)
	}
}

// TestLog: lines, at most so many a second.
func TestLog(t *testing.T) {
	r := newRuled(t, always(policy.Action{Do: policy.Log, Rate: policy.Rate{PerSecond: 1, Burst: 2}}))
	for range 5 {
		r.send(`A\.b.example. TXT from=10.0.0.1:99`)
	}
	var lines []string
	j := r.w.journal.Load()
	lost := j.lines.Read(func(l *policy.Line) {
		lines = append(lines, l.Source.String()+" "+dns.TypeToString[l.Type]+" "+l.NameText()+" "+j.policy.Rules()[l.Rule].Name)
	})
	if want := `10.0.0.1:99 TXT a\046b.example. rule0`; len(lines) != 2 || lines[0] != want || lost != 0 {
		t.Errorf("%d lost, got %q, want twice %q", lost, lines, want)
	}
}

// TestResponseChain: all clients of a slot get what the rules make of the answer, and so does the cache.
func TestResponseChain(t *testing.T) {
	for _, tt := range []struct {
		name         string
		action       policy.Action
		first, again string // "-": an upstream is asked
	}{
		{"drop", policy.Action{Do: policy.Drop}, "", "-"},
		{"rcode", policy.Action{Do: policy.Answer, RCode: 3, Extended: wire.EDEBlocked}, `NXDOMAIN rd ra | a. A | edns 1232 ede="Blocked"`, "-"},
		{"answer", policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}, `NOERROR rd ra | a. A | a. 60 IN A 192.0.2.7 | edns 1232`, `NOERROR rd ra | a. A | a. 60 IN A 192.0.2.7 | edns 1232`},
		{"truncate", policy.Action{Do: policy.Truncate}, `NOERROR tc rd ra | a. A | edns 1232`, "-"},
		{"skip_cache", policy.Action{Do: policy.SkipCache}, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232`, "-"},
		{"ede", policy.Action{Do: policy.Extend, Extended: 4}, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232 ede="Forged Answer"`, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232 ede="Forged Answer"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRuled(t, in(policy.ChainResponse, always(tt.action)))
			r.send("a. A edns")
			r.expect("first", r.give(1, "| a. 100 IN A 192.0.2.1"), tt.first)
			if r.w.table.Len() != 0 {
				t.Error("the slot is still there")
			}
			got, asked := r.send("a. A edns")
			if tt.again == "-" && (asked != 1 || got != nil) {
				t.Errorf("again: %d asked, got %v", asked, got)
			} else if tt.again != "-" {
				r.expect("again", got, tt.again)
			}
		})
	}
}

// TestOwnChain: answers of rules and of special names, with the client in view.
func TestOwnChain(t *testing.T) {
	local := policy.Match{Selector: policy.Selector{Kind: policy.RCode, Numbers: []uint16{5}}}
	r := newRuled(t, ofType(dns.TypeMX, refuse()), ofType(dns.TypeTXT, policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}),
		policy.Rule{Chain: policy.ChainOwn, Match: policy.Match{Op: policy.All, Of: []policy.Match{local, {Selector: policy.Selector{Kind: policy.CD, Want: true}}}}, Action: policy.Action{Do: policy.Drop}},
		policy.Rule{Chain: policy.ChainOwn, Name: "b", Match: local, Action: policy.Action{Do: policy.Answer, RCode: 3, Extended: wire.EDENone}},
		in(policy.ChainOwn, policy.Rule{Name: "c", Match: policy.Everything(), Action: policy.Action{Do: policy.Extend, Extended: 4}}))
	got, _ := r.send("a. MX")
	r.expect("in place of REFUSED", got, "NXDOMAIN rd ra | a. MX")
	got, _ = r.send("a. MX cd")
	r.expect("dropped", got, "")
	got, _ = r.send("a. TXT edns")
	r.expect("extended", got, `NOERROR rd ra | a. TXT | edns 1232 ede="Forged Answer"`)
	if r.w.stats.Drops[DropRule] != 1 {
		t.Error("not counted")
	}
}

// TestRulesAllocateNothing: of every selector and of the actions that answer, on the way of a hit and of a refusal.
func TestRulesAllocateNothing(t *testing.T) {
	set := policy.NewSet(policy.SetSuffixes, 10)
	set.AddName(wireName("listed.test"))
	any := []policy.Match{}
	for k := policy.QName; k <= policy.Clock; k++ {
		s := policy.Selector{
			Kind: k, Names: [][]byte{wireName("x.test")}, Set: policy.NewSetRef("s", set), Numbers: []uint16{4000}, Low: 60000, High: 60001, Want: true,
			Rate: policy.Rate{PerSecond: 1 << 20, Burst: 1 << 20, Bits4: 32, Bits6: 64, Sources: 1024}, Schedule: policy.Schedule{Days: 1, From: 1, To: 2, Zone: time.Local},
		}
		switch k {
		case policy.Regex:
			s.Pattern = dullPattern
		case policy.RCode, policy.Answers, policy.Authorities:
			continue
		case policy.RD, policy.EDNS, policy.PoolAvailable:
			s.Want = false
		}
		any = append(any, policy.Match{Op: policy.All, Of: []policy.Match{{Selector: s}}})
	}
	r := newRuled(t, policy.Rule{Match: policy.Match{Op: policy.Any, Of: any}, Action: policy.Action{Do: policy.Drop}},
		always(policy.Action{Do: policy.SetTags, Set: 1}), always(policy.Action{Do: policy.Extend, Extended: 4}), always(policy.Action{Do: policy.Log, Rate: policy.Rate{PerSecond: 1, Burst: 1}}),
		ofType(dns.TypeMX, refuse()), ofType(dns.TypeTXT, policy.Action{Do: policy.Answer, Records: answerOf("192.0.2.7")}), always(policy.Action{Do: policy.Route, Pool: 1}))
	r.send("a.b.c.d. A edns")
	r.give(2, "| a.b.c.d. 1000 IN A 192.0.2.1")
	r.eng.keep = false
	for _, words := range []string{"a.b.c.d. A edns", "a.b.c.d. MX edns", "a.b.c.d. TXT edns"} {
		msg := r.query("1", strings.Fields(words))
		from := origin{socket: clientSocket, path: client(1)}
		if n := testing.AllocsPerRun(200, func() { r.w.handle(msg, &from) }); n != 0 {
			t.Errorf("%s: %v allocations", words, n)
		}
	}
	if r.w.hits < 200 || r.w.stats.Drops[DropRule] != 0 {
		t.Errorf("%d hits, %d dropped", r.w.hits, r.w.stats.Drops[DropRule])
	}
}

// TestViews: a client's rules, pool and use of the cache go by the view that it is in.
func TestViews(t *testing.T) {
	mx := ofType(dns.TypeMX, refuse())
	mx.Views = []int{1}
	r := newRuledWith(t, []View{
		{View: policy.View{Name: "all", Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Pool: 1}},
		{View: policy.View{Name: "guests", Clients: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Pool: -1, NoCache: true}},
	}, mx)
	for text, refused := range map[string]bool{"a. MX": false, "a. MX from=10.0.0.1:1": false, "a. MX from=10.1.0.1:1": true, "b. TXT from=10.1.0.1:1": false} {
		if got, _ := r.send(text); (got != nil) != refused {
			t.Errorf("%q: got %v", text, got)
		}
	}
	r.asked = make([][]askedQuery, 3)
	if r.send("c. A from=10.0.0.1:1"); len(r.asked[1]) != 1 {
		t.Error("the view's pool was not asked")
	}
	if r.send("d. A"); len(r.asked[0]) != 1 {
		t.Error("a client in no view: the default pool was not asked")
	}
	r.give(1, "| d. 100 IN A 192.0.2.1")
	if _, asked := r.send("d. A from=10.1.0.1:1"); asked != 1 {
		t.Error("answered from the cache, which the view does not use")
	}
	if got, asked := r.send("d. A"); asked != 0 || got == nil {
		t.Error("others have lost the cache")
	}
	if r.send("x.other.test. A from=10.1.0.1:1"); len(r.asked[1]) != 2 {
		t.Error("a name of another pool's was not asked there")
	}
	if _, err := policy.Compile(nil, []policy.View{{Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, {Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, 1); err == nil {
		t.Error("a prefix in two views was accepted")
	}
}

// A query that rests while a reload takes all rules away, or puts others in their place, goes on: to the pool of its view if it is still in one.
func TestReloadWhileAQueryRests(t *testing.T) {
	views := []View{{View: policy.View{Name: "all", Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Pool: 1}}}
	for pool, left := range [][]View{nil, views} {
		r := newRuled(t, policy.Rule{Match: policy.Everything(), Action: policy.Action{Do: policy.Delay, Wait: 100 * time.Millisecond}})
		if _, asked := r.send("a.test. A"); asked != 0 {
			t.Fatal("the query does not rest")
		}
		c := *r.w.command.Load()
		snap := *c.snapshot
		c.snapshot, snap.Rules, snap.Views = &snap, nil, left
		c.derive(t)
		r.w.command.Store(&c)
		r.turn()
		r.now += 200 * time.Millisecond
		if _, asked := r.sort(r.turn()); asked != 1 || len(r.asked[pool]) != 1 {
			t.Errorf("%d views left: %d asked, %d of them pool %d", len(left), asked, len(r.asked[pool]), pool)
		}
	}
}
