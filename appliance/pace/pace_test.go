package pace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// Work of a second, in steps of 0.1 ms, takes four, and none of its bursts is longer than burst and a step.
func TestRestsLongerThanItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step, work = 100 * time.Microsecond, time.Second
		var p Pace
		begun, burstBegun, longest := time.Now(), time.Now(), time.Duration(0)
		for range work / step {
			before := time.Now()
			p.Step()
			if time.Since(before) > 0 {
				longest = max(longest, before.Sub(burstBegun))
				burstBegun = time.Now()
			}
			time.Sleep(step) // the work
		}
		if took := time.Since(begun); took < 39*work/10 || took > 41*work/10 {
			t.Errorf("took %v", took)
		}
		if longest > burst+step {
			t.Errorf("a burst of %v", longest)
		}
	})
}

// Work that was kept from its CPU does not rest for long.
func TestRestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.Step()
		time.Sleep(time.Minute)
		before := time.Now()
		p.Step()
		if rest := time.Since(before); rest != restMost {
			t.Errorf("rested %v", rest)
		}
	})
}

func TestNilDoesNotRest(t *testing.T) {
	var p *Pace
	p.Step()
	thread := 0
	p.Aside(func() { thread = nice(t) })
	if thread != nice(t) {
		t.Error("stepped aside")
	}
	in := bytes.NewReader(nil)
	if p.Reader(in) != io.Reader(in) {
		t.Error("another reader")
	}
}

// nice returns the calling thread's nice value.
func nice(t *testing.T) int {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	return 20 - raw
}

// Work aside is on threads that are nicer, which end with it; and no other thread becomes so.
func TestAside(t *testing.T) {
	const rounds = 200
	before := nice(t)
	for range rounds {
		aside := before
		new(Pace).Aside(func() { aside = nice(t) }) // it fails the test as well as this goroutine could: Aside returns when it ends
		if want := min(before+asideNice, 19); aside != want {
			t.Fatalf("nice %d, want %d", aside, want)
		}
	}
	left := func() (threads, nicer int) {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			tid, err := strconv.Atoi(entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && 20-raw > before {
				nicer++
			}
		}
		return len(entries), nicer
	}
	for tries := 0; ; tries++ { // the last one may not have ended yet
		threads, nicer := left()
		if nicer == 0 && threads < rounds/2 {
			return
		}
		if tries == 500 {
			t.Fatalf("%d threads, of which %d have stayed nicer", threads, nicer)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestReaderEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := Until(ctx).Reader(bytes.NewReader(make([]byte, 3*chunk)))
	if n, err := in.Read(make([]byte, chunk)); n != chunk || err != nil {
		t.Fatal(n, err)
	}
	cancel()
	if n, err := in.Read(make([]byte, chunk)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Error(n, err)
	}
}

func TestReader(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	got, err := io.ReadAll(new(Pace).Reader(bytes.NewReader(text)))
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
	}
	if n, _ := new(Pace).Reader(bytes.NewReader(text)).Read(make([]byte, 1<<16)); n != chunk {
		t.Errorf("%d bytes at once", n)
	}
}
