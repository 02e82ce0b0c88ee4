package worker

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/policy"
)

// tierBench is a worker with a tier whose driver the test plays.
type tierBench struct {
	*bench
	line *tier.Line
	asks []tier.Question // that wait for a reply
}

const testBudget = 5 * time.Millisecond

func newTierBench(t testing.TB, upstreams int, edit func(*Config, *Snapshot)) *tierBench {
	t.Helper()
	line, err := tier.NewLine(func() {}, tier.LineLimits{FillBytes: tier.FillBytesMin, MessageBytesMax: 1024})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close(context.Background()) })
	b := &tierBench{bench: newBench(t, upstreams, edit), line: line}
	b.w.active.tier = (&tierLink{line: line}).set(&Tier{
		Budget: testBudget, Breaker: tier.BreakerConfig{Percent: 50, Rest: time.Second, RestMax: 8 * time.Second},
	})
	return b
}

// questions takes what was asked.
func (b *tierBench) questions() int {
	for q, ok := b.line.NextQuestion(); ok; q, ok = b.line.NextQuestion() {
		q.ID = bytes.Clone(q.ID)
		b.asks = append(b.asks, q)
	}
	return len(b.asks)
}

// question is the only one that was asked.
func (b *tierBench) question() tier.Question {
	b.t.Helper()
	if n := b.questions(); n != 1 {
		b.t.Fatalf("%d questions to the tier, want 1", n)
	}
	q := b.asks[0]
	b.asks = nil
	return q
}

// found replies to a question with a message, or without one, and returns what the worker sent then.
func (b *tierBench) found(q tier.Question, msg []byte) []sentDatagram {
	b.line.Found(q.Slot, q.Gen, msg)
	b.line.Publish()
	return b.turn()
}

func (b *tierBench) failed(q tier.Question) []sentDatagram {
	b.line.Failed(q.Slot, q.Gen, transport.FaultClosed)
	b.line.Publish()
	return b.turn()
}

// at lets time pass until at, with a turn for each timer on the way, and returns what was sent.
func (b *tierBench) at(at time.Duration) (sent []sentDatagram) {
	for b.now < at {
		next := at
		if timer := b.w.table.NextTimer(b.w.now); timer >= 0 && time.Duration(timer) < at {
			next = max(time.Duration(timer), b.now+1)
		}
		b.now = next
		sent = append(sent, b.turn()...)
	}
	return sent
}

// stored is a message about name as another instance may have stored it.
func stored(t testing.TB, name string, edit func(*dns.Msg), records ...string) []byte {
	t.Helper()
	return reply(t, pack(t, query(0, name, dns.TypeA)), func(m *dns.Msg) {
		m.Extra = nil
		if edit != nil {
			edit(m)
		}
	}, records...)
}

const recordA, recordB = "a.example. 300 IN A 192.0.2.1", "a.example. 300 IN A 192.0.2.2"

// fills returns what the worker gave the tier to store.
func (b *tierBench) fills() (list []tier.Stored) {
	for f, ok := b.line.NextFill(); ok; f, ok = b.line.NextFill() {
		f.ID, f.Msg = bytes.Clone(f.ID), bytes.Clone(f.Msg)
		list = append(list, f)
	}
	return list
}

// address is the only A record of a reply to a client.
func address(t testing.TB, d sentDatagram) string {
	t.Helper()
	m := unpack(t, d.data)
	if d.handle != clientSocket || len(m.Answer) != 1 {
		t.Fatalf("no reply with one record: %v", m)
	}
	return m.Answer[0].(*dns.A).A.String()
}

func TestTierAnswersInsteadOfUpstreams(t *testing.T) {
	b := newTierBench(t, 1, func(_ *Config, s *Snapshot) { s.TTLMax = 100 })
	if sent := b.ask(1, query(7, "A.example.", dns.TypeA)); len(sent) != 0 {
		t.Fatalf("%d datagrams sent while the tier is asked", len(sent))
	}
	q := b.question()
	b.now += time.Millisecond
	got := one(t, b.found(q, stored(t, "a.example.", nil, recordA)))
	m := unpack(t, got.data)
	if address(t, got) != "192.0.2.1" || m.Id != 7 || m.Question[0].Name != "A.example." || m.Answer[0].Header().Ttl != 100 {
		t.Errorf("reply\n%v\nwant the tier's answer with the clamped TTL", m)
	}
	if got := one(t, b.ask(2, query(8, "a.example.", dns.TypeA))); address(t, got) != "192.0.2.1" {
		t.Errorf("the answer is not in the cache: %v", unpack(t, got.data))
	}
	s := &b.w.stats
	if s.Hits+b.w.hits != 1 || s.TierHits != 1 || s.TierAsked != 1 || timed(&s.TierLatency) != 1 || b.questions() != 0 || len(b.fills()) != 0 {
		t.Errorf("hits %d, tier: %d asked, %d hits, %d timed; nothing may be asked or stored again", s.Hits, s.TierAsked, s.TierHits, timed(&s.TierLatency))
	}
}

// timed is how many a histogram holds.
func timed(h *Histogram) (n uint64) {
	for _, c := range h.Count {
		n += c
	}
	return n
}

func TestTierMissAndFaultGoToUpstreamsAtOnce(t *testing.T) {
	b := newTierBench(t, 1, nil)
	for name, give := range map[string]func(q tier.Question, name string) []sentDatagram{
		"miss":  func(q tier.Question, _ string) []sentDatagram { return b.found(q, nil) },
		"fault": func(q tier.Question, _ string) []sentDatagram { return b.failed(q) },
		"garbage": func(q tier.Question, _ string) []sentDatagram {
			return b.found(q, []byte("not a message at all"))
		},
		"other": func(q tier.Question, _ string) []sentDatagram {
			return b.found(q, stored(t, "b.example.", nil, "b.example. 60 IN A 192.0.2.1"))
		},
		"zero": func(q tier.Question, name string) []sentDatagram {
			return b.found(q, stored(t, name, nil, name+" 0 IN A 192.0.2.1"))
		},
		"servfail": func(q tier.Question, name string) []sentDatagram {
			return b.found(q, stored(t, name, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
		},
		"truncated": func(q tier.Question, name string) []sentDatagram {
			return b.found(q, stored(t, name, func(m *dns.Msg) { m.Truncated = true }, name+" 60 IN A 192.0.2.1"))
		},
	} {
		b.ask(1, query(1, name+".example.", dns.TypeA))
		up := one(t, give(b.question(), name+".example."))
		if up.handle == clientSocket {
			t.Errorf("%s: the client got %v", name, unpack(t, up.data))
			continue
		}
		if got := one(t, b.turn(b.answer(up, reply(t, up.data, nil, name+".example. 60 IN A 192.0.2.9")))); address(t, got) != "192.0.2.9" {
			t.Errorf("%s: the client got %v", name, unpack(t, got.data))
		}
	}
	if s := &b.w.stats; s.TierMisses != 1 || s.TierErrors != 1 || s.TierInvalid != 5 {
		t.Errorf("%d misses, %d errors, %d invalid", s.TierMisses, s.TierErrors, s.TierInvalid)
	}
}

// The budget is never passed, whatever the clock says when the query comes, and never cut by more than a tick.
func TestTierBudget(t *testing.T) {
	for offset := time.Duration(0); offset < inflight.TickNanos; offset += 37 * time.Microsecond {
		b := newTierBench(t, 1, nil)
		b.now += offset
		begin := b.now
		b.ask(1, query(1, "a.example.", dns.TypeA))
		if sent := b.at(begin + testBudget - inflight.TickNanos - 1); len(sent) != 0 {
			t.Fatalf("offset %v: %d datagrams sent more than a tick early", offset, len(sent))
		}
		if up := one(t, b.at(begin+testBudget)); up.handle == clientSocket {
			t.Fatalf("offset %v: %v", offset, unpack(t, up.data))
		}
		if s := &b.w.stats; s.TierLate != 1 || s.Misses != 1 {
			t.Fatalf("offset %v: %d late of %d misses", offset, s.TierLate, s.Misses)
		}
	}
}

// What comes late is used if it is an answer and still wanted; anything else changes nothing.
func TestTierIsLate(t *testing.T) {
	b := newTierBench(t, 1, nil)
	b.ask(1, query(1, "a.example.", dns.TypeA))
	q := b.question()
	up := one(t, b.at(b.now+testBudget))
	got := one(t, b.found(q, stored(t, "a.example.", nil, recordA)))
	if address(t, got) != "192.0.2.1" || b.w.stats.TierLateHits != 1 || b.w.table.Len() != 0 {
		t.Errorf("the late answer was not used: %v", unpack(t, got.data))
	}
	if sent := b.turn(b.answer(up, reply(t, up.data, nil, recordB))); len(sent) != 0 {
		t.Errorf("%d datagrams sent for the upstream's answer to nobody", len(sent))
	}

	for name, late := range map[string]func(tier.Question) []sentDatagram{
		"fault": b.failed, "miss": func(q tier.Question) []sentDatagram { return b.found(q, nil) },
		"garbage": func(q tier.Question) []sentDatagram { return b.found(q, []byte("no message at all")) },
	} {
		b.ask(1, query(1, name+".example.", dns.TypeA))
		q := b.question()
		up := one(t, b.at(b.now+testBudget))
		if sent := late(q); len(sent) != 0 {
			t.Fatalf("a late %s: %d datagrams", name, len(sent))
		}
		if got := one(t, b.turn(b.answer(up, reply(t, up.data, nil, name+".example. 60 IN A 192.0.2.9")))); address(t, got) != "192.0.2.9" {
			t.Errorf("after a late %s: %v", name, unpack(t, got.data))
		}
	}

	b.ask(1, query(1, "gone.example.", dns.TypeA))
	q = b.question()
	up = one(t, b.at(b.now+testBudget))
	b.turn(b.answer(up, reply(t, up.data, nil, "gone.example. 60 IN A 192.0.2.9")))
	if sent := b.found(q, stored(t, "gone.example.", nil, "gone.example. 60 IN A 192.0.2.1")); len(sent) != 0 {
		t.Errorf("an answer after the upstream's: %d datagrams", len(sent))
	}
}

func TestTierClientsShareOneQuestion(t *testing.T) {
	b := newTierBench(t, 1, nil)
	for n := range 5 {
		b.ask(n, query(uint16(n), "a.example.", dns.TypeA))
	}
	if sent := b.found(b.question(), stored(t, "a.example.", nil, recordA)); len(sent) != 5 {
		t.Errorf("%d replies, want 5", len(sent))
	}
}

// miss makes a query go to the upstream by way of the tier, and returns what was sent for the upstream's answer.
func (b *tierBench) miss(m *dns.Msg, edit func(*dns.Msg), records ...string) []sentDatagram {
	b.t.Helper()
	sent := b.ask(1, m)
	if b.questions() != 0 {
		sent = b.found(b.question(), nil)
	}
	up := one(b.t, sent)
	return b.turn(b.answer(up, reply(b.t, up.data, edit, records...)))
}

// Upstreams' answers are stored as they came, before clamps.
func TestTierIsFilled(t *testing.T) {
	b := newTierBench(t, 1, func(_ *Config, s *Snapshot) { s.TTLMax = 10 })
	b.miss(query(1, "A.example.", dns.TypeA), nil, recordA)
	list := b.fills()
	if len(list) != 1 || list[0].TTL != 300 || list[0].At != b.now {
		t.Fatalf("fills %+v, want one with a TTL of 300", list)
	}
	// Another instance finds it.
	other := newTierBench(t, 1, nil)
	other.ask(1, query(1, "a.example.", dns.TypeA))
	q := other.question()
	if !bytes.Equal(q.ID, list[0].ID) {
		t.Fatalf("stored as %x, asked for as %x", list[0].ID, q.ID)
	}
	if got := one(t, other.found(q, list[0].Msg)); address(t, got) != "192.0.2.1" || unpack(t, got.data).Answer[0].Header().Ttl != 300 {
		t.Errorf("got\n%v", unpack(t, got.data))
	}
	negative := func(m *dns.Msg) {
		m.Rcode = dns.RcodeNameError
		rr, _ := dns.NewRR("example. 60 IN SOA ns.example. root.example. 1 2 3 4 30")
		m.Ns = append(m.Ns, rr)
	}
	b.miss(query(1, "nx.example.", dns.TypeA), negative)
	if list := b.fills(); len(list) != 1 || list[0].TTL != 30 {
		t.Errorf("NXDOMAIN: fills %+v, want one with a TTL of 30", list)
	}
	if b.w.stats.TierFills != 2 {
		t.Errorf("%d fills counted", b.w.stats.TierFills)
	}
}

func TestTierIsNotFilled(t *testing.T) {
	b := newTierBench(t, 1, nil)
	for name, edit := range map[string]func(*dns.Msg){
		"servfail.example.": func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure },
		"refused.example.":  func(m *dns.Msg) { m.Rcode = dns.RcodeRefused },
		"formerr.example.":  func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError },
		"zero.example.": func(m *dns.Msg) {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: 1, Class: 1}, A: []byte{1, 2, 3, 4}})
		},
		"nosoa.example.": func(m *dns.Msg) { m.Rcode = dns.RcodeNameError },
	} {
		if b.miss(query(1, name, dns.TypeA), edit); len(b.fills()) != 0 {
			t.Errorf("%s was stored", name)
		}
	}
	long := func(m *dns.Msg) {
		for range 9 {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: 1, Ttl: 60}, Txt: []string{string(make([]byte, 120))}})
		}
	}
	if b.miss(query(1, "long.example.", dns.TypeTXT), long); len(b.fills()) != 0 || b.w.stats.TierFillsDropped != 1 {
		t.Errorf("an answer beyond the limit was stored, or not counted: %d", b.w.stats.TierFillsDropped)
	}
}

// A pool without a cache keeps its answers from others too; each pool has names of its own.
func TestTierByPool(t *testing.T) {
	b := newTierBench(t, 2, twoPools(func(corp *Pool) { corp.NoCache = true }))
	if b.miss(query(1, "www.corp.example.", dns.TypeA), nil, "www.corp.example. 60 IN A 192.0.2.1"); b.w.stats.TierAsked != 0 || len(b.fills()) != 0 {
		t.Error("the tier was asked or filled for a pool without a cache")
	}
	b = newTierBench(t, 1, func(_ *Config, s *Snapshot) { s.NeverKept = [][]byte{[]byte("\x03dyn\x07example\x00")} })
	if b.miss(query(1, "www.dyn.example.", dns.TypeA), nil, "www.dyn.example. 60 IN A 192.0.2.1"); b.w.stats.TierAsked != 0 || len(b.fills()) != 0 {
		t.Error("the tier was asked or filled for a name that is never kept")
	}
	b = newTierBench(t, 2, twoPools(nil))
	b.ask(1, query(1, "www.corp.example.", dns.TypeA))
	q := b.question()
	if !bytes.Contains(q.ID, []byte("corp")) || q.ID[len(q.ID)-1] != wire.KeyRD {
		t.Errorf("id %q: want the pool's name and no tag", q.ID)
	}
}

// A refresh is to bring what is new: it asks upstreams, and others get what it brings.
func TestTierAndPrefetch(t *testing.T) {
	b := newTierBench(t, 1, func(_ *Config, s *Snapshot) { s.PrefetchPercent, s.PrefetchRate = 10, 100 })
	b.miss(query(1, "a.example.", dns.TypeA), nil, "a.example. 100 IN A 192.0.2.1")
	b.fills()
	for range 3 {
		b.ask(1, query(1, "a.example.", dns.TypeA))
	}
	b.now += 95 * time.Second
	sent := b.ask(1, query(1, "a.example.", dns.TypeA))
	if len(sent) != 2 || b.questions() != 0 {
		t.Fatalf("%d datagrams, %d questions: want a reply and a query to the upstream", len(sent), len(b.asks))
	}
	for _, d := range sent {
		if d.handle != clientSocket {
			b.turn(b.answer(d, reply(t, d.data, nil, "a.example. 100 IN A 192.0.2.2")))
		}
	}
	if len(b.fills()) != 1 {
		t.Error("the fresh answer was not stored")
	}
}

// A client that waits for stale_after gets the older answer while the tier is asked, and the tier's refreshes the cache.
func TestTierAndStale(t *testing.T) {
	b := newTierBench(t, 1, func(_ *Config, s *Snapshot) {
		s.StaleMax, s.Pools[0].WhenDown, s.Pools[0].StaleAfter = 86400, Stale, 2*time.Millisecond
	})
	b.miss(query(1, "a.example.", dns.TypeA), nil, "a.example. 10 IN A 192.0.2.1")
	b.now += 20 * time.Second
	begin := b.now
	b.ask(1, query(1, "a.example.", dns.TypeA))
	if got := one(t, b.at(begin+3*time.Millisecond)); address(t, got) != "192.0.2.1" || unpack(t, got.data).Answer[0].Header().Ttl != staleTTL {
		t.Fatalf("got %v, want the stale answer", unpack(t, got.data))
	}
	if sent := b.found(b.question(), stored(t, "a.example.", nil, recordB)); len(sent) != 0 {
		t.Errorf("%d datagrams sent to nobody", len(sent))
	}
	if got := one(t, b.ask(1, query(1, "a.example.", dns.TypeA))); address(t, got) != "192.0.2.2" {
		t.Errorf("the cache was not refreshed: %v", unpack(t, got.data))
	}
}

// The breaker takes the tier out: queries go straight to the upstream, nothing is stored; trials bring it back.
func TestTierBreaker(t *testing.T) {
	b := newTierBench(t, 1, nil)
	name := func(n int) *dns.Msg { return query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA) }
	for n := range 10 {
		b.ask(1, name(n))
		up := one(t, b.at(b.now+testBudget))
		b.turn(b.answer(up, reply(t, up.data, nil)))
	}
	b.questions()
	b.asks = nil
	b.w.publish()
	if s := &b.w.stats; s.TierOut != 1 || s.TierOuts != 1 || s.TierLate != 10 {
		t.Fatalf("out %d, taken out %d times after %d late", s.TierOut, s.TierOuts, s.TierLate)
	}
	b.fills()
	up := one(t, b.ask(1, name(100)))
	if up.handle == clientSocket || b.questions() != 0 {
		t.Error("the tier is asked though it is out")
	}
	b.turn(b.answer(up, reply(t, up.data, nil, "n100.example. 60 IN A 192.0.2.1")))
	if len(b.fills()) != 0 || b.w.stats.TierFillsDropped == 0 || b.w.stats.TierSkipped != 1 {
		t.Errorf("the tier is filled though it is out: %d dropped, %d skipped", b.w.stats.TierFillsDropped, b.w.stats.TierSkipped)
	}
	b.now += time.Second
	for n := range 3 {
		if sent := b.ask(1, name(200+n)); len(sent) != 0 {
			t.Fatalf("trial %d: no question", n)
		}
		if n == 0 {
			one(t, b.ask(1, name(300))) // the others do not wait for the trial
		}
		b.found(b.question(), stored(t, fmt.Sprintf("n%d.example.", 200+n), nil, fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", 200+n)))
	}
	b.w.publish()
	if s := &b.w.stats; s.TierOut != 0 || s.TierOuts != 1 {
		t.Errorf("out %d, taken out %d times; want it back", s.TierOut, s.TierOuts)
	}
}

// A tier that takes no more questions costs no query anything.
func TestTierIsFull(t *testing.T) {
	b := newTierBench(t, 1, func(c *Config, s *Snapshot) { c.Slots, c.Waiters = 2048, 2048 })
	asked := 0
	for n := range 2000 {
		if sent := b.ask(1, query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA)); len(sent) == 0 {
			asked++
		}
	}
	if s := &b.w.stats; int(s.TierAsked) != asked || int(s.TierRefused) != 2000-asked || s.TierRefused == 0 {
		t.Errorf("%d asked, %d refused, %d not sent at once", s.TierAsked, s.TierRefused, asked)
	}
}

// A tier that does anything at any time never loses a query, answers none twice, and holds none up beyond the budget.
func TestTierNeverLosesAQuery(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { chaoticTier(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func chaoticTier(t *testing.T, r *rand.Rand) {
	b := newTierBench(t, 2, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 1024, 4096
		s.QueryTimeout, s.AttemptTimeout = 2*time.Second, 500*time.Millisecond
	})
	begun, ended := map[uint16]time.Duration{}, map[uint16]int{} // by the client's message id
	var ups []sentDatagram
	take := func(sent []sentDatagram) {
		for _, d := range sent {
			m := unpack(t, d.data)
			if d.handle == clientSocket {
				ended[m.Id]++
			} else {
				ups = append(ups, d)
			}
		}
	}
	id := uint16(0)
	for range 3000 {
		take(b.at(b.now + time.Duration(r.IntN(2000))*time.Microsecond))
		if r.IntN(3) > 0 {
			id++
			name := fmt.Sprintf("n%d.example.", r.IntN(400))
			begun[id] = b.now
			take(b.ask(1, query(id, name, dns.TypeA)))
		}
		b.checkSlots()
		b.questions()
		for len(b.asks) > 0 && r.IntN(2) == 0 {
			at := r.IntN(len(b.asks))
			q := b.asks[at]
			b.asks = append(b.asks[:at], b.asks[at+1:]...)
			name, _, _ := dns.UnpackDomainName(q.ID[1+int(q.ID[0]):], 0)
			switch r.IntN(8) {
			case 0: // never answered
			case 1:
				take(b.failed(q))
			case 2, 3:
				take(b.found(q, nil))
			case 4:
				msg := stored(t, name, nil, name+" 60 IN A 192.0.2.1")
				msg[r.IntN(len(msg))] ^= byte(1 << r.IntN(8))
				take(b.found(q, msg))
			default:
				take(b.found(q, stored(t, name, nil, name+" 1 IN A 192.0.2.1")))
			}
		}
		for len(ups) > 0 && r.IntN(3) == 0 {
			at := r.IntN(len(ups))
			d := ups[at]
			ups = append(ups[:at], ups[at+1:]...)
			if r.IntN(10) > 0 {
				take(b.turn(b.answer(d, reply(t, d.data, nil, unpack(t, d.data).Question[0].Name+" 1 IN A 192.0.2.2"))))
			}
		}
	}
	take(b.at(b.now + 3*time.Second))
	for id, at := range begun {
		if ended[id] != 1 {
			t.Errorf("query %d, begun at %v: %d replies", id, at, ended[id])
		}
	}
	s := &b.w.stats
	if s.TierHits == 0 || s.TierMisses == 0 || s.TierErrors == 0 || s.TierLate == 0 {
		t.Errorf("not everything happened: %+v", s)
	}
}

// checkSlots: every question under way is asked of the tier, within the budget, or of an upstream.
func (b *tierBench) checkSlots() {
	b.t.Helper()
	for slot := range b.w.cfg.Slots {
		s := b.w.table.At(uint32(slot))
		if s.Gen&1 == 0 {
			continue
		}
		if all, _ := pending(s); all == 0 && !s.AskingTier || s.AskingTier && b.now > time.Duration(s.Started)+testBudget {
			b.t.Fatalf("slot %d at %v: begun at %v, asks the tier: %t, %d attempts", slot, b.now, time.Duration(s.Started), s.AskingTier, all)
		}
	}
}

func TestTierAllocatesNothing(t *testing.T) {
	b := newTierBench(t, 1, nil)
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	answer := stored(t, "a.example.", nil, recordA)
	b.eng.keep = false
	events := []ring.Event{from(1, msg)}
	if n := testing.AllocsPerRun(200, func() {
		b.now += 400 * time.Second
		b.eng.events = events
		b.w.turn()
		q, _ := b.line.NextQuestion()
		b.line.Found(q.Slot, q.Gen, answer)
		b.line.Publish()
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.w.stats.TierHits < 200 {
		t.Errorf("%d answers of the tier", b.w.stats.TierHits)
	}
}

// Instances may differ in what they change in answers: the tier holds them as upstreams gave them, and each instance treats the tier's as an
// upstream's.
func TestTierHoldsWhatUpstreamsSaid(t *testing.T) {
	b := newTierBench(t, 1, func(_ *Config, s *Snapshot) {
		configureScrubs(t, s, "rebinding", "nodata")
		configureScrubs(t, s, "dns64", "64:ff9b::/96")
	})
	const inside = "in.example. 60 IN A 10.0.0.1"
	got := one(t, b.miss(query(1, "in.example.", dns.TypeA), nil, inside))
	if m := unpack(t, got.data); len(m.Answer) != 0 {
		t.Fatalf("protection does nothing: %v", m)
	}
	list := b.fills()
	if len(list) != 1 || !bytes.Contains(list[0].Msg, []byte{10, 0, 0, 1}) {
		t.Errorf("stored %+v, want the answer as it came", list)
	}
	b.ask(1, query(1, "out.example.", dns.TypeA))
	if m := unpack(t, one(t, b.found(b.question(), stored(t, "out.example.", nil, "out.example. 60 IN A 10.0.0.2"))).data); len(m.Answer) != 0 {
		t.Errorf("the tier's answer was not looked at: %v", m)
	}

	// A name without AAAA records, as the tier knows; its A records are asked for and stored under their own question.
	b.ask(1, query(1, "v4.example.", dns.TypeAAAA))
	q := b.question()
	up := one(t, b.found(q, stored(t, "v4.example.", func(m *dns.Msg) {
		m.Question[0].Qtype = dns.TypeAAAA
		rr, _ := dns.NewRR("example. 60 IN SOA ns.example. root.example. 1 2 3 4 30")
		m.Ns = append(m.Ns, rr)
	})))
	if asked := unpack(t, up.data); up.handle == clientSocket || asked.Question[0].Qtype != dns.TypeA {
		t.Fatalf("sent %v, want a query for A records", asked)
	}
	got = one(t, b.turn(b.answer(up, reply(t, up.data, nil, "v4.example. 60 IN A 192.0.2.1"))))
	if m := unpack(t, got.data); len(m.Answer) != 1 || m.Answer[0].(*dns.AAAA).AAAA.String() != "64:ff9b::c000:201" {
		t.Errorf("got %v, want the translated address", m)
	}
	list = b.fills()
	if len(list) != 1 || answersA(list[0].ID) == answersA(q.ID) {
		t.Errorf("stored %+v, want the A records under their own question", list)
	}
}

// answersA reports whether an id is of a question for A records.
func answersA(id []byte) bool { return wire.KeyType(id[1+int(id[0]):]) == wire.TypeA }

// TestTierAndFollowers: while one worker asks the tier, the others wait for it as they do while it asks an upstream.
func TestTierAndFollowers(t *testing.T) {
	for name, late := range map[string]bool{"in time": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			list := newTeam(t, 2, 1, nil)
			line, err := tier.NewLine(func() {}, tier.LineLimits{FillBytes: tier.FillBytesMin, MessageBytesMax: 1024})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { line.Close(context.Background()) })
			owner, follower := &tierBench{bench: list[0], line: line}, list[1]
			owner.w.active.tier = (&tierLink{line: line}).set(&Tier{
				Budget: testBudget, Breaker: tier.BreakerConfig{Percent: 50, Rest: time.Second, RestMax: time.Second},
			})
			if sent := append(owner.ask(1, query(1, "a.example.", dns.TypeA)), follower.ask(2, query(2, "a.example.", dns.TypeA))...); len(sent) != 0 {
				t.Fatalf("%d datagrams sent while the tier is asked", len(sent))
			}
			q := owner.question()
			var sent []sentDatagram
			if late {
				up := one(t, owner.at(owner.now+testBudget))
				follower.now = owner.now
				if sent := follower.turn(); len(sent) != 0 {
					t.Fatalf("the follower sent %d datagrams when the budget was over", len(sent))
				}
				sent = owner.turn(owner.answer(up, reply(t, up.data, nil, recordA)))
			} else {
				sent = owner.found(q, stored(t, "a.example.", nil, recordA))
			}
			if address(t, one(t, sent)) != "192.0.2.1" || address(t, one(t, follower.turn())) != "192.0.2.1" {
				t.Error("not both clients have the answer")
			}
		})
	}
}

// BenchmarkTurnWithTier is BenchmarkTurn/hits-of-10000 with a cache that instances share: hits do not come near it.
func BenchmarkTurnWithTier(b *testing.B) {
	line, err := tier.NewLine(func() {}, tier.LineLimits{FillBytes: tier.FillBytesMin, MessageBytesMax: 1024})
	if err != nil {
		b.Fatal(err)
	}
	defer line.Close(context.Background())
	hitsBeside(b, func(w *worker) { w.active.tier = (&tierLink{line: line}).set(&Tier{Budget: testBudget}) })
}

// What a rule says is not to be kept, nobody else gets either: rules about queries, which are not asked of the tier then, and about answers.
func TestTierAndRulesThatSkipTheCache(t *testing.T) {
	skip := always(policy.Action{Do: policy.SkipCache})
	skip.Name = "skip"
	for _, chain := range []policy.Chain{skip.Chain, policy.ChainResponse} {
		rule := skip
		rule.Chain = chain
		b := newTierBench(t, 1, func(_ *Config, s *Snapshot) { s.Rules = []policy.Rule{rule} })
		b.miss(query(1, "a.example.", dns.TypeA), nil, recordA)
		if b.fills() != nil || b.w.stats.TierFills != 0 {
			t.Errorf("chain %v: the answer was stored", chain)
		}
		if asked := b.w.stats.TierAsked; (asked == 0) != (chain == skip.Chain) {
			t.Errorf("chain %v: the tier was asked %d times", chain, asked)
		}
	}
}
