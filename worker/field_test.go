package worker

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
)

// field is a worker before scripted upstreams, in virtual time of one millisecond a turn, with clients that ask for a new name each time.
type field struct {
	*bench
	script func(upstream int, at time.Duration, r *rand.Rand) (latency time.Duration, what conduct)
	random *rand.Rand
	began  time.Duration
	due    dueHeap
	tally  fieldTally
	asked  map[uint16]time.Duration // when the client with this id asked
	next   int
}

// conduct is what a scripted upstream does with a query.
type conduct uint8

const (
	answers conduct = iota
	servfails
	refuses // ICMP
	silent
)

// fieldTally is what came of a run.
type fieldTally struct {
	queries, failed, unanswered int
	sent                        []int // to each upstream
	latencies                   []time.Duration
}

func (f *fieldTally) quantile(q float64) time.Duration {
	slices.Sort(f.latencies)
	return f.latencies[min(int(q*float64(len(f.latencies))), len(f.latencies)-1)]
}

// extra is how many more queries went out than came in, in percent.
func (f *fieldTally) extra() float64 {
	total := 0
	for _, n := range f.sent {
		total += n
	}
	return 100 * float64(total-f.queries) / float64(f.queries)
}

func (f *fieldTally) String() string {
	var parts []string
	for _, n := range f.sent {
		parts = append(parts, fmt.Sprintf("%5.1f%%", 100*float64(n)/float64(f.queries)))
	}
	return fmt.Sprintf("%s  %8.1f %8.1f  %+6.1f%%  %7.3f%%", strings.Join(parts, " "), ms(f.quantile(0.5)), ms(f.quantile(0.99)),
		f.extra(), 100*float64(f.failed+f.unanswered)/float64(f.queries))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

const fieldHeader = "to upstream 1 .. 5                   p50 ms   p99 ms    extra    failed"

// newField returns a field of n upstreams.
func newField(t *testing.T, n int, edit func(*Config, *Snapshot), script func(int, time.Duration, *rand.Rand) (time.Duration, conduct)) *field {
	f := &field{script: script, random: rand.New(rand.NewChaCha8([32]byte{3})), asked: map[uint16]time.Duration{}}
	f.bench = newBench(t, n, func(c *Config, s *Snapshot) {
		c.Slots, c.Waiters = 8192, 16384
		s.CacheBytes = 0
		edit(c, s)
	})
	f.began = f.now
	f.tally.sent = make([]int, n)
	return f
}

// run offers a steady load for so long, and then waits for what is under way.
func (f *field) run(perSecond int, length time.Duration) {
	var owed float64
	for end := f.now + length; f.now < end+5*time.Second; f.now += time.Millisecond {
		var events []ring.Event
		for len(f.due) > 0 && f.due[0].at <= f.now {
			events = append(events, heap.Pop(&f.due).(dueEvent).event)
		}
		if f.now < end {
			for owed += float64(perSecond) / 1000; owed >= 1; owed-- {
				events = append(events, f.query())
			}
		}
		for _, d := range f.turn(events...) {
			f.react(d)
		}
	}
	f.tally.unanswered += len(f.asked)
	clear(f.asked)
}

// query is the next client's.
func (f *field) query() ring.Event {
	f.next++
	id := uint16(f.next)
	f.asked[id] = f.now
	f.tally.queries++
	return from(f.next, pack(f.t, query(id, fmt.Sprintf("n%d.example.", f.next), dns.TypeA)))
}

// react takes in a reply to a client, or has an upstream do what its script says.
func (f *field) react(d sentDatagram) {
	if d.handle == clientSocket {
		id := idOf(d.data)
		began, open := f.asked[id]
		if !open {
			f.t.Fatalf("a second reply to client %d", id)
		}
		delete(f.asked, id)
		f.tally.latencies = append(f.tally.latencies, f.now-began)
		if d.data[3]&0x0f == byte(wire.RCodeServFail) {
			f.tally.failed++
		}
		return
	}
	i := f.upstreamOf(d)
	f.tally.sent[i]++
	latency, what := f.script(i, f.now-f.began, f.random)
	var event ring.Event
	switch what {
	case answers:
		event = f.answer(d, reply(f.t, d.data, nil))
	case servfails:
		event = f.answer(d, reply(f.t, d.data, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
	case refuses:
		event = f.refused(d)
	case silent:
		return
	}
	heap.Push(&f.due, dueEvent{f.now + latency, event})
}

// dueHeap orders events by time.
type (
	dueHeap  []dueEvent
	dueEvent struct {
		at    time.Duration
		event ring.Event
	}
)

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueEvent)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
