package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker/inspect"
)

// inspectBench is a worker with an inspector that the test plays.
type inspectBench struct {
	*tierBench
	eye *inspect.Line
}

func newInspectBench(t testing.TB, refuse bool, edit func(*Config, *Snapshot)) *inspectBench {
	t.Helper()
	line, err := inspect.NewLine(func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close(context.Background()) })
	b := &inspectBench{tierBench: &tierBench{bench: newBench(t, 1, edit)}, eye: line}
	b.use(&inspectLink{line: line}, Inspection{Points: onePoint(inspect.AtMiss, refuse)})
	return b
}

// onePoint is an inspector that looks at one point alone.
func onePoint(at inspect.Point, refuse bool) (list [inspect.Points]InspectPoint) {
	list[at] = InspectPoint{On: true, Budget: testBudget, Refuse: refuse}
	return list
}

// use makes link the worker's.
func (b *inspectBench) use(link *inspectLink, c Inspection) {
	b.w.active.inspect = link.set(&c)
	b.w.active.asking = link.at(inspect.AtQuery)
}

// misses are the figures of what was shown before it was asked.
func (b *inspectBench) misses() *InspectStats { return &b.w.stats.Inspect[inspect.AtMiss] }

// shown takes the only question that was shown.
func (b *inspectBench) shown() (inspect.Asked, inspect.Question) {
	b.t.Helper()
	asked, ok := b.eye.Next()
	if !ok {
		b.t.Fatal("no question was shown")
	}
	var q inspect.Question
	if !q.Parse(bytes.Clone(asked.Raw)) {
		b.t.Fatalf("% x is no question", asked.Raw)
	}
	b.none()
	return asked, q
}

// none: nothing is shown.
func (b *inspectBench) none() {
	b.t.Helper()
	if asked, more := b.eye.Next(); more {
		b.t.Fatalf("shown: % x", asked.Raw)
	}
}

func (b *inspectBench) give(a inspect.Asked, v inspect.Verdict) []sentDatagram {
	b.eye.Give(a.Slot, a.Gen, v, 0)
	b.eye.Publish()
	return b.turn()
}

// up is the only datagram of a list, which goes to the upstream.
func (b *inspectBench) up(sent []sentDatagram) sentDatagram {
	b.t.Helper()
	d := one(b.t, sent)
	if d.handle == clientSocket {
		b.t.Fatalf("a client has got %v", unpack(b.t, d.data))
	}
	return d
}

// answered lets the upstream answer, and returns the reply.
func (b *inspectBench) answered(up sentDatagram, records ...string) *dns.Msg {
	b.t.Helper()
	d := one(b.t, b.turn(b.answer(up, reply(b.t, up.data, nil, records...))))
	return unpack(b.t, d.data)
}

// TestInspectionShowsMisses: what is to be asked of an upstream is shown, as it is; what the cache has is not, nor what is answered here.
func TestInspectionShowsMisses(t *testing.T) {
	b := newInspectBench(t, true, func(_ *Config, s *Snapshot) { s.Local.Localhost = true })
	m := query(7, "A.example.", dns.TypeTXT)
	m.SetEdns0(1232, true)
	m.CheckingDisabled = true
	if sent := b.ask(1, m); len(sent) != 0 {
		t.Fatalf("%d datagrams sent before the verdict", len(sent))
	}
	asked, q := b.shown()
	if string(q.Name) != "\x01a\x07example\x00" || q.Type != dns.TypeTXT || q.Class != 1 || q.TCP || !q.RD || !q.CD || !q.DO ||
		string(q.Pool) != b.w.active.pools[0].spec.Name || !q.Client.Is4() && !q.Client.Is6() {
		t.Errorf("shown %+v", q)
	}
	b.answered(b.up(b.give(asked, inspect.Verdict{})), "a.example. 300 IN TXT x")
	for n := range 3 {
		if got := one(t, b.ask(1, m)); got.handle != clientSocket {
			t.Errorf("query %d was no hit", n)
		}
		b.none()
	}
	one(t, b.ask(1, query(8, "localhost.", dns.TypeA)))
	b.none()
	if s := b.misses(); s.Asked != 1 || s.Passed != 1 || timed(&s.Latency) != 1 || b.w.stats.Misses != 1 {
		t.Errorf("%d asked, %d passed, %d misses", s.Asked, s.Passed, b.w.stats.Misses)
	}
}

// TestInspectionVerdicts: what each verdict does; all clients of a question share it.
func TestInspectionVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		verdict inspect.Verdict
		rcode   int // -1: no reply
		count   func(*InspectStats) uint64
	}{
		{"refused", inspect.Refused(), dns.RcodeRefused, func(s *InspectStats) uint64 { return s.Answered }},
		{"nxdomain", inspect.NXDomain(), dns.RcodeNameError, func(s *InspectStats) uint64 { return s.Answered }},
		{"drop", inspect.Verdict{Do: inspect.Drop}, -1, func(s *InspectStats) uint64 { return s.Dropped }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newInspectBench(t, false, nil)
			b.ask(1, query(7, "a.example.", dns.TypeA))
			b.ask(2, query(8, "A.example.", dns.TypeA))
			asked, _ := b.shown()
			sent := b.give(asked, tt.verdict)
			if tt.rcode < 0 {
				if len(sent) != 0 || b.w.stats.Drops[DropRule] != 2 {
					t.Errorf("%d datagrams, %d dropped", len(sent), b.w.stats.Drops[DropRule])
				}
			} else if len(sent) != 2 {
				t.Fatalf("%d replies, want 2", len(sent))
			}
			for _, d := range sent {
				if m := unpack(t, d.data); d.handle != clientSocket || m.Rcode != tt.rcode || len(m.Answer) != 0 {
					t.Errorf("reply %v", m)
				}
			}
			if got := tt.count(b.misses()); got != 1 || b.w.table.Len() != 0 || b.w.stats.Failed != 0 {
				t.Errorf("%d counted, %d slots are open, %d failed", got, b.w.table.Len(), b.w.stats.Failed)
			}
			b.ask(1, query(9, "a.example.", dns.TypeA))
			b.shown() // the verdict is not kept
		})
	}
}

// TestInspectionOnce: what passes once is not kept, so that the next query is shown, too.
func TestInspectionOnce(t *testing.T) {
	b := newInspectBench(t, false, nil)
	for id := range uint16(3) {
		b.ask(1, query(id, "a.example.", dns.TypeA))
		asked, _ := b.shown()
		if m := b.answered(b.up(b.give(asked, inspect.Verdict{Do: inspect.Once})), recordA); len(m.Answer) != 1 || m.Id != id {
			t.Errorf("reply %v", m)
		}
	}
	if b.misses().Once != 3 {
		t.Errorf("%d counted", b.misses().Once)
	}
}

// TestInspectionBudget: without a verdict, on_failure decides when the budget is over, not earlier, and not later; a late verdict changes nothing.
func TestInspectionBudget(t *testing.T) {
	for name, refuse := range map[string]bool{"pass": false, "refuse": true} {
		t.Run(name, func(t *testing.T) {
			b := newInspectBench(t, refuse, nil)
			begin := b.now
			b.ask(1, query(7, "a.example.", dns.TypeA))
			asked, _ := b.shown()
			if asked.Deadline > begin+testBudget || asked.Deadline <= begin {
				t.Errorf("deadline %v after the query, the budget is %v", asked.Deadline-begin, testBudget)
			}
			if sent := b.at(asked.Deadline - time.Nanosecond); len(sent) != 0 {
				t.Fatalf("%d datagrams within the budget", len(sent))
			}
			sent := b.at(begin + testBudget)
			if refuse {
				if m := unpack(t, one(t, sent).data); m.Rcode != dns.RcodeRefused {
					t.Errorf("reply %v", m)
				}
			} else {
				up := b.up(sent)
				if late := b.give(asked, inspect.Refused()); len(late) != 0 {
					t.Errorf("a late verdict sends %d datagrams", len(late))
				}
				if m := b.answered(up, recordA); len(m.Answer) != 1 {
					t.Errorf("reply %v", m)
				}
			}
			if s := b.misses(); s.Late != 1 || (s.Denied == 1) != refuse || s.Answered != 0 {
				t.Errorf("%d late, %d denied", s.Late, s.Denied)
			}
		})
	}
}

// TestInspectionFailure: that there is no verdict is known before the budget is over.
func TestInspectionFailure(t *testing.T) {
	for name, refuse := range map[string]bool{"pass": false, "refuse": true} {
		t.Run(name, func(t *testing.T) {
			b := newInspectBench(t, refuse, nil)
			b.ask(1, query(7, "a.example.", dns.TypeA))
			asked, _ := b.shown()
			b.eye.Fail(asked.Slot, asked.Gen, transport.FaultProtocol)
			b.eye.Publish()
			sent := b.turn()
			if !refuse {
				b.up(sent)
			} else if m := unpack(t, one(t, sent).data); m.Rcode != dns.RcodeRefused {
				t.Errorf("reply %v", m)
			}
			if s := b.misses(); s.Failed != 1 || s.Late != 0 {
				t.Errorf("%d failed, %d late", s.Failed, s.Late)
			}
		})
	}
}

// TestInspectionIsFull: with too many questions under way the rest has no verdict, at once.
func TestInspectionIsFull(t *testing.T) {
	b := newInspectBench(t, true, func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = 2048, 2048 })
	refused := 0
	for n := range 2000 {
		refused += len(b.ask(1, query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA)))
	}
	if s := b.misses(); int(s.Full) != refused || int(s.Denied) != refused || int(s.Asked) != 2000-refused || refused == 0 {
		t.Errorf("%d refused, %d full, %d asked", refused, s.Full, s.Asked)
	}
}

// TestInspectionIsSwitchedOff: what waits for a verdict when a reload takes the inspector away goes on when its budget is over.
func TestInspectionIsSwitchedOff(t *testing.T) {
	b := newInspectBench(t, true, nil)
	b.ask(1, query(7, "a.example.", dns.TypeA))
	b.w.active.inspect = nil
	b.up(b.at(b.now + testBudget))
}

// TestInspectionNeverLosesAQuery: whatever an inspector does, and whenever, each query has one reply, but for those dropped.
func TestInspectionNeverLosesAQuery(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { chaoticInspector(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func chaoticInspector(t *testing.T, r *rand.Rand) {
	b := newInspectBench(t, r.IntN(2) == 0, func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = 1024, 4096 })
	replies := map[uint16]int{}
	var ups []sentDatagram
	take := func(sent []sentDatagram) {
		for _, d := range sent {
			if d.handle == clientSocket {
				replies[unpack(t, d.data).Id]++
			} else {
				ups = append(ups, d)
			}
		}
	}
	var asked []inspect.Asked
	id := uint16(0)
	for range 2000 {
		take(b.at(b.now + time.Duration(r.IntN(2000))*time.Microsecond))
		if r.IntN(3) > 0 {
			id++
			take(b.ask(1, query(id, fmt.Sprintf("n%d.example.", r.IntN(300)), dns.TypeA)))
		}
		for a, ok := b.eye.Next(); ok; a, ok = b.eye.Next() {
			asked = append(asked, a)
		}
		for len(asked) > 0 && r.IntN(2) == 0 {
			at := r.IntN(len(asked))
			a := asked[at]
			asked = append(asked[:at], asked[at+1:]...)
			if r.IntN(6) == 0 {
				b.eye.Fail(a.Slot, a.Gen, transport.FaultTimeout)
				b.eye.Publish()
				take(b.turn())
				continue
			}
			take(b.give(a, []inspect.Verdict{{}, {}, {Do: inspect.Once}, inspect.Refused(), {Do: inspect.Drop}}[r.IntN(5)]))
		}
		for len(ups) > 0 && r.IntN(3) == 0 {
			d := ups[0]
			ups = ups[1:]
			take(b.turn(b.answer(d, reply(t, d.data, nil, unpack(t, d.data).Question[0].Name+" 1 IN A 192.0.2.2"))))
		}
	}
	for len(ups) > 0 || b.w.table.Len() > 0 {
		take(b.at(b.now + 100*time.Millisecond))
		ups = nil
	}
	dropped := int(b.w.stats.Drops[DropRule])
	for id := uint16(1); id <= uint16(len(replies)+dropped); id++ {
		if replies[id] > 1 {
			t.Errorf("query %d: %d replies", id, replies[id])
		}
	}
	if len(replies)+dropped != int(id) {
		t.Errorf("%d queries: %d have a reply, %d were dropped", id, len(replies), dropped)
	}
	s := b.misses()
	if s.Passed == 0 || s.Once == 0 || s.Answered == 0 || s.Dropped == 0 || s.Late == 0 || s.Failed == 0 {
		t.Errorf("not everything happened: %+v", s)
	}
}

func TestInspectionAllocatesNothing(t *testing.T) {
	b := newInspectBench(t, false, nil)
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	b.eng.keep = false
	events := []ring.Event{from(1, msg)}
	if n := testing.AllocsPerRun(200, func() {
		b.eng.events = events
		b.w.turn()
		asked, _ := b.eye.Next()
		b.eye.Give(asked.Slot, asked.Gen, inspect.Refused(), 0)
		b.eye.Publish()
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if b.misses().Answered < 200 {
		t.Errorf("%d answered", b.misses().Answered)
	}
}

// TestInspectionOfAGroup: Go code decides on real queries over a reload of it, of its budget, and when it is taken away.
func TestInspectionOfAGroup(t *testing.T) {
	z := newZone(t)
	snap := testSnapshot(z.endpoint(transport.TCP))
	refuse := func(context.Context, *inspect.Question) (inspect.Verdict, error) { return inspect.Refused(), nil }
	host := inspect.NewHost(inspect.Func(refuse), slog.New(slog.DiscardHandler))
	t.Cleanup(host.Close)
	snap.Inspection = Inspection{Host: host, Points: onePoint(inspect.AtMiss, false)}
	snap.Inspection.Points[inspect.AtMiss].Budget = inspect.BudgetMax
	g, addrs := serve(t, testConfig(t, BackendUring), snap)
	names := 0
	rcode := func() int {
		t.Helper()
		names++
		m, _, err := new(dns.Client).Exchange(query(1, fmt.Sprintf("n%d.example.", names), dns.TypeA), addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		return m.Rcode
	}
	until := func(what string, want int) { // on a busy machine a verdict may be late
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			if got := rcode(); got == want {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("%s: got %d, want %d", what, got, want)
			}
		}
	}
	until("the first", dns.RcodeRefused)
	host.Use(inspect.Func(func(context.Context, *inspect.Question) (inspect.Verdict, error) { return inspect.NXDomain(), nil }))
	until("another one", dns.RcodeNameError)
	host.Use(inspect.Func(func(context.Context, *inspect.Question) (inspect.Verdict, error) { panic("no") }))
	until("one that panics, and passes", dns.RcodeSuccess)
	shown := make(chan inspect.Question, 1)
	host.Use(inspect.Func(func(_ context.Context, q *inspect.Question) (inspect.Verdict, error) {
		select {
		case shown <- *q:
		default:
		}
		return inspect.Verdict{}, nil
	}))
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network}
		if _, _, err := client.Exchange(query(1, network+".example.", dns.TypeA), addrs[0].String()); err != nil {
			t.Fatal(err)
		}
		if q := <-shown; q.TCP != (network == "tcp") || q.Client.String() != "127.0.0.1" {
			t.Errorf("%s: shown %+v", network, q)
		}
	}
	host.Use(inspect.Func(func(context.Context, *inspect.Question) (inspect.Verdict, error) {
		return inspect.Verdict{}, errors.New("no")
	}))
	next := *snap
	next.Inspection.Points[inspect.AtMiss].Refuse = true
	if err := g.Reload(&next); err != nil {
		t.Fatal(err)
	}
	until("one that fails, and refuses", dns.RcodeRefused)
	next.Inspection = Inspection{}
	if err := g.Reload(&next); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := rcode(); got != dns.RcodeSuccess {
			t.Errorf("none: got %d", got)
		}
	}
	if f := host.Figures(); f.Panicked == 0 || f.Failed == 0 {
		t.Errorf("figures %+v", f)
	}
}

// BenchmarkTurnWithInspector is BenchmarkTurn/hits-of-10000 with an inspector that is asked about misses, which hits do not come near, and with one that has
// said for an hour that all queries pass.
func BenchmarkTurnWithInspector(b *testing.B) {
	for _, at := range []inspect.Point{inspect.AtMiss, inspect.AtQuery} {
		b.Run(inspect.PointNames[at], func(b *testing.B) {
			c := Inspection{Host: inspect.NewHost(inspect.Func(nil), slog.New(slog.DiscardHandler)), Points: onePoint(at, false), Kept: 1 << 15}
			link, err := newInspectLink(&c, func() {})
			if err != nil {
				b.Fatal(err)
			}
			defer link.close(context.Background())
			hitsBeside(b, func(w *worker) {
				w.active.inspect = link.set(&c)
				w.active.asking = link.at(inspect.AtQuery)
				passes := inspect.Verdict{Keep: inspect.Keep{Seconds: 3600, Labels: 1, AnyType: true}}
				link.kept.Add(&inspect.Question{Point: at, Name: wireName("com"), Pool: []byte(w.active.pools[0].spec.Name)}, &passes, c.Host.Epoch(), w.now)
			})
		})
	}
}
