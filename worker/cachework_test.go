package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker/cache"
)

// do hands the worker an errand and takes turns until it is done, up to so many.
func (b *bench) do(step func(w *worker) progress, turns int) (sent []sentDatagram, taken int) {
	b.t.Helper()
	e := &errand{step: step}
	b.w.hand(e)
	for ; !e.done.Load() && taken < turns; taken++ {
		sent = append(sent, b.turn()...)
	}
	if !e.done.Load() {
		b.t.Fatalf("the errand is not done after %d turns", turns)
	}
	return sent, taken
}

// cacheName asks for a name and answers, so that it is cached.
func (b *bench) cacheName(name string, record string) {
	b.t.Helper()
	up := one(b.t, b.ask(1, query(1, name, dns.TypeA)))
	one(b.t, b.turn(b.answer(up, reply(b.t, up.data, nil, record))))
}

func (b *bench) hit(name string) bool {
	b.t.Helper()
	sent := b.ask(2, query(2, name, dns.TypeA))
	return one(b.t, sent).handle == clientSocket
}

// TestFlushForgetsFailures: RFC 9520's memory goes with a flush, whatever name it is of.
func TestFlushForgetsFailures(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.FailureTTL, s.FailureTTLMax = time.Minute, time.Minute })
	up := one(t, b.ask(1, query(1, "bad.example.", dns.TypeA)))
	b.turn(b.answer(up, reply(t, up.data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })))
	if !b.hit("bad.example.") {
		t.Fatal("the failure is not remembered")
	}
	var out Flushed
	b.do(flushing(cache.Match{Name: []byte("\x05other\x00")}, &out), 1000)
	if out != (Flushed{Failures: 1}) || b.hit("bad.example.") {
		t.Errorf("%+v, or the failure is still remembered", out)
	}
}

// TestFlushDoesNotPause: a flush of a big cache takes many turns, each with a bounded part of it; clients are answered in all of them, and get
// nothing that is flushed from the first on.
func TestFlushDoesNotPause(t *testing.T) {
	b := newBench(t, 1, func(c *Config, s *Snapshot) { c.Slots, s.CacheBytes = 4096, 16<<20 })
	const names = 3000
	for i := range names {
		b.cacheName(fmt.Sprintf("n%d.example.", i), fmt.Sprintf("n%d.example. 300 IN A 192.0.2.1", i))
	}
	b.cacheName("kept.test.", "kept.test. 300 IN A 192.0.2.1")
	var out Flushed
	b.w.hand(&errand{step: flushing(cache.Match{Name: []byte("\x07example\x00"), Below: true}, &out)})
	b.turn()
	if b.hit("n7.example.") {
		t.Fatal("a flushed name is found")
	}
	turns, last := 0, b.w.cache.Stats().Entries
	for ; out.Answers == 0 && turns < 100_000; turns++ {
		if !b.hit("kept.test.") {
			t.Fatal("a name outside is gone")
		}
		if now := b.w.cache.Stats().Entries; last-now > 256 {
			t.Fatalf("turn %d removed %d", turns, last-now)
		} else {
			last = now
		}
	}
	if out.Answers != names || turns < names/256 {
		t.Errorf("removed %d in %d turns, want %d", out.Answers, turns, names)
	}
	if b.w.stats.CacheFlushed != names || b.w.stats.CacheFlushes != 1 {
		t.Errorf("counted %d and %d", b.w.stats.CacheFlushed, b.w.stats.CacheFlushes)
	}
}

// TestRefreshKeepsTheOldAnswer until the new one is there, and asks for as much as there is room.
func TestRefreshKeepsTheOldAnswer(t *testing.T) {
	b := newBench(t, 1, nil)
	b.cacheName("a.example.", "a.example. 300 IN A 192.0.2.1")
	var n uint64
	sent, _ := b.do(refreshing(cache.Match{Name: []byte("\x01a\x07example\x00")}, &n), 1000)
	up := one(t, sent)
	if m := unpack(t, up.data); n != 1 || m.Question[0].Name != "a.example." || m.Question[0].Qtype != dns.TypeA {
		t.Fatalf("%d refreshed, asked %v", n, m)
	}
	m := unpack(t, one(t, b.ask(2, query(2, "a.example.", dns.TypeA))).data)
	if len(m.Answer) != 1 || !strings.HasSuffix(m.Answer[0].String(), "192.0.2.1") {
		t.Fatalf("meanwhile: %v", m)
	}
	b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.2")))
	m = unpack(t, one(t, b.ask(3, query(3, "a.example.", dns.TypeA))).data)
	if !strings.HasSuffix(m.Answer[0].String(), "192.0.2.2") {
		t.Errorf("afterwards: %v", m)
	}
	if b.w.stats.CacheRefreshes != 1 {
		t.Errorf("counted %d", b.w.stats.CacheRefreshes)
	}
}

func TestErrandsWithoutACache(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.CacheBytes = 0 })
	var out Flushed
	b.do(flushing(cache.Match{}, &out), 2)
	var n uint64
	b.do(refreshing(cache.Match{}, &n), 2)
	var list []CachedAnswer
	b.do(looking(cache.Match{}, &list), 2)
	if out != (Flushed{}) || n != 0 || list != nil {
		t.Errorf("%v, %d, %v", out, n, list)
	}
}

// TestGroupCacheCommands over two workers with real sockets.
func TestGroupCacheCommands(t *testing.T) {
	z := newZone(t)
	snap := testSnapshot(z.endpoint(transport.UDP))
	corp := defaultPool(1)
	corp.Name, corp.Suffixes = "corp", [][]byte{[]byte("\x04corp\x00")}
	snap.Pools = append(snap.Pools, corp)
	g, addrs := serve(t, testConfig(t, BackendMmsg), snap)
	ctx := context.Background()
	for _, name := range []string{"a.test.", "b.a.test.", "x.corp.", "slow.test."} {
		for range 8 { // from as many source ports: the workers share them by hash
			exchange(t, "udp", addrs[0], query(1, name, dns.TypeTXT))
		}
	}
	list, more, err := g.Look(ctx, CacheMatch{Name: []byte("\x04test\x00"), Below: true})
	if err != nil || more || len(list) < 3 || len(list) > 6 {
		t.Fatalf("%d answers, more %v, %v", len(list), more, err)
	}
	for _, a := range list {
		if a.Type != dns.TypeTXT || !a.RD || a.DO || a.Pool != "default" || a.AN != 1 || a.TTL != 300*time.Second || a.Age > time.Minute {
			t.Errorf("%+v", a)
		}
	}
	if list, _, err = g.Look(ctx, CacheMatch{Pool: "corp"}); err != nil || len(list) == 0 || string(list[0].Name) != "\x01x\x04corp\x00" || list[0].Pool != "corp" {
		t.Errorf("pool corp: %+v, %v", list, err)
	}
	if _, _, err = g.Look(ctx, CacheMatch{Pool: "none"}); err == nil {
		t.Error("a pool that is not there: no error")
	}
	asked := z.queries.Load()
	n, err := g.Refresh(ctx, CacheMatch{Name: []byte("\x01a\x04test\x00")})
	if err != nil || n < 1 || n > 2 {
		t.Errorf("refreshed %d, %v", n, err)
	}
	eventually(t, "the upstream is asked again", func() bool { return z.queries.Load() == asked+int64(n) })
	gone, err := g.Flush(ctx, CacheMatch{Name: []byte("\x01a\x04test\x00"), Below: true})
	if err != nil || gone.Answers < 2 || gone.Answers > 4 {
		t.Errorf("flushed %+v, %v", gone, err)
	}
	if list, _, err = g.Look(ctx, CacheMatch{}); err != nil || len(list) < 2 || len(list) > 4 {
		t.Errorf("left: %+v, %v", list, err)
	}
	if gone, err = g.Flush(ctx, CacheMatch{}); err != nil || int(gone.Answers) != len(list) {
		t.Errorf("flushed %+v of %d, %v", gone, len(list), err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err = g.Flush(cancelled, CacheMatch{}); err == nil {
		if _, _, err = g.Look(ctx, CacheMatch{}); err != nil { // it was quick: both ways are right
			t.Error(err)
		}
	}
	if err = g.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err = g.Flush(ctx, CacheMatch{}); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after the drain: %v", err)
	}
}

// TestErrandsAreBounded: commands beyond errandsMax are refused while those are under way.
func TestErrandsAreBounded(t *testing.T) {
	g, _ := serve(t, testConfig(t, BackendMmsg), testSnapshot(newZone(t).endpoint(transport.UDP)))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for range errandsMax {
		go func() {
			ended <- g.errand(ctx, func() func(*worker) progress { return func(*worker) progress { return waits } })
		}()
	}
	eventually(t, "all are under way", func() bool { return g.errands.Load() == errandsMax })
	if _, err := g.Flush(ctx, CacheMatch{}); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("one more: %v", err)
	}
	cancel()
	for range errandsMax {
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	}
	if _, err := g.Flush(context.Background(), CacheMatch{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
