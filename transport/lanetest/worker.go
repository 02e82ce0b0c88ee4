package lanetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// Patience bounds every wait of a test. It is never expected to pass.
const Patience = 20 * time.Second

// Worker is the worker's side of a lane under test. It checks that every query gets exactly one reply, to its own question.
type Worker struct {
	Lane *transport.Lane

	t      testing.TB
	wake   chan struct{}
	names  map[uint64]string // outstanding, by slot and generation
	next   uint32
	closed bool
}

// Result is a reply, with its message copied.
type Result struct {
	Name  string
	Fault transport.Fault
	Msg   *dns.Msg
}

// Open starts run on a lane to e. The lane is closed at the end of the test, and every query must have had its reply by then.
func Open(t testing.TB, e *transport.Endpoint, run func(context.Context, *transport.Lane), limits transport.LaneLimits) *Worker {
	t.Helper()
	w := &Worker{t: t, wake: make(chan struct{}, 1), names: map[uint64]string{}}
	lane, err := transport.NewLane(e, func() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}, limits)
	if err != nil {
		t.Fatalf("new lane: %v", err)
	}
	w.Lane = lane
	lane.Start(run)
	t.Cleanup(w.Close)
	return w
}

// Close closes the lane and receives the rest; the second time it does nothing.
func (w *Worker) Close() {
	if w.closed {
		return
	}
	w.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := w.Lane.Close(ctx); err != nil {
		w.t.Errorf("close lane: %v", err)
	}
	for _, ok := w.receive(); ok; _, ok = w.receive() {
	}
	if len(w.names) != 0 || w.Lane.Outstanding() != 0 {
		w.t.Errorf("after close %d queries (lane: %d) have no reply", len(w.names), w.Lane.Outstanding())
	}
}

// Query returns a query for the A record of name, packed, with an OPT as the worker sends it.
func Query(name string) []byte {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA).SetEdns0(1232, false)
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// Submit sends a query for name that must be answered within timeout, and flushes. False: refused.
func (w *Worker) Submit(name string, timeout time.Duration) bool {
	return w.SubmitMessage(name, Query(name), timeout)
}

// SubmitMessage is Submit of a query for name that the test has made.
func (w *Worker) SubmitMessage(name string, query []byte, timeout time.Duration) bool {
	taken := w.submit(name, query, timeout)
	w.Lane.Flush()
	return taken
}

// Burst submits queries for all names in one turn, with one flush at its end, and fails the test if one is refused.
func (w *Worker) Burst(names []string, timeout time.Duration) {
	w.t.Helper()
	for _, name := range names {
		if !w.submit(name, Query(name), timeout) {
			w.t.Fatalf("submit %s: refused", name)
		}
	}
	w.Lane.Flush()
}

func (w *Worker) submit(name string, query []byte, timeout time.Duration) bool {
	slot, gen := w.next, w.next*7+1
	if !w.Lane.Submit(slot, gen, transport.Now()+timeout, query) {
		return false
	}
	w.next++
	w.names[uint64(slot)<<32|uint64(gen)] = dns.Fqdn(name)
	return true
}

// Cancel says that the answer for name, submitted once and not yet received, is not wanted any more; late: it had its time.
func (w *Worker) Cancel(name string, late bool) {
	for key, asked := range w.names {
		if asked == dns.Fqdn(name) {
			w.Lane.Cancel(uint32(key>>32), uint32(key), late)
		}
	}
	w.Lane.Flush()
}

// Receive waits for n replies.
func (w *Worker) Receive(n int) []Result {
	w.t.Helper()
	results := make([]Result, 0, n)
	end := time.After(Patience)
	for len(results) < n {
		if r, ok := w.receive(); ok {
			results = append(results, r)
			continue
		}
		select {
		case <-w.wake:
		case <-end:
			w.t.Fatalf("%d of %d replies came; stats %+v", len(results), n, w.Lane.Stats())
		}
	}
	return results
}

// Await waits until the lane has something to receive.
func (w *Worker) Await() {
	w.t.Helper()
	for end := time.After(Patience); !w.Lane.Pending(); {
		select {
		case <-w.wake:
		case <-end:
			w.t.Fatalf("no reply came; stats %+v", w.Lane.Stats())
		}
	}
}

// Ask submits one query and waits for its reply.
func (w *Worker) Ask(name string, timeout time.Duration) Result {
	w.t.Helper()
	if !w.Submit(name, timeout) {
		w.t.Fatalf("submit %s: refused", name)
	}
	return w.Receive(1)[0]
}

// receive takes one reply and checks it against what was asked.
func (w *Worker) receive() (Result, bool) {
	r, ok := w.Lane.Receive()
	if !ok {
		return Result{}, false
	}
	key := uint64(r.Slot)<<32 | uint64(r.Gen)
	name, asked := w.names[key]
	if !asked {
		w.t.Errorf("reply to slot %d generation %d (%v): not outstanding", r.Slot, r.Gen, r.Fault)
	}
	delete(w.names, key)
	result := Result{Name: name, Fault: r.Fault}
	if r.Fault == transport.FaultNone {
		result.Msg = new(dns.Msg)
		if err := result.Msg.Unpack(r.Msg); err != nil {
			w.t.Errorf("answer for %s: %v", name, err)
		} else if got := result.Msg.Question[0].Name; !dns.IsSubDomain(name, got) || !dns.IsSubDomain(got, name) {
			w.t.Errorf("answer for %s is for %s", name, got)
		}
	}
	return result, true
}

// Tally counts results by fault.
func Tally(results []Result) map[transport.Fault]int {
	tally := map[transport.Fault]int{}
	for _, r := range results {
		tally[r.Fault]++
	}
	return tally
}

// Eventually waits until ok, and fails the test if that does not come.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// Names returns n distinct names.
func Names(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = Name(i)
	}
	return names
}

// Name returns a distinct name for index i.
func Name(i int) string { return fmt.Sprintf("q%d.example.", i) }

// Reply returns the answer an honest server gives to query: one A record.
func Reply(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
		A:   []byte{192, 0, 2, 1},
	}}
	return m
}

// Answer is Reply on packed messages.
func Answer(query []byte) []byte {
	m := new(dns.Msg)
	if err := m.Unpack(query); err != nil {
		panic(fmt.Sprintf("query %x: %v", query, err))
	}
	b, err := Reply(m).Pack()
	if err != nil {
		panic(err)
	}
	return b
}
