package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache"
)

// replay is a source of records.
func replay(records [][]byte, end error) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(records) == 0 {
			return nil, end
		}
		r := records[0]
		records = records[1:]
		return r, nil
	}
}

// collect dumps a group.
func collect(t *testing.T, g *Group) (records [][]byte) {
	t.Helper()
	n, err := g.Dump(context.Background(), func(r []byte) error {
		records = append(records, slices.Clone(r))
		return nil
	})
	if err != nil || int(n) != len(records) {
		t.Fatalf("%d records, %d said, %v", len(records), n, err)
	}
	return records
}

// TestDumpAndLoad between two groups over real sockets: pools have other tags there, one is gone; what is asked for again is with both workers.
func TestDumpAndLoad(t *testing.T) {
	z := newZone(t)
	snap := testSnapshot(z.endpoint(transport.UDP))
	snap.SharedPercent = 0
	for _, name := range []string{"gone", "corp"} {
		p := defaultPool(1)
		p.Name, p.Suffixes = name, [][]byte{append([]byte{byte(len(name))}, name+"\x00"...)}
		snap.Pools = append(snap.Pools, p)
	}
	ctx := context.Background()
	g, addrs := serve(t, testConfig(t, BackendMmsg), snap)
	for _, name := range []string{"x.corp.", "x.gone."} {
		exchange(t, "udp", addrs[0], query(1, name, dns.TypeTXT))
	}
	const names = 600
	for i := range names {
		exchange(t, "udp", addrs[0], query(uint16(i), fmt.Sprintf("n%d.test.", i), dns.TypeTXT))
	}
	exchange(t, "udp", addrs[0], query(1, "big.test.", dns.TypeTXT))
	for range 40 { // by both workers
		exchange(t, "udp", addrs[0], query(1, "hot.test.", dns.TypeTXT))
	}
	records, tags := collect(t, g), g.KeyNames()
	if !slices.Equal(tags, []string{"default", "gone", "corp"}) || len(records) < names+4 || len(records) > names+5 {
		t.Fatalf("pools %q, %d records", tags, len(records))
	}
	other := testSnapshot(z.endpoint(transport.UDP))
	other.SharedPercent = 0
	other.Pools = append(other.Pools, snap.Pools[2])
	h, addrs := serve(t, testConfig(t, BackendMmsg), other)
	asked := z.queries.Load()
	out, err := h.Load(ctx, tags, time.Minute, replay(records, io.EOF))
	if err != nil || out.Foreign != 1 || out.Damaged != 0 || out.Expired != 0 || out.Answers < names+4 {
		t.Fatalf("loaded %+v, %v", out, err)
	}
	if hot, _, _ := h.Look(ctx, CacheMatch{Name: []byte("\x03hot\x04test\x00")}); len(hot) != 2 || !hot[0].Popular || hot[0].Age < time.Minute || hot[0].Age > 2*time.Minute {
		t.Errorf("hot.test: %+v", hot)
	}
	m := exchange(t, "tcp", addrs[0], query(1, "hot.test.", dns.TypeTXT))
	if len(m.Answer) == 0 || m.Answer[0].Header().Ttl > 240 || m.Answer[0].Header().Ttl < 180 {
		t.Errorf("hot.test: %v", m)
	}
	if big, _, _ := h.Look(ctx, CacheMatch{Name: []byte("\x03big\x04test\x00")}); len(big) != 1 || big[0].AN != 15 {
		t.Errorf("big.test: %+v", big)
	}
	if corp, _, _ := h.Look(ctx, CacheMatch{Pool: "corp"}); len(corp) != 1 || string(corp[0].Name) != "\x01x\x04corp\x00" {
		t.Errorf("pool corp: %+v", corp)
	}
	if n := z.queries.Load() - asked; n != 0 {
		t.Errorf("%d names were asked for again", n)
	}
	again, err := h.Load(ctx, tags, 2*time.Minute, replay(records, io.EOF))
	if err != nil || again.Answers != 0 || again.Known != out.Answers+out.Known {
		t.Errorf("loaded again: %+v, %v, first %+v", again, err, out)
	}
	late, err := h.Load(ctx, tags, time.Hour, replay(records, io.EOF))
	if err != nil || late.Expired != uint64(len(records))-1 || late.Foreign != 1 {
		t.Errorf("an hour later: %+v, %v", late, err)
	}
}

func TestDumpAndLoadEndEarly(t *testing.T) {
	g, addrs := serve(t, testConfig(t, BackendMmsg), testSnapshot(newZone(t).endpoint(transport.UDP)))
	for i := range 50 {
		exchange(t, "udp", addrs[0], query(1, fmt.Sprintf("n%d.test.", i), dns.TypeTXT))
	}
	ctx, broken := context.Background(), errors.New("broken")
	if _, err := g.Dump(ctx, func([]byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("dump: %v", err)
	}
	records := collect(t, g)
	if _, err := g.Flush(ctx, CacheMatch{}); err != nil {
		t.Fatal(err)
	}
	out, err := g.Load(ctx, g.KeyNames(), 0, replay(records[:20], broken))
	if !errors.Is(err, broken) || out.Answers < 20 {
		t.Errorf("load: %+v, %v", out, err)
	}
	out, err = g.Load(ctx, g.KeyNames(), 0, replay([][]byte{nil, make([]byte, 10), records[0][:30], make([]byte, RecordBytesMax+1)}, io.EOF))
	if err != nil || out != (Restored{Damaged: 4}) {
		t.Errorf("what is no record: %+v, %v", out, err)
	}
	if err := g.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Dump(ctx, func([]byte) error { return nil }); !errors.Is(err, errStopping) {
		t.Errorf("dump after the drain: %v", err)
	}
	if _, err := g.Load(ctx, nil, 0, replay(records, io.EOF)); !errors.Is(err, errStopping) {
		t.Errorf("load after the drain: %v", err)
	}
}

// TestDumpDoesNotPause: each turn gives a bounded part, none while nobody takes the crates, and clients are answered in all of them.
func TestDumpDoesNotPause(t *testing.T) {
	b := newBench(t, 1, func(_ *Config, s *Snapshot) { s.CacheBytes = 16 << 20 })
	const names = 4000
	for i := range names {
		b.cacheName(fmt.Sprintf("n%d.example.", i), fmt.Sprintf("n%d.example. 300 IN A 192.0.2.1", i))
	}
	belt := newBelt()
	b.w.hand(&errand{step: dumping(belt)})
	for range 100 {
		if !b.hit("n7.example.") {
			t.Fatal("a client waits for the dump")
		}
	}
	if got := belt.crates[0].used + belt.crates[1].used; got > 2*crateBytes || !belt.crates[0].full.Load() {
		t.Fatalf("%d bytes in the crates", got)
	}
	seen, turns := 0, 0
	for !belt.ended() {
		before := belt.crates[belt.at].used
		b.turn()
		if got := belt.crates[belt.at].used - before; got > dumpStep*200 {
			t.Fatalf("%d bytes in a turn", got)
		}
		for r := belt.next(); r != nil; r = belt.next() {
			if !r.valid() {
				t.Fatal("not a record")
			}
			seen++
		}
		if turns++; turns > 10_000 {
			t.Fatal("the dump never ends")
		}
	}
	if seen != names {
		t.Errorf("%d records, want %d", seen, names)
	}
}

// TestRestoredStale: an answer past its TTL comes back where it may be served stale, and only there.
func TestRestoredStale(t *testing.T) {
	z := newZone(t)
	for _, c := range []struct {
		down WhenDown
		max  uint32
		want uint64
	}{{Stale, 3600, 1}, {Stale, 10, 0}, {Best, 3600, 0}} {
		snap := testSnapshot(z.endpoint(transport.UDP))
		snap.Pools[0].WhenDown, snap.StaleMax = c.down, c.max
		g, addrs := serve(t, testConfig(t, BackendMmsg), snap)
		exchange(t, "udp", addrs[0], query(1, "a.test.", dns.TypeTXT))
		records := collect(t, g)[:1]
		if _, err := g.Flush(context.Background(), CacheMatch{}); err != nil {
			t.Fatal(err)
		}
		out, err := g.Load(context.Background(), g.KeyNames(), 400*time.Second, replay(records, io.EOF))
		if err != nil || out.Answers != c.want || out.Expired != 1-c.want {
			t.Errorf("%+v: %+v, %v", c, out, err)
		}
	}
}

// FuzzRestore: whatever a record holds, nothing panics; what is taken can be told to a client, and that reply parses.
func FuzzRestore(f *testing.F) {
	b := newBench(f, 1, nil)
	b.cacheName("www.example.", "www.example. 300 IN CNAME a.example.")
	up := one(f, b.ask(1, query(1, "no.example.", dns.TypeMX)))
	b.turn(b.answer(up, reply(f, up.data, func(m *dns.Msg) {
		soa, _ := dns.NewRR("example. 300 IN SOA ns.example. h.example. 1 2 3 4 5")
		m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
	})))
	var cursor cache.Cursor
	for b.w.cache.Walk(&cursor, 100, nil, func(e *cache.Seen) bool {
		r := make([]byte, recordBytes(e))
		putRecord(r, e, 0, b.w.seconds())
		f.Add(r)
		return true
	}) {
		continue
	}
	space := make([]byte, wire.MessageBytesMax)
	f.Fuzz(func(t *testing.T, text []byte) {
		b.t = t
		r := record(slices.Clone(text))
		if !r.valid() || r.ttl() == 0 {
			return
		}
		wire.MoveKey(r.key(), 0)
		var out Restored
		if b.w.restore(r, space, &out); out.Answers == 0 || wire.KeyFlags(r.key()) != wire.KeyRD || len(wire.KeyVariant(r.key())) != 0 || wire.KeyPartition(r.key()) != 0 {
			return
		}
		q := make([]byte, wire.HeaderBytes, wire.HeaderBytes+wire.QuestionBytesMax)
		q[2], q[5] = 1, 1 // RD, one question
		q = append(q, wire.KeyQuestion(r.key())...)
		b.eng.sent = nil
		b.turn(from(1, q))
		for _, d := range b.eng.sent {
			if d.handle != clientSocket || binary.BigEndian.Uint16(d.data[6:]) == 0 {
				continue
			}
			if err := new(dns.Msg).Unpack(d.data); err != nil {
				t.Logf("record %x", text)
				t.Errorf("told a client what it cannot read: %v", err)
			}
		}
	})
}

// BenchmarkDump is the part of a turn that a worker gives to a dump or to a load: a step of each, over a cache of 200,000 answers.
func BenchmarkDump(b *testing.B) {
	const names = 200_000
	bench, _ := newFeed(b, names)
	w := bench.w
	b.Run("dump", func(b *testing.B) {
		belt, answers := newBelt(), 0
		step := dumping(belt)
		for b.Loop() {
			if step(w) == ended {
				b.StopTimer()
				belt = newBelt()
				step = dumping(belt)
				b.StartTimer()
			}
			if !belt.free() {
				b.StopTimer()
				for r := belt.next(); r != nil; r = belt.next() {
					answers++
				}
				b.StartTimer()
			}
		}
		b.ReportMetric(float64(answers)/float64(b.N), "answers/op")
	})
	b.Run("load", func(b *testing.B) {
		var records []record
		var cursor cache.Cursor
		w.cache.Walk(&cursor, loadStep*200, nil, func(e *cache.Seen) bool {
			r := make(record, recordBytes(e))
			putRecord(r, e, 0, w.seconds())
			records = append(records, r)
			return true
		})
		w.cache.Flush()
		belt, out, next := newBelt(), new(Restored), 0
		step := taking(belt, out)
		for b.Loop() {
			if belt.free() {
				b.StopTimer()
				for room := belt.room(len(records[next])); room != nil; room = belt.room(len(records[next])) {
					copy(room, records[next])
					next = (next + 1) % len(records)
				}
				belt.send()
				b.StartTimer()
			}
			step(w)
		}
		b.ReportMetric(float64(out.Answers+out.Known)/float64(b.N), "answers/op")
	})
}
