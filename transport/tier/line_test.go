package tier

import (
	"bytes"
	"context"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

var testLimits = LineLimits{FillBytes: FillBytesMin, MessageBytesMax: 1024}

func newLine(t testing.TB, wake func(), limits LineLimits) *Line {
	t.Helper()
	l, err := NewLine(wake, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// fill stores an answer at once.
func fill(l *Line, at time.Duration, pool string, key []byte, a *wire.Answer) bool {
	return l.Draft(at, pool, key, a) && l.Fill()
}

// TestLine plays the driver by hand.
func TestLine(t *testing.T) {
	woken := 0
	l := newLine(t, func() { woken++ }, testLimits)
	if !l.Ask(3, 5, time.Minute, "default", testKey) || !l.Ask(4, 7, time.Minute, "corp", testKey) {
		t.Fatal("not asked")
	}
	l.Flush()
	for _, want := range []struct {
		slot, gen uint32
		pool      string
	}{{3, 5, "default"}, {4, 7, "corp"}} {
		q, ok := l.NextQuestion()
		if !ok || q.Slot != want.slot || q.Gen != want.gen || q.Deadline != time.Minute || !bytes.Equal(q.ID, appendID(nil, want.pool, testKey)) {
			t.Fatalf("question %+v %t, want %+v", q, ok, want)
		}
	}
	l.Found(3, 5, nil)
	l.Failed(4, 7, transport.FaultDial)
	l.Publish()
	if woken != 1 || !l.Pending() {
		t.Errorf("woken %d times", woken)
	}
	if r, ok := l.Receive(); !ok || r.Slot != 3 || r.Gen != 5 || r.Fault != transport.FaultNone || len(r.Msg) != 0 {
		t.Errorf("got %+v %t, want an empty reply", r, ok)
	}
	if r, ok := l.Receive(); !ok || r.Slot != 4 || r.Fault != transport.FaultDial {
		t.Errorf("got %+v %t, want a fault", r, ok)
	}
}

func TestLineFills(t *testing.T) {
	l := newLine(t, func() {}, testLimits)
	msg := response(t, 60)
	a := answerOf(t, msg)
	if !fill(l, time.Hour, "default", testKey, a) {
		t.Fatal("not taken")
	}
	l.Flush()
	f, ok := l.NextFill()
	if !ok || f.At != time.Hour || f.TTL != 60 || !bytes.Equal(f.ID, appendID(nil, "default", testKey)) {
		t.Fatalf("got %+v %t", f, ok)
	}
	if got := answerOf(t, f.Msg); !bytes.Equal(got.Records, a.Records) || got.AN != a.AN {
		t.Errorf("message %x, want the records of %x", f.Msg, msg)
	}

	long := *a
	long.Records = make([]byte, testLimits.MessageBytesMax)
	if fill(l, 0, "default", testKey, &long) {
		t.Error("a message beyond the limit was taken")
	}
	long.Records = long.Records[:testLimits.MessageBytesMax-wire.HeaderBytes-len(wire.KeyQuestion(testKey))]
	taken := 0
	for fill(l, 0, "default", testKey, &long) {
		taken++
	}
	if most := FillBytesMin / testLimits.MessageBytesMax; taken < most/2 || taken > most {
		t.Errorf("%d messages of %d bytes were taken by a queue of %d", taken, testLimits.MessageBytesMax, FillBytesMin)
	}
}

// What may be under way is bounded, and counted down by replies.
func TestLineIsBounded(t *testing.T) {
	l := newLine(t, func() {}, testLimits)
	asked := 0
	for l.Ask(uint32(asked), 1, 0, "default", testKey) {
		asked++
	}
	if asked == 0 || asked > asksMax {
		t.Fatalf("%d questions were taken, want 1 to %d", asked, asksMax)
	}
	l.Flush()
	q, _ := l.NextQuestion()
	l.Found(q.Slot, q.Gen, nil)
	l.Publish()
	for ok := true; ok; _, ok = l.NextQuestion() { // the queue gives its room back
	}
	if l.Receive(); !l.Ask(0, 1, 0, "default", testKey) {
		t.Error("a reply made no room")
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	l := newLine(t, func() {}, testLimits)
	a := answerOf(t, response(t, 60))
	if n := testing.AllocsPerRun(100, func() {
		l.Ask(1, 1, 0, "default", testKey)
		fill(l, 0, "default", testKey, a)
		l.Flush()
		l.Receive()
		l.NextFill()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestLineLimits(t *testing.T) {
	for _, limits := range []LineLimits{{}, {FillBytesMin, MessageBytesMin - 1}, {FillBytesMin, ValueBytesLimit + 1}, {FillBytesMin - 1, 512}, {FillBytesMax + 1, 512}} {
		if _, err := NewLine(func() {}, limits); err == nil {
			t.Errorf("%+v: taken", limits)
		}
	}
	newLine(t, func() {}, LineLimits{FillBytes: FillBytesMin + 1, MessageBytesMax: ValueBytesLimit})
}
