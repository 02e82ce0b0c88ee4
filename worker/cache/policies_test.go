package cache

import (
	"container/heap"
	"container/list"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// Policies to compare the shard with. Each holds so many names, all of one size, and is told of every request in order; get reports a hit, and
// whatever was missed is stored.

type policy interface {
	get(at, name int) bool // at is the request's number in the trace
}

// lruNames is LRU: the least recently used has to go.
type lruNames struct {
	room  int
	order *list.List
	names map[int]*list.Element
}

func (l *lruNames) get(_, name int) bool {
	if e, ok := l.names[name]; ok {
		l.order.MoveToFront(e)
		return true
	}
	l.names[name] = l.order.PushFront(name)
	if len(l.names) > l.room {
		delete(l.names, l.order.Remove(l.order.Back()).(int))
	}
	return false
}

// sieve is SIEVE (Zhang et al., NSDI 2024): a hand goes from the oldest to the newest, spares what was visited, once, and takes the first that
// was not. Hits move nothing.
type sieve struct {
	room  int
	order *list.List // newest first
	names map[int]*list.Element
	hand  *list.Element
}

type sieveName struct {
	name    int
	visited bool
}

func (s *sieve) get(_, name int) bool {
	if e, ok := s.names[name]; ok {
		e.Value.(*sieveName).visited = true
		return true
	}
	if len(s.names) == s.room {
		e := s.hand
		if e == nil {
			e = s.order.Back()
		}
		for e.Value.(*sieveName).visited {
			e.Value.(*sieveName).visited = false
			if e = e.Prev(); e == nil {
				e = s.order.Back()
			}
		}
		s.hand = e.Prev()
		delete(s.names, s.order.Remove(e).(*sieveName).name)
	}
	s.names[name] = s.order.PushFront(&sieveName{name: name})
	return false
}

// optimum is Belady's: what is asked for again the latest has to go, the new one too. It knows the trace.
type optimum struct {
	room  int
	again []int       // when the name of each request is asked for next
	names map[int]int // to its next request
	queue lateFirst   // with what is out of date
}

type nextUse struct{ name, at int }

type lateFirst []nextUse

func (q lateFirst) Len() int           { return len(q) }
func (q lateFirst) Less(i, j int) bool { return q[i].at > q[j].at }
func (q lateFirst) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *lateFirst) Push(x any)        { *q = append(*q, x.(nextUse)) }
func (q *lateFirst) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func newOptimum(room int, trace []int) *optimum {
	o := &optimum{room: room, again: make([]int, len(trace)), names: map[int]int{}}
	next := map[int]int{}
	for at := len(trace) - 1; at >= 0; at-- {
		o.again[at] = len(trace) + at // never: the earlier such name goes first
		if n, ok := next[trace[at]]; ok {
			o.again[at] = n
		}
		next[trace[at]] = at
	}
	return o
}

func (o *optimum) get(at, name int) bool {
	_, hit := o.names[name]
	o.names[name] = o.again[at]
	heap.Push(&o.queue, nextUse{name, o.again[at]})
	for len(o.names) > o.room {
		if late := heap.Pop(&o.queue).(nextUse); o.names[late.name] == late.at {
			delete(o.names, late.name)
		}
	}
	return hit
}

// shardNames is the shard itself.
type shardNames struct {
	s      *Shard
	answer *wire.Answer
}

const policyRecords = 100 // bytes of every answer

func (s *shardNames) get(_, name int) bool {
	key := testKey(name)
	hash := testHash(key)
	if _, state := s.s.Get(hash, key, 0, new(wire.Answer)); state == Fresh {
		return true
	}
	s.s.Put(hash, key, s.answer, forever, 0)
	return false
}

// TestPolicies: the share of hits beside LRU, SIEVE and the optimum, over three traces: requests by Zipf's law; the same with a flood of ten
// times as many random subdomains, which are asked for once (hits are counted of the requests proper); and a scan that goes round twice as many
// names as there is room for. The others have as many names as fit the same bytes at message, key and 64 bytes each, which is the most that we
// allow ourselves (TestBytesPerEntry).
func TestPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const limit, names, requests = 4 << 20, 100_000, 240_000
	key := len(testKey(0))
	room := limit / (key + wire.HeaderBytes + key - 1 + policyRecords + 64)
	zipf := newZipf(names, 0.99)
	rng := rand.New(rand.NewPCG(5, 5))
	plain := make([]int, requests)
	for i := range plain {
		plain[i] = zipf.draw(rng)
	}
	var flooded, scan []int
	for i, name := range plain[:requests/2] {
		flooded = append(flooded, name)
		for n := range 10 {
			flooded = append(flooded, names+10*i+n)
		}
	}
	for i := range requests {
		scan = append(scan, i%(2*room))
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-32s %9s %9s %9s %9s\n", "trace", "shard", "LRU", "SIEVE", "optimum")
	for _, c := range []struct {
		name  string
		trace []int
	}{{"Zipf 0.99", plain}, {"the same, 10 x random subdomains", flooded}, {"scan over twice the room", scan}} {
		ratio := func(p policy) float64 {
			hits, counted := 0, 0
			for at, name := range c.trace {
				hit := p.get(at, name)
				if at >= len(c.trace)/4 && name < names {
					counted++
					if hit {
						hits++
					}
				}
			}
			return float64(hits) / float64(counted)
		}
		s := newShard(t, limit)
		shard := ratio(&shardNames{s, testAnswer(1, policyRecords)})
		checkInvariants(t, s)
		lru := ratio(&lruNames{room, list.New(), map[int]*list.Element{}})
		sieve := ratio(&sieve{room: room, order: list.New(), names: map[int]*list.Element{}})
		best := ratio(newOptimum(room, c.trace))
		fmt.Fprintf(&table, "%-32s %8.2f%% %8.2f%% %8.2f%% %8.2f%%\n", c.name, 100*shard, 100*lru, 100*sieve, 100*best)
		if shard < lru {
			t.Errorf("%s: %.4f, LRU has %.4f", c.name, shard, lru)
		}
		if shard < sieve-0.005 {
			t.Errorf("%s: %.4f, SIEVE has %.4f", c.name, shard, sieve)
		}
		if best < shard || best < sieve || best < lru {
			t.Errorf("%s: the optimum %.4f is beaten: it is none, or the room is not the same", c.name, best)
		}
	}
	t.Logf("%d names have room%s", room, table.String())
}
