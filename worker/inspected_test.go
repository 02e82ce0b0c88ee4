package worker

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/inspect"
	"secure-dns-proxy/worker/policy"
)

// newPointBench is an inspectBench whose inspector looks at one point, and whose worker keeps what it says to keep.
func newPointBench(t testing.TB, at inspect.Point, refuse bool, edit func(*Config, *Snapshot)) *inspectBench {
	t.Helper()
	b := newInspectBench(t, false, edit)
	c := Inspection{Host: inspect.NewHost(inspect.Func(nil), slog.New(slog.DiscardHandler)), Points: onePoint(at, refuse), Kept: inspect.KeptMin, Tags: []uint64{1 << 3, 1 << 5}}
	link, err := newInspectLink(&c, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.close(context.Background()) })
	b.eye = link.line
	b.use(link, c)
	return b
}

func (b *inspectBench) epoch() uint32 { return b.w.active.inspect.host.Epoch() }

// say gives a verdict of the epoch that holds.
func (b *inspectBench) say(a inspect.Asked, v inspect.Verdict) []sentDatagram {
	b.eye.Give(a.Slot, a.Gen, v, b.epoch())
	b.eye.Publish()
	return b.turn()
}

// come lets the upstream answer, and returns what is sent then.
func (b *inspectBench) come(up sentDatagram, records ...string) []sentDatagram {
	b.t.Helper()
	return b.turn(b.answer(up, reply(b.t, up.data, nil, records...)))
}

// TestInspectionOfAnswers: an answer is shown with its records before anybody has it, all clients wait for the verdict, and what passes is kept.
func TestInspectionOfAnswers(t *testing.T) {
	b := newPointBench(t, inspect.AtResponse, true, nil)
	up := b.up(b.ask(1, query(7, "A.example.", dns.TypeA)))
	b.none()
	if sent := b.come(up, "a.example. 300 IN CNAME b.example.", "b.example. 60 IN A 192.0.2.1"); len(sent) != 0 {
		t.Fatalf("%d datagrams sent before the verdict", len(sent))
	}
	if sent := b.ask(2, query(8, "a.example.", dns.TypeA)); len(sent) != 0 {
		t.Fatalf("a client who comes meanwhile gets %d datagrams", len(sent))
	}
	asked, q := b.shown()
	count, address := 0, ""
	for r := range q.Answers {
		count++
		if a, ok := r.Addr(); ok {
			address = a.String()
		}
	}
	if string(q.Name) != "\x01a\x07example\x00" || q.Point != inspect.AtResponse || q.RCode != 0 || q.TTL != 60 || count != 2 || address != "192.0.2.1" || !q.Client.IsValid() {
		t.Errorf("shown %+v, %d records, %s", q, count, address)
	}
	sent := b.say(asked, inspect.Verdict{TTLMax: 30})
	if len(sent) != 2 {
		t.Fatalf("%d replies, want 2", len(sent))
	}
	for _, d := range sent {
		if m := unpack(t, d.data); len(m.Answer) != 2 || m.Answer[0].Header().Ttl != 30 || m.Answer[1].Header().Ttl != 30 {
			t.Errorf("reply %v", m)
		}
	}
	if got := one(t, b.ask(1, query(9, "a.example.", dns.TypeA))); got.handle != clientSocket {
		t.Error("the answer was not kept")
	}
	b.none()
	b.now += 31 * time.Second
	b.up(b.ask(1, query(9, "a.example.", dns.TypeA))) // kept no longer than it says
	if s := &b.w.stats.Inspect[inspect.AtResponse]; s.Asked != 1 || s.Passed != 1 || timed(&s.Latency) != 1 || b.misses().Asked != 0 {
		t.Errorf("figures %+v", s)
	}
}

// TestInspectionOfAnswersVerdicts: what each verdict does to an answer; whatever it is, the place is free again.
func TestInspectionOfAnswersVerdicts(t *testing.T) {
	for name, tt := range map[string]struct {
		verdict inspect.Verdict
		want    string // RCODE and number of records; "": no reply
		kept    bool
	}{
		"pass":     {inspect.Verdict{}, "NOERROR 1", true},
		"once":     {inspect.Verdict{Do: inspect.Once}, "NOERROR 1", false},
		"nodata":   {inspect.Verdict{Do: inspect.Answer}, "NOERROR 0", false},
		"nxdomain": {inspect.NXDomain(), "NXDOMAIN 0", false},
		"drop":     {inspect.Verdict{Do: inspect.Drop}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPointBench(t, inspect.AtResponse, false, nil)
			b.come(b.up(b.ask(1, query(7, "a.example.", dns.TypeA))), recordA)
			asked, _ := b.shown()
			got := ""
			for _, d := range b.say(asked, tt.verdict) {
				m := unpack(t, d.data)
				got = fmt.Sprintf("%s %d", dns.RcodeToString[m.Rcode], len(m.Answer))
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if hit := one(t, b.ask(1, query(8, "a.example.", dns.TypeA))).handle == clientSocket; hit != tt.kept {
				t.Errorf("kept: %t, want %t", hit, tt.kept)
			}
			if h := &b.w.held; len(h.free) != len(h.places) || b.w.table.Len() != b2i(!tt.kept) {
				t.Errorf("%d of %d places free, %d slots", len(h.free), len(h.places), b.w.table.Len())
			}
		})
	}
}

// TestInspectionOfAnswersBudget: an answer without a verdict in time is given, and kept, or refused, as is said; the same where the inspector fails.
func TestInspectionOfAnswersBudget(t *testing.T) {
	for name, refuse := range map[string]bool{"pass": false, "refuse": true} {
		for _, late := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " late ", late), func(t *testing.T) {
				b := newPointBench(t, inspect.AtResponse, refuse, nil)
				b.come(b.up(b.ask(1, query(7, "a.example.", dns.TypeA))), recordA)
				asked, _ := b.shown()
				var sent []sentDatagram
				if late {
					if early := b.at(asked.Deadline - time.Nanosecond); len(early) != 0 {
						t.Fatalf("%d datagrams within the budget", len(early))
					}
					sent = b.at(asked.Deadline + time.Millisecond)
				} else {
					b.eye.Fail(asked.Slot, asked.Gen, 1)
					b.eye.Publish()
					sent = b.turn()
				}
				m := unpack(t, one(t, sent).data)
				if (m.Rcode == dns.RcodeRefused) != refuse || (len(m.Answer) == 1) == refuse {
					t.Errorf("reply %v", m)
				}
				if again := b.say(asked, inspect.Refused()); len(again) != 0 {
					t.Error("a late verdict sends something")
				}
				if hit := one(t, b.ask(1, query(8, "a.example.", dns.TypeA))).handle == clientSocket; hit == refuse {
					t.Errorf("kept: %t", hit)
				}
				s := &b.w.stats.Inspect[inspect.AtResponse]
				if s.Late != uint64(b2i(late)) || s.Failed != uint64(b2i(!late)) || s.Denied != uint64(b2i(refuse)) {
					t.Errorf("figures %+v", s)
				}
			})
		}
	}
}

// TestInspectionOfAnswersIsFull: more answers than there is room for have no verdict, at once.
func TestInspectionOfAnswersIsFull(t *testing.T) {
	b := newPointBench(t, inspect.AtResponse, true, func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = 2048, 2048 })
	refused := 0
	for n := range heldMax + 50 {
		up := b.up(b.ask(1, query(1, fmt.Sprintf("n%d.example.", n), dns.TypeA)))
		refused += len(b.come(up, fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", n)))
	}
	if s := &b.w.stats.Inspect[inspect.AtResponse]; refused != 50 || s.Full != 50 || s.Denied != 50 || s.Asked != heldMax {
		t.Errorf("%d refused, figures %+v", refused, s)
	}
}

// TestInspectionOfAnswersOverAReload: an answer that waits when the inspector is taken away is given when its budget is over.
func TestInspectionOfAnswersOverAReload(t *testing.T) {
	b := newPointBench(t, inspect.AtResponse, true, nil)
	b.come(b.up(b.ask(1, query(7, "a.example.", dns.TypeA))), recordA)
	b.w.active.inspect = nil
	if got := address(t, one(t, b.at(b.now+testBudget+time.Millisecond))); got != "192.0.2.1" {
		t.Errorf("got %s", got)
	}
}

// TestInspectionOfLongAnswers: one of 64 KiB survives the wait as it was.
func TestInspectionOfLongAnswers(t *testing.T) {
	h := new(held)
	t.Cleanup(func() { h.close() })
	b := newPointBench(t, inspect.AtResponse, false, nil)
	b.come(b.up(b.ask(1, query(7, "a.example.", dns.TypeA))), recordA)
	b.shown()
	a := b.w.held.places[b.w.table.At(0).Detail].answer
	a.Records = make([]byte, 65000)
	for i := range a.Records {
		a.Records[i] = byte(i)
	}
	first, ok := h.take(&a, 1)
	second, ok2 := h.take(&a, 2)
	if !ok || !ok2 || first == second {
		t.Fatal("no room")
	}
	a.Records[0], a.TTLs = 77, nil
	if got := h.places[first].answer; len(got.Records) != 65000 || got.Records[0] != 0 || got.Records[64999] != byte(64999%256) || len(got.TTLs) != 1 {
		t.Error("the copy is not what was held")
	}
}

// TestInspectionOfQueries: every query is shown before the cache is looked into, over UDP and TCP, and goes on as it was.
func TestInspectionOfQueries(t *testing.T) {
	b := newPointBench(t, inspect.AtQuery, false, nil)
	m := query(7, "A.example.", dns.TypeA)
	for n := range 3 {
		if sent := b.ask(1, m); len(sent) != 0 {
			t.Fatalf("query %d: %d datagrams sent before the verdict", n, len(sent))
		}
		asked, q := b.shown()
		if string(q.Name) != "\x01a\x07example\x00" || q.Point != inspect.AtQuery || q.TCP || !q.RD || !q.Client.IsValid() {
			t.Errorf("shown %+v", q)
		}
		sent := b.say(asked, inspect.Verdict{TTLMax: 7})
		if n == 0 {
			sent = b.come(b.up(sent), recordA)
		}
		if got := unpack(t, one(t, sent).data); got.Question[0].Name != "A.example." || got.Id != 7 || len(got.Answer) != 1 || got.Answer[0].Header().Ttl != 7 {
			t.Errorf("query %d: reply %v", n, got)
		}
	}
	ask, open := b.overTCP()
	ask(m)
	asked, q := b.shown()
	if !q.TCP || !q.Client.IsValid() {
		t.Errorf("over TCP: shown %+v", q)
	}
	b.say(asked, inspect.Verdict{})
	if s := &b.w.stats; !open() || s.Answers[dns.RcodeSuccess] != 4 || s.QueriesTCP != 1 || s.QueriesUDP != 3 || s.Inspect[inspect.AtQuery].Asked != 4 || s.Hits+b.w.hits != 3 {
		t.Errorf("figures %+v, %d answers, open %t", s.Inspect[inspect.AtQuery], s.Answers[dns.RcodeSuccess], open())
	}
	ask(query(9, "a.example.", dns.TypeA))
	asked, _ = b.shown()
	if b.say(asked, inspect.Verdict{Do: inspect.Drop}); open() {
		t.Error("a client whose query was dropped over TCP is not cut off")
	}
	if r := &b.w.rules.rest; r.used != 0 {
		t.Errorf("%d places in use", r.used)
	}
}

// TestInspectionOfQueriesVerdicts: what is decided before the cache holds for answers in it, too.
func TestInspectionOfQueriesVerdicts(t *testing.T) {
	for name, tt := range map[string]struct {
		verdict inspect.Verdict
		want    string // "up": an upstream is asked, "": nothing
	}{
		"pass":    {inspect.Verdict{}, "NOERROR"},
		"once":    {inspect.Verdict{Do: inspect.Once}, "up"},
		"refused": {inspect.Refused(), "REFUSED"},
		"drop":    {inspect.Verdict{Do: inspect.Drop}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPointBench(t, inspect.AtQuery, false, nil)
			b.ask(1, query(7, "a.example.", dns.TypeA))
			asked, _ := b.shown()
			b.come(b.up(b.say(asked, inspect.Verdict{})), recordA)
			b.ask(1, query(7, "a.example.", dns.TypeA))
			asked, _ = b.shown()
			got := ""
			for _, d := range b.say(asked, tt.verdict) {
				if got = "up"; d.handle == clientSocket {
					got = dns.RcodeToString[unpack(t, d.data).Rcode]
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestInspectionOfQueriesBudget: as of questions.
func TestInspectionOfQueriesBudget(t *testing.T) {
	for name, refuse := range map[string]bool{"pass": false, "refuse": true} {
		t.Run(name, func(t *testing.T) {
			b := newPointBench(t, inspect.AtQuery, refuse, nil)
			b.ask(1, query(7, "a.example.", dns.TypeA))
			asked, _ := b.shown()
			if sent := b.at(asked.Deadline - time.Nanosecond); len(sent) != 0 {
				t.Fatalf("%d datagrams within the budget", len(sent))
			}
			got := one(t, b.at(asked.Deadline))
			if refuse != (got.handle == clientSocket) {
				t.Errorf("got %v", unpack(t, got.data))
			}
			if sent := b.say(asked, inspect.NXDomain()); len(sent) != 0 {
				t.Errorf("a late verdict sends %d datagrams", len(sent))
			}
			long := query(8, "b.example.", dns.TypeA) // more than can rest
			long.SetEdns0(1232, false)
			long.IsEdns0().Option = append(long.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, restingBytesMax)})
			if got := one(t, b.ask(1, long)); refuse != (got.handle == clientSocket) {
				t.Errorf("a long one: %v", unpack(t, got.data))
			}
			if s := &b.w.stats.Inspect[inspect.AtQuery]; s.Late != 1 || s.Full != 1 || s.Denied != uint64(2*b2i(refuse)) {
				t.Errorf("figures %+v", s)
			}
		})
	}
}

// TestQueriesThatRestAreCountedOnce: a query with a cookie that waits for a verdict is one query with a cookie.
func TestQueriesThatRestAreCountedOnce(t *testing.T) {
	b := newPointBench(t, inspect.AtQuery, false, func(_ *Config, s *Snapshot) { s.Cookies.Enabled = true })
	m := query(7, "a.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"})
	b.ask(1, m)
	asked, _ := b.shown()
	got := unpack(t, one(t, b.come(b.up(b.say(asked, inspect.Verdict{})), recordA)).data)
	if b.w.stats.Cookies[CookieNew] != 1 || len(got.IsEdns0().Option) != 1 {
		t.Errorf("%d cookies counted, reply %v", b.w.stats.Cookies[CookieNew], got)
	}
}

// TestVerdictsAreKept: a verdict that holds for a while is taken again without asking, until its time or epoch is over.
func TestVerdictsAreKept(t *testing.T) {
	for at := range inspect.Point(inspect.Points) {
		t.Run(inspect.PointNames[at], func(t *testing.T) {
			b := newPointBench(t, at, false, nil)
			v := inspect.Refused()
			v.Keep = inspect.Keep{Seconds: 60, Labels: 1}
			ask := func(name string) []sentDatagram {
				sent := b.ask(1, query(7, name, dns.TypeA))
				if at == inspect.AtResponse {
					sent = b.come(b.up(sent), name+" 60 IN A 192.0.2.1")
				}
				return sent
			}
			ask("a.example.")
			asked, _ := b.shown()
			b.say(asked, v)
			for n := range 3 {
				if m := unpack(t, one(t, ask(fmt.Sprintf("n%d.example.", n))).data); m.Rcode != dns.RcodeRefused {
					t.Errorf("got %v", m)
				}
				b.none()
			}
			s := &b.w.stats.Inspect[at]
			if s.Recalled != 3 || s.Answered != 4 || s.Asked != 1 || b.w.stats.VerdictsKept != 1 {
				t.Errorf("figures %+v, %d kept", s, b.w.stats.VerdictsKept)
			}
			b.now += time.Minute
			ask("b.example.")
			asked, _ = b.shown()
			b.say(asked, v)
			b.w.active.inspect.host.Forget()
			ask("c.example.")
			asked, _ = b.shown()
			b.w.active.inspect.host.Forget() // while it thinks
			b.eye.Give(asked.Slot, asked.Gen, v, b.epoch()-1)
			b.eye.Publish()
			b.turn()
			ask("d.example.")
			b.shown()
			if b.w.stats.VerdictsKept != 2 {
				t.Errorf("%d kept", b.w.stats.VerdictsKept)
			}
		})
	}
}

// TestTagsOfVerdicts: tags that a verdict gives are seen by the rules that come later, and rules' tags by the inspector.
func TestTagsOfVerdicts(t *testing.T) {
	tagged := func(chain policy.Chain, bits uint64) policy.Rule {
		r := in(chain, always(policy.Action{Do: policy.Answer, RCode: dns.RcodeNameError}))
		r.Name = "tagged"
		r.Match = policy.Match{Selector: policy.Selector{Kind: policy.Tagged, Tags: bits}}
		return r
	}
	for name, tt := range map[string]struct {
		at    inspect.Point
		chain policy.Chain
	}{
		"query, miss":        {inspect.AtQuery, policy.ChainMiss},
		"miss, response":     {inspect.AtMiss, policy.ChainResponse},
		"response, response": {inspect.AtResponse, policy.ChainResponse},
	} {
		t.Run(name, func(t *testing.T) {
			for _, given := range []bool{false, true} {
				b := newPointBench(t, tt.at, false, func(_ *Config, s *Snapshot) {
					first := always(policy.Action{Do: policy.SetTags, Set: 1 << 3})
					first.Name = "first"
					s.Rules = []policy.Rule{first, tagged(tt.chain, 1<<5)}
				})
				sent := b.ask(1, query(7, "a.example.", dns.TypeA))
				if tt.at == inspect.AtResponse {
					sent = b.come(b.up(sent), recordA)
				}
				if len(sent) != 0 {
					t.Fatal("it does not wait")
				}
				asked, q := b.shown()
				if q.Tags != 1 {
					t.Errorf("shown with tags %b", q.Tags)
				}
				sent = b.say(asked, inspect.Verdict{Tags: uint8(2 * b2i(given))})
				if d := one(t, sent); d.handle != clientSocket {
					sent = b.come(d, recordA)
				}
				if m := unpack(t, one(t, sent).data); (m.Rcode == dns.RcodeNameError) != given {
					t.Errorf("tag given: %t, reply %v", given, m)
				}
			}
		})
	}
}

// TestInspectionPointsAllocateNothing: at each point, with a verdict that is asked for and with one that is kept.
func TestInspectionPointsAllocateNothing(t *testing.T) {
	for at := range inspect.Point(inspect.Points) {
		t.Run(inspect.PointNames[at], func(t *testing.T) {
			b := newPointBench(t, at, false, nil)
			msg := pack(t, query(1, "a.example.", dns.TypeA))
			b.come(b.up(b.askDecided(at, query(1, "b.example.", dns.TypeA))), "b.example. 60 IN A 192.0.2.1")
			b.eye.Next()
			answer := b.w.answer
			b.eng.keep = false
			events := []ring.Event{from(1, msg)}
			begin := func() {
				b.eng.events = events
				b.w.turn()
			}
			if at == inspect.AtResponse {
				begin = func() {
					l := &b.w.single
					b.w.parse(msg, l)
					b.w.tick()
					slot, _ := b.w.table.Open(l.hash, l.key)
					b.w.answer = answer
					b.w.conclude(slot, b.w.table.At(slot), l.pool)
					b.w.turn()
				}
			}
			v := inspect.Refused()
			v.Keep.Seconds = 1
			step := func() {
				b.now += 600 * time.Millisecond
				begin()
				if asked, ok := b.eye.Next(); ok {
					b.eye.Give(asked.Slot, asked.Gen, v, b.epoch())
					b.eye.Publish()
					b.w.turn()
				}
			}
			step()
			if n := testing.AllocsPerRun(200, step); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if s := &b.w.stats.Inspect[at]; s.Recalled < 50 || s.Asked < 50 || s.Full != 0 {
				t.Errorf("figures %+v", s)
			}
		})
	}
}

// askDecided is ask of a query that passes, if it is shown.
func (b *inspectBench) askDecided(at inspect.Point, m *dns.Msg) []sentDatagram {
	sent := b.ask(1, m)
	if at != inspect.AtResponse {
		asked, _ := b.shown()
		sent = b.say(asked, inspect.Verdict{})
	}
	return sent
}
