package worker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/health"
)

var first, second = netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.2:1")

// newTwoPaths returns a worker with one upstream that has two addresses.
func newTwoPaths(t testing.TB) *bench {
	return newBench(t, 1, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 512, 512
		s.Upstreams[0].Endpoint.Addresses.Store([]netip.AddrPort{first, second})
	})
}

// pathOf returns the address that d went to.
func (b *bench) pathOf(d sentDatagram) netip.AddrPort {
	return b.w.sockets[b.answer(d, nil).Tag&^upstreamTag].path.addr
}

// spread counts the sockets that queries leave from, by address.
func (b *bench) spread() map[netip.AddrPort]int {
	count := map[netip.AddrPort]int{}
	for _, sock := range b.w.active.pools[0].members[0].sockets {
		count[b.w.sockets[sock].path.addr]++
	}
	return count
}

// healthy returns how many addresses of the upstream nothing is held against.
func (b *bench) healthy() int {
	_, healthy := b.w.active.pools[0].members[0].endpoint.AddressHealth()
	return healthy
}

// exchange asks for a new name and plays an upstream whose dead address never answers. It returns how many datagrams went there. The client
// must get its answer.
func (b *bench) exchange(n int, dead netip.AddrPort) (wasted int) {
	b.t.Helper()
	up := one(b.t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA)))
	for b.pathOf(up) == dead {
		if wasted++; wasted > attemptsMax {
			b.t.Fatalf("query %d is sent to the dead address again and again", n)
		}
		b.now += 1001 * time.Millisecond
		up = one(b.t, b.turn())
		if up.handle == clientSocket {
			b.t.Fatalf("query %d is lost: %v", n, unpack(b.t, up.data))
		}
	}
	got := one(b.t, b.turn(b.answer(up, reply(b.t, up.data, nil, fmt.Sprintf("n%d.example. 60 IN A 192.0.2.1", n)))))
	if m := unpack(b.t, got.data); got.handle != clientSocket || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
		b.t.Fatalf("query %d: got %v", n, m)
	}
	return wasted
}

func TestSocketsAreSpreadOverAddresses(t *testing.T) {
	b := newTwoPaths(t)
	if got := b.spread(); got[first] != socketsPerUpstream/2 || got[second] != socketsPerUpstream/2 {
		t.Errorf("got %v, want half of the sockets at each address", got)
	}
}

// TestSilentAddressIsLeft: no query is lost, the dead address is found out after a few and left alone, the upstream stays up; a single
// socket looks from time to time whether it is back.
func TestSilentAddressIsLeft(t *testing.T) {
	b := newTwoPaths(t)
	wasted, n := 0, 0
	for ; b.healthy() == 2; n++ {
		wasted += b.exchange(n, second)
	}
	if wasted > silentMax || b.spread()[first] != socketsPerUpstream {
		t.Errorf("found out after %d datagrams, sockets %v; want %d, and all at the other address", wasted, b.spread(), silentMax)
	}
	for range 50 {
		if b.exchange(n, second) != 0 {
			t.Error("a query went to an address that rests")
		}
		n++
	}
	if got := b.health[0].Status(); got == health.Down {
		t.Error("the upstream is down although one of its addresses answers")
	}
	// Ports grow old and are replaced; once the rest is over, one of the new ones tries the address, and the rests grow.
	for range 4000 {
		b.now += 50 * time.Millisecond
		wasted += b.exchange(n, second)
		n++
		if got := b.spread(); got[second] > 1 || got[first] < socketsPerUpstream-1 {
			t.Fatalf("sockets %v, want one at the dead address at most", got)
		}
	}
	if wasted < silentMax+1 || wasted > 60 {
		t.Errorf("%d of %d datagrams went to the dead address in over 200 s, want a few", wasted, n)
	}
	// It comes back.
	for ; b.healthy() < 2; n++ {
		b.now += 50 * time.Millisecond
		b.exchange(n, netip.AddrPort{})
		if n > 20000 {
			t.Fatal("the address is never tried again")
		}
	}
	for range 1000 {
		b.now += 50 * time.Millisecond
		b.exchange(n, netip.AddrPort{})
		n++
	}
	if got := b.spread(); got[first] < 2 || got[second] < 2 {
		t.Errorf("sockets %v, want them at both addresses again", got)
	}
}

// TestRefusedAddressMovesItsQueries: to the other address, at once; the upstream stays up.
func TestRefusedAddressMovesItsQueries(t *testing.T) {
	b := newTwoPaths(t)
	var bad []sentDatagram
	for n := range 20 {
		if up := one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA))); b.pathOf(up) == second {
			bad = append(bad, up)
		} else {
			b.turn(b.answer(up, reply(t, up.data, nil)))
		}
	}
	if len(bad) == 0 {
		t.Fatal("no query went to the second address")
	}
	moved := b.turn(b.refused(bad[0]))
	answered := 0
	for _, up := range moved {
		if up.handle == clientSocket {
			t.Fatalf("a query is lost: %v", unpack(t, up.data))
		}
		if b.pathOf(up) != first {
			t.Error("moved to the address that refuses")
		}
		for _, d := range b.turn(b.answer(up, reply(t, up.data, nil))) {
			if d.handle == clientSocket {
				answered++
			}
		}
	}
	if answered != len(bad) {
		t.Errorf("%d of %d queries answered at once by the other address", answered, len(bad))
	}
	if b.health[0].Status() == health.Down || b.healthy() != 1 || b.spread()[second] != 0 {
		t.Errorf("upstream %v, %d healthy addresses, sockets %v", b.health[0].Status(), b.healthy(), b.spread())
	}
}

// TestUnreachableAddressIsPassedOver: the kernel knows no way to one of the addresses.
func TestUnreachableAddressIsPassedOver(t *testing.T) {
	broadcast := netip.MustParseAddrPort("255.255.255.255:1") // EACCES without SO_BROADCAST
	b := newBench(t, 1, func(c *Config, s *Snapshot) {
		s.Upstreams[0].Endpoint.Addresses.Store([]netip.AddrPort{broadcast, first})
	})
	if got := b.spread(); got[first] != socketsPerUpstream || b.healthy() != 1 {
		t.Errorf("sockets %v, %d healthy addresses", got, b.healthy())
	}
	if b.health[0].Status() == health.Down {
		t.Error("the upstream is down although one of its addresses can be reached")
	}
}

// TestAddressesAreReplaced: sockets to an address that is no longer listed go when they are old, and nothing is kept of it.
func TestAddressesAreReplaced(t *testing.T) {
	b := newTwoPaths(t)
	third := netip.MustParseAddrPort("127.0.0.3:1")
	u := b.w.active.pools[0].members[0]
	u.endpoint.Addresses.Store([]netip.AddrPort{third})
	for n := range 1000 {
		b.now += 50 * time.Millisecond
		b.exchange(n, netip.AddrPort{})
	}
	if got := b.spread(); got[third] != socketsPerUpstream || len(u.paths) != 1 {
		t.Errorf("sockets %v, %d paths", got, len(u.paths))
	}
}

// TestSeveralAddressesAllocateNothing: what is counted of addresses for each exchange.
func TestSeveralAddressesAllocateNothing(t *testing.T) {
	b := newTwoPaths(t)
	b.eng.keep = false
	u := b.w.active.pools[0].members[0]
	u.paths[0].answered, u.paths[1].answered = true, true
	w := b.w
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range u.paths {
			w.unanswered(u, p)
			p.heard(u)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestDeadAddressCostsNoBudget: queries that were sent to a dead address are all repeated at another one that answers, however many there
// are; the retry budget is for sick networks.
func TestDeadAddressCostsNoBudget(t *testing.T) {
	b := newTwoPaths(t)
	b.w.active.pools[0].spec.RetryPercent = 0
	waiting, answered := 0, 0
	for n := range 400 {
		if up := one(t, b.ask(n, query(uint16(n), fmt.Sprintf("n%d.example.", n), dns.TypeA))); b.pathOf(up) == second {
			waiting++
		} else {
			b.turn(b.answer(up, reply(t, up.data, nil)))
		}
	}
	b.now += 1001 * time.Millisecond
	for _, up := range b.turn() {
		if up.handle == clientSocket {
			t.Fatalf("a query is lost: %v", unpack(t, up.data))
		}
		for _, d := range b.turn(b.answer(up, reply(t, up.data, nil))) {
			if d.handle == clientSocket {
				answered++
			}
		}
	}
	if waiting < 100 || answered != waiting {
		t.Errorf("%d of %d queries that went to the dead address were answered by the other one", answered, waiting)
	}
}

// TestDeadAddressShedsNothing: what a dead address does not answer is no reason to ask the upstream less.
func TestDeadAddressShedsNothing(t *testing.T) {
	b := newTwoPaths(t)
	u := b.w.active.pools[0].members[0]
	for n := 0; b.healthy() == 2; n++ {
		b.exchange(n, second)
	}
	before := u.limit.Value()
	u.endpoint.AddressWorked(second) // as if another worker had heard it
	for _, p := range u.paths {
		p.answered = true
	}
	for n := range 200 {
		b.exchange(1000+n, second)
		b.now += 20 * time.Millisecond
	}
	if got := u.limit.Value(); got < before {
		t.Errorf("the limit fell from %d to %d", before, got)
	}
	if got := b.health[0].Status(); got != health.Up {
		t.Errorf("the upstream is %v", got)
	}
}
