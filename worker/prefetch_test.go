package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
)

// popular puts an answer with a TTL of 100 seconds into the cache and asks for it twice.
func (b *bench) popular(name string) {
	b.t.Helper()
	up := one(b.t, b.ask(1, query(1, name, dns.TypeA)))
	b.turn(b.answer(up, reply(b.t, up.data, nil, name+" 100 IN A 192.0.2.1")))
	for range 2 {
		one(b.t, b.ask(1, query(1, name, dns.TypeA)))
	}
}

// asks returns how many queries go out to upstreams when name is asked for, and makes sure that the client is answered at once.
func (b *bench) asks(name string) int {
	b.t.Helper()
	sent := b.ask(1, query(1, name, dns.TypeA))
	clients := 0
	for _, d := range sent {
		if d.handle == clientSocket {
			clients++
		}
	}
	if clients != 1 {
		b.t.Fatalf("%s: %d answers to the client", name, clients)
	}
	return len(sent) - 1
}

// TestPrefetchIsCapped: refreshes stay within the rate over ten seconds, and what they leave to do is counted.
func TestPrefetchIsCapped(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 512, 512
		s.PrefetchPercent, s.PrefetchRate = 10, 2
	})
	const names = 50
	for i := range names {
		b.popular(fmt.Sprintf("n%d.example.", i))
	}
	b.now += 95 * time.Second
	asked := 0
	for i := range names {
		asked += b.asks(fmt.Sprintf("n%d.example.", i))
	}
	if asked != 20 || b.w.stats.Prefetches != 20 || b.w.stats.PrefetchesDenied != names-20 {
		t.Errorf("%d refreshes, counted %d and %d denied; want 20 of %d", asked, b.w.stats.Prefetches, b.w.stats.PrefetchesDenied, names)
	}
}

// TestPrefetchLeavesRoom: clients who wait come before refreshes.
func TestPrefetchLeavesRoom(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) { s.PrefetchPercent, s.PrefetchRate = 10, 100 })
	b.popular("a.example.")
	b.now += 95 * time.Second
	for i := range b.w.cfg.Slots / 2 {
		b.ask(1, query(1, fmt.Sprintf("n%d.example.", i), dns.TypeA))
	}
	if n := b.asks("a.example."); n != 0 {
		t.Errorf("%d refreshes with half of the table in use", n)
	}
}

// TestPrefetchAllocatesNothing: neither do hits that look whether it is time.
func TestPrefetchAllocatesNothing(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) { s.PrefetchPercent, s.PrefetchRate = 10, 100 })
	b.popular("a.example.")
	b.now += 95 * time.Second
	b.asks("a.example.") // its refresh stays under way
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	b.eng.keep = false
	events := []ring.Event{from(1, msg)}
	if n := testing.AllocsPerRun(200, func() {
		b.eng.events = events
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
