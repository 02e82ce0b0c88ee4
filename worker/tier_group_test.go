package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/tier/tiertest"
)

// tierStore is a store at a server, connected.
func tierStore(t *testing.T, server *tiertest.Server) *tier.Store {
	t.Helper()
	store, err := tier.New(tier.Config{
		Kind: tier.Redis, Addresses: []string{server.Addr}, Prefix: "sdp", Timeout: time.Second, MessageBytesMax: 4096, FillBytes: tier.FillBytesMin,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store is connected", func() bool { return store.Stats().Connects == 1 })
	return store
}

func withTier(s *Snapshot, store *tier.Store) *Snapshot {
	next := *s
	next.Tier = Tier{Store: store, Budget: tier.BudgetMax, Breaker: tier.BreakerConfig{Percent: 50, Rest: time.Second, RestMax: time.Minute}}
	return &next
}

// TestInstancesShareATier: what one group has learnt, another one answers without asking; reloads switch the tier off and on, and to another one.
func TestInstancesShareATier(t *testing.T) {
	server, other := tiertest.Redis(t), tiertest.Redis(t)
	z := newZone(t)
	one, two, elsewhere := tierStore(t, server), tierStore(t, server), tierStore(t, other)
	defer one.Close() // before the groups are looked at for what they leave behind
	defer two.Close()
	defer elsewhere.Close()
	_, addrs := serve(t, testConfig(t, BackendAuto), withTier(testSnapshot(z.endpoint(transport.UDP)), one))
	base := testSnapshot(z.endpoint(transport.UDP))
	single := testConfig(t, BackendAuto) // so that what it has asked for once, it has
	single.Workers = 1
	second, others := serve(t, single, withTier(base, two))

	// learn asks the first instance for a name and the second after that, and returns how often the upstream was asked for it.
	names := 0
	learn := func() int64 {
		t.Helper()
		names++
		name, before, had := fmt.Sprintf("n%d.example.", names), z.queries.Load(), one.Stats().Stored
		exchange(t, "udp", addrs[0], query(1, name, dns.TypeTXT))
		eventually(t, "the answer is stored", func() bool { return one.Stats().Stored > had })
		if r := exchange(t, "udp", others[0], query(2, name, dns.TypeTXT)); len(r.Answer) != 1 || r.Answer[0].Header().Ttl > 300 {
			t.Errorf("%s: answer\n%v", name, r)
		}
		return z.queries.Load() - before
	}
	if n := learn(); n != 1 {
		t.Errorf("two instances, %d queries to the upstream; figures of the second: %+v", n, second.Stats().TierHits)
	}
	for _, c := range []struct {
		what  string
		store *tier.Store
		want  int64
	}{{"the tier is off", nil, 2}, {"another tier", elsewhere, 2}, {"on again", two, 1}, {"the same again", two, 1}} {
		if err := second.Reload(withTier(base, c.store)); err != nil {
			t.Fatal(err)
		}
		if n := learn(); n != c.want {
			t.Errorf("%s: %d queries to the upstream, want %d", c.what, n, c.want)
		}
	}
	// A flush of the second instance is about what the tier had, too.
	before := z.queries.Load()
	flush := func(name string) {
		t.Helper()
		if _, err := second.Flush(t.Context(), CacheMatch{Name: wireName(name)}); err != nil {
			t.Fatal(err)
		}
		exchange(t, "udp", others[0], query(3, "n1.example.", dns.TypeTXT))
	}
	flush("n2.example.")
	if n := z.queries.Load() - before; n != 0 {
		t.Errorf("%d queries to the upstream after a flush of another name", n)
	}
	if flush("n1.example."); z.queries.Load() != before+1 {
		t.Errorf("%d queries to the upstream after a flush, want 1: the tier has what was flushed", z.queries.Load()-before)
	}
	eventually(t, "3 hits and 2 misses are counted", func() bool {
		s := second.Stats()
		return s.TierHits == 3 && s.TierMisses == 2 && s.TierOut == 0
	})
}

func TestTierOfASnapshotIsValidated(t *testing.T) {
	store, err := tier.New(tier.Config{
		Kind: tier.Memcached, Addresses: []string{"127.0.0.1:1"}, Timeout: time.Second, MessageBytesMax: 512, FillBytes: tier.FillBytesMin,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	good := withTier(testSnapshot(newZone(t).endpoint(transport.UDP)), store)
	if err := good.validate(1); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*Snapshot){
		"budget":   func(s *Snapshot) { s.Tier.Budget = time.Microsecond },
		"breaker":  func(s *Snapshot) { s.Tier.Breaker.Percent = 0 },
		"no cache": func(s *Snapshot) { s.CacheBytes = 0 },
	} {
		s := *good
		if edit(&s); s.validate(1) == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
