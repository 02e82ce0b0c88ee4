package limit

import (
	"testing"
	"time"
)

// told sends a reply so often at once and returns how many got through.
func told(l *Limiter, r Reply, n int, now int64) (ok int) {
	for range n {
		if l.Tell(&r, now) {
			ok++
		}
	}
	return ok
}

func replyLimiter(t *testing.T) *Limiter {
	return newLimiter(t, 1, func(c *Config) {
		c.Rates[Answers], c.Rates[NXDomains], c.Rates[Errors] = Rate{PerSecond: 5}, Rate{PerSecond: 3}, Rate{PerSecond: 2}
	})
}

// Which replies count as the same.
func TestIdenticalReplies(t *testing.T) {
	victim := path("192.0.2.1")
	name, upper, other := []byte("\x01a\x07example\x00"), []byte("\x01A\x07eXample\x00"), []byte("\x01b\x07example\x00")
	first := Reply{Path: victim, Kind: Answers, Name: name, Type: 1}
	for _, tt := range []struct {
		name   string
		first  Reply
		second Reply
		left   int // of 100 of the second, after 100 of the first
	}{
		{"the same", first, first, 0},
		{"other case", first, Reply{Path: victim, Kind: Answers, Name: upper, Type: 1}, 0},
		{"the same network", first, Reply{Path: path("192.0.2.200"), Kind: Answers, Name: name, Type: 1}, 0},
		{"another network", first, Reply{Path: path("192.0.3.1"), Kind: Answers, Name: name, Type: 1}, 5},
		{"another name", first, Reply{Path: victim, Kind: Answers, Name: other, Type: 1}, 5},
		{"another type", first, Reply{Path: victim, Kind: Answers, Name: name, Type: 28}, 5},
		{"NXDOMAIN in a zone", Reply{Path: victim, Kind: NXDomains, Name: name, Type: 1}, Reply{Path: victim, Kind: NXDomains, Name: name, Type: 28}, 0},
		{"NXDOMAIN in another zone", Reply{Path: victim, Kind: NXDomains, Name: name}, Reply{Path: victim, Kind: NXDomains, Name: other}, 3},
		{"any error", Reply{Path: victim, Kind: Errors, Name: name, Type: 1}, Reply{Path: victim, Kind: Errors, Name: other, Type: 28}, 0},
		{"an error beside answers", first, Reply{Path: victim, Kind: Errors}, 2},
		{"an IPv6 site", Reply{Path: path("2001:db8::1"), Kind: Answers, Name: name}, Reply{Path: path("2001:db8:0:ff::1"), Kind: Answers, Name: name}, 0},
		{"another IPv6 site", Reply{Path: path("2001:db8::1"), Kind: Answers, Name: name}, Reply{Path: path("2001:db8:0:100::1"), Kind: Answers, Name: name}, 5},
	} {
		l := replyLimiter(t)
		told(l, tt.first, 100, second)
		if n := told(l, tt.second, 100, second); n != tt.left {
			t.Errorf("%s: %d of 100, want %d", tt.name, n, tt.left)
		}
	}
}

// What is asked for all the time is not told at all; the debt is paid within the window, and no more than that (BIND's window).
func TestWindow(t *testing.T) {
	l := replyLimiter(t)
	r := Reply{Path: path("192.0.2.1"), Kind: Answers, Name: []byte("\x01a\x00"), Type: 1}
	now := second
	if n := told(l, r, 100_000, now); n != 5 {
		t.Errorf("%d of a burst, want 5", n)
	}
	for i := range 60 { // 50 a second for a minute
		now += second
		if n := told(l, r, 50, now); n != 0 {
			t.Errorf("second %d: %d told", i, n)
		}
	}
	if now += 15 * second; told(l, r, 1, now-1) != 0 {
		t.Error("told before the window was over")
	}
	if now += second; told(l, r, 1, now) != 1 {
		t.Error("not told after the window")
	}
	// At just the rate nothing is held back.
	l = replyLimiter(t)
	for range 100 {
		if now += second / 5; told(l, r, 1, now) != 1 {
			t.Fatal("held back at the rate")
		}
	}
}

func TestRepliesAreOff(t *testing.T) {
	l := newLimiter(t, 1, func(c *Config) { c.Rates[Errors].PerSecond = 1 })
	if !l.Replies() || told(l, Reply{Path: path("192.0.2.1"), Kind: Answers, Name: []byte("\x00")}, 100, 0) != 100 {
		t.Error("a kind without a rate is limited")
	}
	l = newLimiter(t, 1, func(c *Config) { c.Rates[TCP].PerSecond, c.Window = 1, 0*time.Second })
	if l.Replies() {
		t.Error("replies are limited without a rate")
	}
}

// What one network is can be configured.
func TestNetworksOfReplies(t *testing.T) {
	for _, tt := range []struct {
		bits4, bits6 int
		one, other   string
		shared       bool
	}{
		{28, 56, "192.0.2.1", "192.0.2.15", true},
		{28, 56, "192.0.2.1", "192.0.2.16", false},
		{1, 56, "192.0.2.1", "255.0.0.1", true},
		{32, 56, "192.0.2.1", "192.0.2.2", false},
		{24, 48, "2001:db8::1", "2001:db8:0:ffff::1", true},
		{24, 48, "2001:db8::1", "2001:db8:1::1", false},
		{24, 128, "2001:db8::1", "2001:db8::2", false},
		{24, 100, "2001:db8::1", "2001:db8::ff:1", true},
	} {
		l := newLimiter(t, 1, func(c *Config) { c.Rates[Errors].PerSecond, c.IPv4Bits, c.IPv6Bits = 3, tt.bits4, tt.bits6 })
		told(l, Reply{Path: path(tt.one), Kind: Errors}, 10, second)
		if got := told(l, Reply{Path: path(tt.other), Kind: Errors}, 10, second); (got == 0) != tt.shared {
			t.Errorf("/%d, /%d: %s after %s: %d told", tt.bits4, tt.bits6, tt.other, tt.one, got)
		}
	}
}

// The window is how long what was asked for too often is held back.
func TestWindows(t *testing.T) {
	for _, window := range []time.Duration{time.Second, 5 * time.Second} {
		l := newLimiter(t, 1, func(c *Config) { c.Rates[Errors].PerSecond, c.Window = 5, window })
		r := Reply{Path: path("192.0.2.1"), Kind: Errors}
		now := second
		told(l, r, 1000, now)
		if now += int64(window); told(l, r, 1, now-1) != 0 {
			t.Errorf("%v: told too early", window)
		}
		if now += second; told(l, r, 1, now) != 1 {
			t.Errorf("%v: not told in time", window)
		}
	}
}
