package enginetest

import (
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/ring"
)

var wakeTests = map[string]func(*testing.T, Opener){
	"ping-pong loses no wake-up": testPingPong,
	"wakes only when armed":      testWakeArmed,
	"wake after shutdown":        testWakeAfterShutdown,
	"waits":                      testWaits,
	"alarm":                      testAlarm,
	"hot sockets leave room":     testHotSockets,
	"wakes under load":           testWakeUnderLoad,
}

// testPingPong hands a number back and forth between the worker and a goroutine. One lost wake-up and it stands still.
func testPingPong(t *testing.T, open Opener) {
	rounds := uint64(100_000)
	switch {
	case runtime.GOMAXPROCS(0) == 1:
		rounds = 200 // every hand-over waits for the scheduler to notice that the worker sleeps: up to 10 ms
	case testing.Short() || raceEnabled:
		rounds = 5_000
	}
	e := start(t, open, ring.Config{})
	var ball atomic.Uint64 // odd: the worker's turn
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		for next := uint64(0); next < 2*rounds && !stop.Load(); {
			if ball.Load() == next {
				ball.Store(next + 1)
				e.Waker().Wake()
				next += 2
			} else if runtime.GOMAXPROCS(0) == 1 {
				runtime.Gosched()
			}
		}
	}()
	w := e.Waker()
	for want := uint64(1); want < 2*rounds; want += 2 {
		for ball.Load() != want {
			w.Arm()
			if ball.Load() == want { // the second look
				w.Disarm()
				break
			}
			began := time.Now()
			e.Turn(patience)
			w.Disarm()
			if ball.Load() != want && time.Since(began) >= patience {
				stop.Store(true)
				done.Wait()
				t.Fatalf("round %d: slept through a wake-up", want)
			}
		}
		ball.Store(want + 1)
	}
	done.Wait()
	t.Logf("%d of %d hand-overs needed a wake-up", e.Counters().Wakes, rounds)
}

func testWakeArmed(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	w := e.Waker()
	for range 10 {
		w.Wake() // not armed: nothing to see
	}
	for range 3 {
		e.Turn(0)
	}
	if got := e.Counters().Wakes; got != 0 {
		t.Errorf("wakes while awake = %d, want 0", got)
	}
	w.Arm()
	for range 10 {
		w.Wake()
	}
	e.Turn(patience)
	w.Disarm()
	for range 3 {
		e.Turn(0)
	}
	if got := e.Counters().Wakes; got != 1 {
		t.Errorf("wakes after ten calls = %d, want 1", got)
	}
}

func testWakeAfterShutdown(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	w := e.Waker()
	w.Arm()
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		for !stop.Load() {
			w.Wake()
		}
	}()
	for range 100 {
		w.Arm()
		e.Turn(0)
	}
	second, err := open(ring.Config{CPU: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Shutdown(); err != nil {
		t.Error(err)
	}
	second.Waker().Wake()
	stop.Store(true)
	done.Wait()
}

// testWaits checks the direction of waits, not their length.
func testWaits(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "127.0.0.1", 0)
	e.Turn(0)
	for _, wait := range []time.Duration{ring.RawWaitMax, 100 * time.Millisecond} {
		slept := false
		for range 50 { // a signal may cut one short, not all of them
			began := time.Now()
			if n := len(e.Turn(wait)); n != 0 {
				t.Fatalf("Turn(%v) on a silent socket gave %d events", wait, n)
			}
			if time.Since(began) >= wait*3/4 {
				slept = true
				break
			}
		}
		if !slept {
			t.Errorf("Turn(%v) never waited", wait)
		}
	}
	client := dialUDP(t, addr)
	for _, wait := range []time.Duration{0, ring.RawWaitMax, patience, -1} {
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range 1000 { // with a datagram there no wait may take its length; the test's own timeout would tell
			if n += len(e.Turn(wait)); n > 0 {
				break
			}
		}
		if n != 1 {
			t.Errorf("Turn(%v) gave %d events, want 1", wait, n)
		}
	}
	// A datagram that comes later ends a wait without bound.
	go func() {
		time.Sleep(10 * time.Millisecond)
		_, _ = client.Write([]byte("x"))
	}()
	until(t, unbounded{e}, "datagram", func(event *ring.Event) bool { return event.Kind == ring.Datagram })
}

// testAlarm: the usual waits of a busy worker end in time though they share a timer, also where others come between. A wait that only
// a signal ended would keep the Go scheduler's P, and with it the garbage collector.
func testAlarm(t *testing.T, open Opener) {
	const waits, long = 40, 5 * ring.RawWaitMax // the runtime's signals come every 10 ms at most
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "127.0.0.1", 0)
	client := dialUDP(t, addr)
	short := 0
	for i := range waits {
		switch i % 4 {
		case 0:
			e.Turn(ring.RawWaitMax / 4)
		case 1:
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			e.Turn(patience)
		case 2:
			e.Turn(0)
		}
		began := time.Now()
		e.Turn(ring.RawWaitMax)
		if time.Since(began) < long {
			short++
		}
	}
	if short < waits*3/4 {
		t.Errorf("%d of %d waits of %v ended within %v", short, waits, ring.RawWaitMax, long)
	}
	end, turns := time.Now().Add(50*ring.RawWaitMax), 0
	for ; time.Now().Before(end); turns++ {
		e.Turn(ring.RawWaitMax)
	}
	if turns > 200 {
		t.Errorf("50 times the wait took %d turns: they do not wait", turns)
	}
}

// unbounded is an engine whose turns wait for ever.
type unbounded struct{ Engine }

func (u unbounded) Turn(time.Duration) []ring.Event { return u.Engine.Turn(-1) }

// testWakeUnderLoad: datagrams without pause must starve neither the waker nor a stream.
func testWakeUnderLoad(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	h, addr := udp(t, e, "127.0.0.1", 0)
	_, listen := tcp(t, e, 0)
	c, stream := connect(t, e, listen)
	var to ring.Path
	to.SetAddr(addr)
	storm := func() { // the socket feeds itself: every datagram of a turn makes the next
		for range 100 {
			e.Commit(h, copy(e.Reserve(), "again"), &to)
		}
	}
	storm()
	e.Turn(0)
	if _, err := c.Write([]byte("me too")); err != nil {
		t.Fatal(err)
	}
	e.Recv(stream)
	e.Waker().Arm()
	e.Waker().Wake()
	served := false
	for range 1000 {
		for _, event := range e.Turn(0) {
			served = served || event.Kind == ring.StreamData
		}
		if served && e.Counters().Wakes == 1 {
			return
		}
		storm()
	}
	t.Errorf("after 1000 busy turns: stream served %v, wakes %d", served, e.Counters().Wakes)
}

// testHotSockets: two sockets that never run dry, as listeners under flood, leave a third, as an upstream's, and a listener for TCP their part
// of the events.
func testHotSockets(t *testing.T, open Opener) {
	const hot, quiet, wanted = 0, 1, 100
	for _, events := range []int{ring.EventsDefault, 2 * ring.EventsDefault} {
		e := start(t, open, ring.Config{Events: events})
		var sockets [2]ring.Handle
		var paths [2]ring.Path
		for i := range sockets {
			var addr netip.AddrPort
			sockets[i], addr = udp(t, e, "127.0.0.1", hot)
			paths[i].SetAddr(addr)
		}
		_, addr := udp(t, e, "127.0.0.1", quiet)
		_, listen := tcp(t, e, quiet)
		client := dialUDP(t, addr)
		heard, accepted := 0, false
		for turn := 0; turn < 1000 && (heard < wanted || !accepted); turn++ {
			if turn == 20 {
				c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(listen))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
			}
			for i := 0; turn == 20 && i < wanted; i++ { // the others are hot by then
				if _, err := client.Write([]byte("me too")); err != nil {
					t.Fatal(err)
				}
			}
			for i := range sockets { // each feeds itself with more than a turn takes
				for range events {
					e.Commit(sockets[i], copy(e.Reserve(), "again"), &paths[i])
				}
			}
			for _, event := range e.Turn(0) {
				switch {
				case event.Kind == ring.Accepted:
					accepted = true
				case event.Tag == quiet:
					heard++
				}
			}
		}
		if heard != wanted || !accepted {
			t.Errorf("%d events a turn: of %d datagrams that waited beside hot sockets %d came within 1000 turns; connection accepted: %t", events, wanted, heard, accepted)
		}
	}
}
