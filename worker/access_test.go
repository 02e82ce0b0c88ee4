package worker

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
)

// TestProhibitedConnections: a client that may not ask is cut off when it comes, and when a reload says so; others are not.
func TestProhibitedConnections(t *testing.T) {
	access := func(prefixes ...string) Access {
		var list AccessList
		for _, text := range prefixes {
			list.Allow = append(list.Allow, netip.MustParsePrefix(text))
		}
		anybody := AccessList{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}
		return Access{Lists: []AccessList{anybody, list}}
	}
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.Access = access("127.0.0.1/32", "127.0.0.2/32") })
	accept := func(n int, listener uint32) {
		b.turn(ring.Event{Kind: ring.Accepted, Handle: ring.Handle(1000 + n), Tag: listener, Path: client(n)})
	}
	for n := 1; n <= 3; n++ {
		accept(n, 1)
	}
	accept(4, 0)
	if got := b.w.stats.Streams; got[StreamAccepted] != 3 || got[StreamProhibited] != 1 {
		t.Fatalf("%d accepted, %d prohibited; want 3 and 1", got[StreamAccepted], got[StreamProhibited])
	}
	next := *b.w.command.Load()
	snap := *next.snapshot
	snap.Access = access("127.0.0.2/32")
	next.snapshot = &snap
	next.access, _ = snap.Access.compile()
	b.w.command.Store(&next)
	b.turn()
	if got := b.w.stats.Streams[StreamProhibited]; got != 2 {
		t.Errorf("%d prohibited after the reload, want 2", got)
	}
	for id := range b.w.conns.All() {
		if peer := b.w.conns.Conn(id).Peer.Addr().Addr().String(); peer != "127.0.0.2" && peer != "127.0.0.4" {
			t.Errorf("%s is still connected", peer)
		}
	}
}

// TestAccessByListener: what one listener refuses, another one answers.
func TestAccessByListener(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.Access.Lists = []AccessList{{}, {Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	})
	for listener, want := range []int{dns.RcodeRefused, -1} {
		ev := from(1, pack(t, query(7, "a.example.", dns.TypeA)))
		ev.Tag = uint32(listener)
		sent := one(t, b.turn(ev))
		if got := unpack(t, sent.data); want == -1 && got.Response || want >= 0 && got.Rcode != want {
			t.Errorf("listener %d: %v", listener, got)
		}
	}
	if b.w.stats.Prohibited != 1 {
		t.Errorf("%d prohibited, want 1", b.w.stats.Prohibited)
	}
}

// TestAccessIsChecked: prefixes that contradict each other, and lists for other listeners than there are.
func TestAccessIsChecked(t *testing.T) {
	p := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	a := Access{Lists: []AccessList{{Allow: p, Deny: p}}}
	if _, err := a.compile(); err == nil {
		t.Error("a prefix on both sides was accepted")
	}
	if a.fits(2) == nil || a.fits(1) != nil || (&Access{}).fits(2) != nil {
		t.Error("the number of lists is not checked")
	}
}
