package worker

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker/policy"
)

// viewFor is a view of one prefix.
func viewFor(name, prefix string) View {
	return View{View: policy.View{Name: name, Clients: []netip.Prefix{netip.MustParsePrefix(prefix)}, Pool: -1}}
}

// TestFiguresOfAView: what its clients do is counted, over both transports, and nothing of others.
func TestFiguresOfAView(t *testing.T) {
	guests := viewFor("guests", "10.1.0.0/16")
	guests.MaxOutstanding = 1
	r := newRuledWith(t, []View{guests})
	r.send("a. A")
	r.send("b. A from=10.1.0.1:1")
	r.send("c. A from=10.1.0.1:1")
	r.sendTCP(r.query("1", []string{"d.", "A"}), client(0x0101), 0)
	r.give(1, "| a. 100 IN A 192.0.2.1")
	r.send("a. A from=10.1.0.1:1")
	v := r.w.viewStates[1]
	if got, want := v.stats, (ViewStats{QueriesUDP: 3, Hits: 1, Misses: 1, Full: 1, Shed: 1}); got != want || v.under != 1 {
		t.Errorf("%+v, %d under way, want %+v, 1", got, v.under, want)
	}
	r.give(1, "| b. 100 IN A 192.0.2.1")
	if r.send("a. A from=10.1.0.1:2 tcp"); v.stats.QueriesTCP != 1 || v.stats.Hits != 2 || v.under != 0 {
		t.Errorf("%+v, %d under way", v.stats, v.under)
	}
}

// TestReloadKeepsTheQuotaOfAView: a question that was under way before a reload is held against the view of that name after it, wherever that now
// stands; of a view that is gone its place is free again in the end.
func TestReloadKeepsTheQuotaOfAView(t *testing.T) {
	guests, others := viewFor("guests", "10.1.0.0/16"), viewFor("others", "10.2.0.0/16")
	guests.MaxOutstanding = 1
	r := newRuledWith(t, []View{guests})
	r.send("a. A from=10.1.0.1:1")
	reload := func(views ...View) {
		c := *r.w.command.Load()
		snap := *c.snapshot
		c.snapshot, snap.Views = &snap, views
		c.derive(t)
		r.w.command.Store(&c)
		r.turn()
	}
	reload(others, guests)
	if _, asked := r.send("b. A from=10.1.0.1:1"); asked != 0 {
		t.Error("the reload has given the view another question")
	}
	if _, asked := r.send("b. A from=10.2.0.1:1"); asked != 1 {
		t.Error("the other view has no question")
	}
	reload()
	r.give(1, "| a. 100 IN A 192.0.2.1")
	reload(guests)
	if _, asked := r.send("c. A from=10.1.0.1:1"); asked != 1 {
		t.Error("a question that was answered after the view had gone is held against it")
	}
}

// TestDumpOfAPartition: what a view has for itself comes back to the view of that name, and to nobody else, also where that has another number, and is lost where
// there is none.
func TestDumpOfAPartition(t *testing.T) {
	z, ctx := newZone(t), context.Background()
	snap := testSnapshot(z.endpoint(transport.UDP))
	snap.Views = []View{viewFor("other", "192.0.2.0/24"), viewFor("guests", "127.0.0.0/8")}
	snap.Views[1].OwnCache = true
	cfg := testConfig(t, BackendMmsg)
	cfg.Workers = 1
	g, addrs := serve(t, cfg, snap)
	for i := range 5 {
		exchange(t, "udp", addrs[0], query(1, fmt.Sprintf("n%d.test.", i), dns.TypeTXT))
	}
	records, names := collect(t, g), g.KeyNames()
	for _, c := range []struct {
		name  string
		views []View
		taken uint64
		asked int64
	}{
		{"the same view", []View{snap.Views[1]}, 5, 0},
		{"without a cache of its own", []View{viewFor("guests", "127.0.0.0/8")}, 0, 5},
		{"gone", nil, 0, 5},
	} {
		other := testSnapshot(z.endpoint(transport.UDP))
		other.Views = c.views
		h, addrs := serve(t, cfg, other)
		out, err := h.Load(ctx, names, time.Second, replay(records, io.EOF))
		if err != nil || out.Answers != c.taken || out.Foreign != 5-c.taken {
			t.Errorf("%s: loaded %+v, %v", c.name, out, err)
		}
		before := z.queries.Load()
		for i := range 5 {
			exchange(t, "udp", addrs[0], query(1, fmt.Sprintf("n%d.test.", i), dns.TypeTXT))
		}
		if asked := z.queries.Load() - before; asked != c.asked {
			t.Errorf("%s: %d asked, want %d", c.name, asked, c.asked)
		}
	}
}

// TestViewsHaveNumbersOnce: a name keeps its number, and there is an end of them.
func TestViewsHaveNumbersOnce(t *testing.T) {
	g := &Group{cfg: Config{Workers: 2}, views: map[string][]*viewState{}}
	for i := range viewTags - 1 {
		if err := g.tagViews(&Snapshot{Views: []View{viewFor(fmt.Sprint("v", i), "10.0.0.0/8"), viewFor("v0", "10.0.0.0/8")}}); err != nil {
			t.Fatal(i, err)
		}
	}
	if first, last := g.views["v0"], g.views[fmt.Sprint("v", viewTags-2)]; first[0].tag != 1 || last[1].tag != viewTags-1 || len(g.views) != viewTags-1 {
		t.Errorf("numbers %d and %d of %d", first[0].tag, last[1].tag, len(g.views))
	}
	if err := g.tagViews(&Snapshot{Views: []View{viewFor("more", "10.0.0.0/8")}}); err == nil {
		t.Error("a number that there is not was given")
	}
}
