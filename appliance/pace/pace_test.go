package pace

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
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
	in := bytes.NewReader(nil)
	if p.Reader(in) != io.Reader(in) {
		t.Error("another reader")
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
