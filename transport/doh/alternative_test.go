package doh

import (
	"testing"
	"time"
)

// TestParseAltSvc: RFC 7838 §3.
func TestParseAltSvc(t *testing.T) {
	for _, test := range []struct {
		field string
		port  uint16 // 0: no alternative
		age   time.Duration
	}{
		{`h3=":443"`, 443, 24 * time.Hour},
		{`h3=":443"; ma=86400,h3-29=":443"; ma=86400`, 443, 24 * time.Hour},
		{`h3-29=":1", h3=":8443";ma=60;persist=1`, 8443, time.Minute},
		{`h2="alt.example:443", h3="Dns.Example:853"; ma="30"`, 853, 30 * time.Second},
		{`h3=":443"; ma=999999999999`, 443, altSvcAgeMax},
		{`h3=":443"; ma=x`, 443, 24 * time.Hour},
		{`h3="other.example:443"`, 0, 0}, // its addresses are not known here
		{`h3="other.example:1", h3=":2"`, 2, 24 * time.Hour},
		{`h3=":0"`, 0, 0},
		{`h3=":65536"`, 0, 0},
		{`h3="443"`, 0, 0},
		{`h3`, 0, 0},
		{`h2=":443"`, 0, 0},
		{`clear`, 0, 0},
		{``, 0, 0},
	} {
		port, age, ok := parseAltSvc(test.field, "dns.example")
		if port != test.port || age != test.age || ok != (test.port != 0) {
			t.Errorf("%s: port %d, age %v, %v; want %d, %v", test.field, port, age, ok, test.port, test.age)
		}
	}
}

// TestAlternative plays what a lane can live through, in virtual time.
func TestAlternative(t *testing.T) {
	now := time.Hour
	a := alternative{standard: 443}
	expect := func(what string, port uint16) {
		t.Helper()
		if got, ok := a.target(now); got != port || ok != (port != 0) {
			t.Errorf("%s: try port %d (%v), want %d", what, got, ok, port)
		}
	}
	expect("RFC 9114 §3.1: nothing is known", 443)
	if !a.failed(now) || a.failed(now) {
		t.Error("the first failure counts, a second one during the rest does not")
	}
	expect("just failed", 0)
	now += restMin - 1
	expect("resting", 0)
	now++
	expect("rested", 443)
	a.failed(now)
	now += 2*restMin - 1
	expect("second rest is twice as long", 0)
	now++
	expect("rested again", 443)
	for range 20 {
		a.failed(now)
		now = a.restUntil
	}
	a.failed(now)
	if rest := a.restUntil - now; rest != restMax {
		t.Errorf("rest %v after many failures, want %v", rest, restMax)
	}
	a.learn(`h3=":443"`, "dns.example", now)
	expect("advertised where it failed", 0)
	a.learn(`h3=":8443"; ma=60`, "dns.example", now)
	expect("RFC 7838 §2.1: advertised elsewhere", 8443)
	now += time.Minute
	expect("RFC 7838 §3.1: no longer advertised", 443)
	a.learn(`h3=":8443"; ma=60`, "dns.example", now)
	a.works = true
	a.learn("clear", "dns.example", now)
	expect("RFC 7838 §3: clear", 0)
	if a.works {
		t.Error("still said to work after clear")
	}
	now += 1000 * time.Hour
	expect("clear stays", 0)
	a.learn(`h3=":443"`, "dns.example", now)
	expect("advertised again", 443)
	a.works = true
	a.left(now)
	expect("RFC 9114 §5.2: GOAWAY", 0)
	now += restLeft
	expect("some seconds later", 443)
	a.rest = 0 // proven
	a.failed(now)
	if rest := a.restUntil - now; rest != restMin {
		t.Errorf("rest %v after it was proven, want %v", rest, restMin)
	}
}
