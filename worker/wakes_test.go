package worker

import (
	"runtime/metrics"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// scheduled counts how often goroutines of this process went from ready to running, one in eight of them: the runtime samples.
func scheduled() uint64 {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	var n uint64
	for _, c := range sample[0].Value.Float64Histogram().Counts {
		n += c
	}
	return n
}

// TestMissWakesNoGoroutine: a miss through a lane, from the query to its answer, makes no goroutine ready on the worker. The runtime counts
// each time that one is scheduled; that the count can tell is shown by the same misses with one wake-up each.
//
// A goroutine is also scheduled when its thread was taken away for a while, as on a busy machine: the least of several rounds counts.
func TestMissWakesNoGoroutine(t *testing.T) {
	const rounds, misses, sampling = 10, 2000, 8
	b := newBench(t, 1, func(_ *Config, s *Snapshot) {
		s.CacheBytes = 0
		s.Upstreams[0].Endpoint.Scheme = transport.TCP // by lane
	})
	lane := b.w.upstreams[0].lane
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	var answer []byte
	b.eng.keep = false
	miss := func() {
		b.turn(from(1, msg))
		r, ok := lane.Next() // this test is the driver
		if !ok {
			t.Fatal("the query is not in the lane")
		}
		if answer == nil {
			answer = reply(t, r.Query, nil, "a.example. 300 IN A 192.0.2.1")
		}
		copy(answer, r.Query[:2])
		lane.Answer(r.Slot, r.Gen, answer)
		lane.Publish()
		b.turn()
	}
	least := func(do func()) uint64 {
		n := ^uint64(0)
		for range rounds {
			before := scheduled()
			for range misses {
				do()
			}
			n = min(n, scheduled()-before)
		}
		return n
	}
	quiet := least(miss)
	if got := b.w.stats.Answers[0]; got != rounds*misses {
		t.Fatalf("%d answers, want %d", got, rounds*misses)
	}

	wake, done := make(chan struct{}), make(chan struct{})
	go func() {
		for range wake {
		}
		close(done)
	}()
	loud := least(func() {
		miss()
		wake <- struct{}{}
	})
	close(wake)
	<-done
	if loud < misses/sampling/2 {
		t.Fatalf("%d wake-ups were counted %d times: the count shows nothing", misses, loud)
	}
	if quiet > loud/10 {
		t.Errorf("%d misses: goroutines were scheduled %d times (sampled), %d with one wake-up for each miss", misses, quiet, loud)
	}
	t.Logf("scheduled, of %d misses, one in %d counted: %d; with a wake-up each: %d", misses, sampling, quiet, loud)
}
