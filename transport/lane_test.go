package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 30 * time.Second // bounds waits; never expected to pass

func testEndpoint() *Endpoint {
	return &Endpoint{
		Name: "tcp://192.0.2.1", Scheme: TCP, Host: "192.0.2.1", Port: 53, Conns: 1,
		Addresses:   NewAddresses(netip.MustParseAddrPort("192.0.2.1:53")),
		DialTimeout: time.Second, IdleTimeout: time.Second, DeadAfter: time.Second,
	}
}

// sleeper is a worker that sleeps as the real one does: it arms, looks again, and only then blocks.
type sleeper struct{ wake chan struct{} }

func newSleeper() *sleeper { return &sleeper{wake: make(chan struct{}, 1)} }

func (s *sleeper) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// sleep waits for a ring; false: none came, so one was lost.
func (s *sleeper) sleep() bool {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-s.wake:
		return true
	case <-timeout.C:
		return false
	}
}

// echo answers every query with its own bytes, in batches as they come, from one goroutine or, if answerers is more, from several.
func echo(answerers int) func(context.Context, *Lane) {
	return func(ctx context.Context, l *Lane) {
		work := make(chan Request, 64)
		var group sync.WaitGroup
		for range answerers {
			group.Go(func() {
				for r := range work {
					l.Answer(r.Slot, r.Gen, r.Query)
					l.Publish()
				}
			})
		}
		for ctx.Err() == nil {
			for r, ok := l.Next(); ok; r, ok = l.Next() {
				if answerers > 0 {
					r.Query = append([]byte(nil), r.Query...)
					work <- r
				} else {
					l.Answer(r.Slot, r.Gen, r.Query)
				}
			}
			l.Publish()
			_ = l.Wait(ctx, 0)
		}
		close(work)
		group.Wait()
	}
}

// TestLanePingPong sends a million queries through lane and back with few outstanding, so that both sides fall asleep all the time. A
// lost wake-up would stop it for good: Wait has no bound.
func TestLanePingPong(t *testing.T) {
	total := 1_000_000
	if testing.Short() {
		total = 50_000
	}
	for _, test := range []struct {
		name              string
		window, answerers int
	}{{"one outstanding", 1, 0}, {"three outstanding", 3, 0}, {"many answering goroutines", 64, 4}} {
		t.Run(test.name, func(t *testing.T) {
			total := total
			if test.window > 1 {
				total /= 4
			}
			s := newSleeper()
			l, err := NewLane(testEndpoint(), s.ring, LaneLimits{})
			if err != nil {
				t.Fatal(err)
			}
			l.Start(echo(test.answerers))
			query := make([]byte, 40)
			sent, got := 0, 0
			for got < total {
				for sent < total && sent-got < test.window {
					binary.BigEndian.PutUint32(query[12:], uint32(sent))
					if !l.Submit(uint32(sent), uint32(sent)+5, time.Hour, query) {
						t.Fatalf("query %d refused", sent)
					}
					sent++
				}
				l.Flush()
				for r, ok := l.Receive(); ok; r, ok = l.Receive() {
					if r.Gen != r.Slot+5 || binary.BigEndian.Uint32(r.Msg[12:]) != r.Slot || r.Fault != FaultNone {
						t.Fatalf("reply %+v", r)
					}
					got++
				}
				if got < total && sent-got == test.window && !l.Pending() && !s.sleep() {
					t.Fatalf("wake-up lost after %d of %d replies", got, total)
				}
			}
			closeLane(t, l)
			if stats := l.Stats(); stats.Submitted != uint64(total) || stats.Answered != uint64(total) || stats.Outstanding != 0 {
				t.Errorf("stats %+v, want %d submitted and answered", stats, total)
			}
		})
	}
}

func closeLane(t *testing.T, l *Lane) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	l.Flush() // safe afterwards
}

// TestWaitBound wants Wait to return at its bound, at a Notify before or during it, and at the end of ctx.
func TestWaitBound(t *testing.T) {
	l, err := NewLane(testEndpoint(), func() {}, LaneLimits{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLane(t, l)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 3 { // the bound is set and passes each time
		if err := l.Wait(ctx, Now()+5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	l.Notify()
	if err := l.Wait(ctx, 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(5 * time.Millisecond)
		l.Notify()
	}()
	if err := l.Wait(ctx, 0); err != nil {
		t.Fatal(err)
	}
	go cancel()
	for end := time.Now().Add(patience); ctx.Err() == nil; {
		if time.Now().After(end) {
			t.Fatal("wait did not see the end of ctx")
		}
		_ = l.Wait(ctx, 0)
	}
	if err := l.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("wait after cancel: %v", err)
	}
}

// A napping driver sleeps through queries and wakes up for Notify; what came meanwhile is there.
func TestNapIsNotEndedByQueries(t *testing.T) {
	l, err := NewLane(testEndpoint(), func() {}, LaneLimits{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	woke := make(chan bool)
	go func() {
		_ = l.Nap(t.Context(), 0)
		_, ok := l.Next()
		woke <- ok
	}()
	for l.bell.state.Load() != napping {
		runtime.Gosched()
	}
	query := make([]byte, 20)
	for range 3 {
		if !l.Submit(1, 1, Now()+time.Second, query) {
			t.Fatal("not taken")
		}
		l.Flush()
	}
	if got := l.bell.state.Load(); got != napping {
		t.Fatalf("queries changed the state to %d, want napping", got)
	}
	l.Notify()
	if !<-woke {
		t.Error("the queries were not there after the nap")
	}
	if err := l.Wait(t.Context(), 0); err != nil { // queries are left: it must not sleep
		t.Error(err)
	}
}

// TestSubmitLimits wants Submit to refuse, and only then, what exceeds a limit.
func TestSubmitLimits(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits LaneLimits
		query  int
		want   int
	}{
		{"outstanding", LaneLimits{Outstanding: 100}, 40, 100},
		{"queue", LaneLimits{QueryQueueBytes: 4096}, 64, 4096 / (32 + 64)},
		{"longest query", LaneLimits{Outstanding: 3}, QueryBytesMax, 3},
		{"query too long", LaneLimits{}, QueryBytesMax + 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := NewLane(testEndpoint(), func() {}, test.limits)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for l.Submit(uint32(got), 0, time.Hour, make([]byte, test.query)) {
				got++
			}
			l.Flush()
			if got != test.want || l.Outstanding() != test.want || l.Stats().Refused != 1 {
				t.Errorf("%d submitted, %d outstanding, %d refused; want %d, and one refused", got, l.Outstanding(), l.Stats().Refused, test.want)
			}
			closeLane(t, l) // never started: the lane itself replies
			for range got {
				if r, ok := l.Receive(); !ok || r.Fault != FaultShutdown {
					t.Fatalf("after close: %+v %t, want shutdown", r, ok)
				}
			}
			if _, ok := l.Receive(); ok || l.Outstanding() != 0 {
				t.Errorf("a reply too many, or %d outstanding", l.Outstanding())
			}
		})
	}
}

// TestAnswerQueueFull has a worker that receives nothing: answers wait, are dropped, and every query still has a reply.
func TestAnswerQueueFull(t *testing.T) {
	const queries = 64
	l, err := NewLane(testEndpoint(), func() {}, LaneLimits{Outstanding: queries, AnswerQueueBytes: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLane(t, l)
	for i := range uint32(queries) {
		l.Submit(i, i, time.Hour, make([]byte, 20))
	}
	large := make([]byte, MessageBytesMax)
	for i := range uint32(5) { // four times 65,535 bytes do not fit beside what is kept for faults
		l.Answer(i, i, large)
	}
	for i := uint32(5); i < queries; i++ {
		l.Fail(i, i, FaultTimeout)
	}
	l.Publish()
	answers, seen := 0, map[uint32]bool{}
	for r, ok := l.Receive(); ok; r, ok = l.Receive() {
		if r.Fault == FaultNone {
			answers++
		}
		seen[r.Slot] = true
	}
	if got := l.Stats(); len(seen) != queries || answers != 3 || got.AnswersDropped != 2 || got.Failed[FaultFull] != 2 {
		t.Errorf("%d replies, %d answers, stats %+v; want %d, 3, and 2 dropped", len(seen), answers, got, queries)
	}
}

// TestAnswerWaits has a worker that is slow: answers wait for it and none is lost.
func TestAnswerWaits(t *testing.T) {
	const queries = 40
	s := newSleeper()
	l, err := NewLane(testEndpoint(), s.ring, LaneLimits{Outstanding: queries, AnswerQueueBytes: 1 << 18})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLane(t, l)
	for i := range uint32(queries) {
		l.Submit(i, i, time.Hour, make([]byte, 20))
	}
	go func() {
		large := make([]byte, MessageBytesMax/2)
		for i := range uint32(queries) {
			l.Answer(i, i, large)
		}
		l.Publish()
	}()
	for got := 0; got < queries; {
		r, ok := l.Receive()
		switch {
		case ok && (r.Fault != FaultNone || r.Slot != uint32(got)):
			t.Fatalf("reply %d: %+v", got, r.Fault)
		case ok:
			got++
		case !s.sleep():
			t.Fatalf("%d of %d replies", got, queries)
		}
	}
}

// TestWorkerSideAllocatesNothing counts what a worker does for each query.
func TestWorkerSideAllocatesNothing(t *testing.T) {
	l, err := NewLane(testEndpoint(), func() {}, LaneLimits{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLane(t, l)
	query := make([]byte, 60)
	got := testing.AllocsPerRun(1000, func() {
		l.Submit(1, 2, time.Hour, query)
		l.Flush()
		r, _ := l.Next()
		l.Answer(r.Slot, r.Gen, r.Query)
		l.Publish()
		for l.Pending() {
			l.Receive()
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a query, want none", got)
	}
}

// TestCloseReleases wants descriptors and goroutines gone, also when Flush and Notify race with Close.
func TestCloseReleases(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for range 50 {
		l, err := NewLane(testEndpoint(), func() {}, LaneLimits{})
		if err != nil {
			t.Fatal(err)
		}
		l.Start(echo(0))
		var group sync.WaitGroup
		group.Go(func() {
			for i := range uint32(50) {
				l.Submit(i, i, time.Hour, make([]byte, 20))
				l.Flush()
			}
		})
		group.Go(func() {
			for range 50 {
				l.Notify()
			}
		})
		stopLane(t, l)
		group.Wait()
		stopLane(t, l) // again
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines || openDescriptors(t) > descriptors; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, were %d; %d descriptors, were %d", runtime.NumGoroutine(), goroutines, openDescriptors(t), descriptors)
		}
	}
}

// stopLane closes without touching the worker's side, which another goroutine uses.
func stopLane(t *testing.T, l *Lane) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestValidate wants every defect of an endpoint named, all at once.
func TestValidate(t *testing.T) {
	if err := testEndpoint().Validate(); err != nil {
		t.Errorf("a good endpoint: %v", err)
	}
	bad := &Endpoint{Name: "bad", Scheme: HTTPS, Path: "dns-query"}
	err := bad.Validate()
	for _, want := range []string{"bad", "address list", "TLS", "absolute", "connections", "must be positive"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %q", err, want)
		}
	}
	if _, err := NewLane(bad, func() {}, LaneLimits{}); err == nil {
		t.Error("a lane to a bad endpoint was made")
	}
	for _, limits := range []LaneLimits{{Outstanding: -1}, {Outstanding: 1<<20 + 1}, {QueryQueueBytes: 5000}, {AnswerQueueBytes: 4096}, {AnswerQueueBytes: 1<<20 + 1}} {
		if _, err := NewLane(testEndpoint(), func() {}, limits); err == nil {
			t.Errorf("a lane with limits %+v was made", limits)
		}
	}
}
