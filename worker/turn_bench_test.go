package worker

import (
	"encoding/hex"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/limit"
)

// feed is a fakeEngine that hands out a batch of queries for cached names at each turn, as an engine under load does: each query is copied
// into a receive buffer, which are used in turn, and replies are written to transmit slots, which are used in turn.
type feed struct {
	*fakeEngine
	queries [][]byte
	next    int
	buffers [feedBuffers][600]byte
	slots   [feedBatch][ring.DatagramBytesMax + 64]byte
	used    int
	batch   [feedBatch]ring.Event
	paths   [feedBatch]ring.Path
}

const (
	feedBatch   = 64 // events in a turn
	feedBuffers = 256
)

func (f *feed) Turn(time.Duration) []ring.Event {
	f.used = 0
	for i := range f.batch {
		buf := f.buffers[(f.next+i)%feedBuffers][:]
		q := f.queries[(f.next+i*7919)%len(f.queries)]
		f.batch[i].Data = buf[:copy(buf, q)]
		f.batch[i].Path = &f.paths[i]
	}
	f.next += feedBatch
	return f.batch[:]
}

func (f *feed) Reserve() []byte {
	f.used++
	return f.slots[(f.used-1)%feedBatch][:ring.DatagramBytesMax]
}

// newFeed gives a worker whose cache holds so many names an engine that asks for them.
func newFeed(tb testing.TB, names int) (*bench, *feed) {
	b := newBench(tb, 1, func(_ *Config, s *Snapshot) { s.CacheBytes = 64 << 20 })
	f := &feed{fakeEngine: b.eng}
	for i := range names {
		q := query(uint16(i), fmt.Sprintf("name%06d.Example.com.", i), dns.TypeA)
		if i%2 == 0 {
			q.SetEdns0(1232, false)
		}
		up := one(tb, b.ask(i%200, q))
		b.turn(b.answer(up, reply(tb, up.data, nil, fmt.Sprintf("name%06d.example.com. 3600 IN A 192.0.2.1", i))))
		f.queries = append(f.queries, pack(tb, q))
	}
	for i := range f.batch {
		f.batch[i] = ring.Event{Kind: ring.Datagram, Handle: clientSocket}
		f.paths[i] = *client(i)
	}
	b.eng.keep = false
	b.now += time.Minute // so that TTLs have to be aged
	b.w.eng = f
	return b, f
}

// BenchmarkTurn is what a worker itself does for a cached answer over UDP, parse to reply, all of a turn but the engine. ns/op is for one
// query; so is cpu-ns/op, which others that use the machine do not lengthen. The more names, the more of the cache's memory has to be
// fetched, as it has after the kernel's work for a packet, which is not in this.
func BenchmarkTurn(b *testing.B) {
	for _, names := range []int{1, 10_000, 200_000} {
		b.Run(fmt.Sprintf("hits-of-%d", names), func(b *testing.B) {
			bench, _ := newFeed(b, names)
			before := bench.w.stats.Hits
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime(b)
			for n := 0; n < b.N; n += feedBatch {
				bench.w.turn()
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
			if got := bench.w.stats.Hits - before; got < uint64(b.N)/1000*999 { // a name or two may have found both of its buckets full
				b.Fatalf("%d hits of %d queries", got, b.N)
			}
			bench.w.eng = bench.eng
		})
	}
}

// hitsBeside is BenchmarkTurn/hits-of-10000 of a worker that has something else.
func hitsBeside(b *testing.B, add func(*worker)) {
	bench, _ := newFeed(b, 10_000)
	bench.w.turn()
	add(bench.w)
	before := bench.w.stats.Hits
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for n := 0; n < b.N; n += feedBatch {
		bench.w.turn()
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
	if got := bench.w.stats.Hits - before; got < uint64(b.N)/1000*999 {
		b.Fatalf("%d hits of %d queries", got, b.N)
	}
	bench.w.eng = bench.eng
}

// BenchmarkTurnOf is BenchmarkTurn of 10,000 names where clients ask for more than an answer, and where it is counted how much they ask: what that
// costs over plain hits.
func BenchmarkTurnOf(b *testing.B) {
	for _, tt := range []struct {
		name    string
		cookies bool // valid ones, from all clients
		limits  func(*Limits)
	}{
		{name: "plain-hits"},
		{name: "cookies", cookies: true},
		{name: "limits", limits: func(l *Limits) { setRates(l, limit.IPv4Address, limit.IPv4Network) }},
		{name: "limits-and-replies", limits: func(l *Limits) { setRates(l, limit.IPv4Address, limit.IPv4Network, limit.Answers) }},
		{name: "cookies-and-limits", cookies: true, limits: func(l *Limits) { setRates(l, limit.IPv4Address, limit.IPv4Network, limit.Cookie) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			bench, f := newFeed(b, 10_000)
			bench.relimit(func(l *Limits) {
				if tt.limits != nil {
					tt.limits(l)
				}
			})
			bench.w.eng = f
			if tt.cookies {
				bench.giveCookies(f)
			}
			before, cookies := bench.w.stats.Hits, bench.w.stats.Cookies[CookieValid]
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime(b)
			for n := 0; n < b.N; n += feedBatch {
				bench.now += feedBatch * 2 * time.Microsecond // buckets fill with time
				bench.w.turn()
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
			if got := bench.w.stats.Hits - before; got < uint64(b.N)/1000*999 {
				b.Fatalf("%d hits of %d queries", got, b.N)
			}
			if got := bench.w.stats.Cookies[CookieValid] - cookies; tt.cookies && got < uint64(b.N)/1000*999 {
				b.Fatalf("%d valid cookies of %d", got, b.N)
			}
			bench.w.eng = bench.eng
		})
	}
}

// setRates allows what no benchmark reaches.
func setRates(l *Limits, kinds ...limit.Kind) {
	for _, k := range kinds {
		l.Rates[k].PerSecond = limit.RateMax
	}
	l.Window, l.IPv4Bits, l.IPv6Bits = 15*time.Second, 24, 56
}

// giveCookies makes all clients of f one that has a valid cookie.
func (b *bench) giveCookies(f *feed) {
	jar, err := cookie.New([]cookie.Secret{{1}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.w.active.jar = jar
	var server cookie.Server
	jar.Make(&server, &cookie.Client{1}, &f.paths[0], uint32(b.unix()))
	for i := range f.paths {
		f.paths[i] = f.paths[0]
	}
	text := hex.EncodeToString(append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, server[:]...))
	for i, q := range f.queries {
		m := unpack(b.t, q)
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: text}}
		f.queries[i] = pack(b.t, m)
	}
}

// cpuTime is what this process has used of CPUs.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWorkers is BenchmarkTurn of several workers at a time, each on a thread of its own, as many as there are CPUs at most. If they
// wrote to a line, a counter or a lock that they share, CPU time per query would rise with their number.
func BenchmarkWorkers(b *testing.B) {
	for workers := 1; workers <= runtime.GOMAXPROCS(0); workers *= 2 {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			var all []*bench
			for range workers {
				one, _ := newFeed(b, 10_000)
				all = append(all, one)
			}
			b.ResetTimer()
			start := cpuTime(b)
			var threads sync.WaitGroup
			for _, one := range all {
				threads.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					for n := 0; n < b.N; n += feedBatch * workers {
						one.w.turn()
					}
				})
			}
			threads.Wait()
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
			for _, one := range all {
				one.w.eng = one.eng
			}
		})
	}
}
