package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var errFailed = errors.New("no answer")

// hosts turns "a4 b6" into addresses: a letter for the host, 4 or 6 for the family.
func hosts(text string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, word := range strings.Fields(text) {
		form := "192.0.2.%d"
		if word[1] == '6' {
			form = "2001:db8::%d"
		}
		list = append(list, netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf(form, word[0]-'a'+1)), 853))
	}
	return list
}

func host(word string) netip.AddrPort { return hosts(word)[0] }

// names is hosts the other way round.
func names(list []netip.AddrPort) string {
	var words []string
	for _, a := range list {
		text, family := a.Addr().String(), byte('6')
		if a.Addr().Is4() {
			family = '4'
		}
		words = append(words, string([]byte{'a' - 1 + text[len(text)-1] - '0', family}))
	}
	return strings.Join(words, " ")
}

// TestAddressOrder: RFC 8305 §4 for addresses that nothing is known of, and what is known of others.
func TestAddressOrder(t *testing.T) {
	const now = time.Hour
	for _, test := range []struct {
		name, list string
		ipv4First  bool
		before     func(e *Endpoint)
		want       string
		usable     int
	}{
		{"IPv6 first, families in turn", "a4 b4 c4 d6 e6", false, nil, "d6 a4 e6 b4 c4", 5},
		{"IPv4 first", "a4 b4 c6 d6 e6", true, nil, "a4 c6 b4 d6 e6", 5},
		{"one family", "a4 b4", false, nil, "a4 b4", 2},
		{"the one that worked, then the other family", "a6 b4 c4 d6", false, func(e *Endpoint) { e.AddressWorked(host("c4")) }, "c4 a6 b4 d6", 4},
		{"a handshake is enough for that", "a6 b4", false, func(e *Endpoint) { e.addressConnected(host("b4")) }, "b4 a6", 2},
		{"failed ones last, the first to return in front", "a6 b6 c4 d4", false, func(e *Endpoint) {
			e.AddressFailed(host("a6"), now, errFailed)
			e.AddressFailed(host("d4"), now-500*time.Millisecond, errFailed)
		}, "b6 c4 d4 a6", 2},
		{"one that worked and failed", "a6 b4", false, func(e *Endpoint) {
			e.AddressWorked(host("a6"))
			e.AddressFailed(host("a6"), now, errFailed)
		}, "b4 a6", 1},
		{"one that failed and worked", "a6 b4", false, func(e *Endpoint) {
			e.AddressFailed(host("a6"), now, errFailed)
			e.AddressWorked(host("a6"))
		}, "a6 b4", 2},
		{"all failed", "a6 b4", false, func(e *Endpoint) {
			e.AddressFailed(host("b4"), now, errFailed)
			e.AddressFailed(host("a6"), now+1, errFailed)
		}, "b4 a6", 0},
		{"rest is over", "a6 b4", false, func(e *Endpoint) { e.AddressFailed(host("a6"), now-addressRestFirst, errFailed) }, "a6 b4", 2},
		{"an address that is not listed", "a6", false, func(e *Endpoint) {
			e.AddressWorked(host("b4"))
			e.AddressFailed(host("c4"), now, errFailed)
		}, "a6", 1},
		{"over another transport", "a6 b4", false, func(e *Endpoint) {
			other := *e
			other.Scheme = UDP
			other.AddressFailed(host("a6"), now, errFailed)
		}, "a6 b4", 2},
		{"a new list forgets what is not in it", "a6 b4", false, func(e *Endpoint) {
			e.AddressFailed(host("a6"), now, errFailed)
			e.AddressWorked(host("b4"))
			e.Addresses.Store(hosts("c6"))
			e.Addresses.Store(hosts("a6 b4 c6"))
		}, "a6 b4 c6", 3},
		{"and keeps the rest", "a6 b4", false, func(e *Endpoint) {
			e.AddressFailed(host("a6"), now, errFailed)
			e.Addresses.Store(hosts("a6 c6"))
		}, "c6 a6", 1},
		{"none", "", false, nil, "", 0},
	} {
		e := testEndpoint()
		e.IPv4First = test.ipv4First
		e.Addresses.Store(hosts(test.list))
		if test.before != nil {
			test.before(e)
		}
		order, usable := e.AddressOrder(now)
		if names(order) != test.want || usable != test.usable {
			t.Errorf("%s: got %q with %d usable, want %q with %d", test.name, names(order), usable, test.want, test.usable)
		}
	}
}

// TestAddressRest: the rest doubles to its bound, failures during it do not count, and an answer ends it all.
func TestAddressRest(t *testing.T) {
	e := testEndpoint()
	e.Addresses.Store(hosts("a4 b4"))
	now, a := time.Hour, host("a4")
	rest := func() time.Duration {
		for d := time.Duration(0); ; d += 100 * time.Millisecond {
			if _, usable := e.AddressOrder(now + d); usable == 2 {
				return d
			}
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60, 60} {
		e.AddressFailed(a, now, errFailed)
		e.AddressFailed(a, now+1, errFailed) // another worker's connection to it
		if got := rest(); got != want*time.Second {
			t.Fatalf("failure %d: rests for %v, want %v", i+1, got, want*time.Second)
		}
		if known, healthy := e.AddressHealth(); known != 2 || healthy != 1 {
			t.Fatalf("failure %d: got %d known, %d healthy, want 2 and 1", i+1, known, healthy)
		}
		now += rest()
		e.addressConnected(a) // a handshake forgives nothing
	}
	spread := func() string {
		good, trial := e.AddressSpread(now)
		return names(good) + ", " + names(trial)
	}
	if got := spread(); got != "b4, a4" {
		t.Errorf("after its rest: good and on trial are %q, want b4 and a4", got)
	}
	e.AddressFailed(a, now, errFailed)
	if got := e.AddressTroubles(); len(got) != 1 || got[a] != errFailed {
		t.Errorf("troubles %v, want those of %v", got, a)
	}
	if got := spread(); got != "b4, " {
		t.Errorf("while it rests: good and on trial are %q, want b4 and none", got)
	}
	e.AddressWorked(a)
	if got := spread(); got != "a4 b4, " {
		t.Errorf("after an answer: good and on trial are %q, want both and none", got)
	}
	if got := e.AddressTroubles(); got != nil {
		t.Errorf("troubles %v after an answer", got)
	}
	if known, healthy := e.AddressHealth(); known != 2 || healthy != 2 || rest() != 0 {
		t.Errorf("after an answer: got %d known, %d healthy, a rest of %v", known, healthy, rest())
	}
	e.AddressFailed(a, now, errFailed)
	if got := rest(); got != addressRestFirst {
		t.Errorf("after an answer: rests for %v, want %v", got, addressRestFirst)
	}
}
