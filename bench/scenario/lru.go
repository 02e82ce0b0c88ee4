package scenario

import (
	"math/rand/v2"
	"sort"
)

// lruHitRatio is what an LRU of so many entries has under Zipf's law with exponent 1 over so many names: warm draws first,
// then the ratio over the measured draws. It stands for "an LRU of the same number of bytes" where all entries are equally
// large, which they are here.
func lruHitRatio(names, entries, warm, measured int, seed uint64) float64 {
	draw := newZipfDraws(names, seed)
	cache := newLRU(names, entries)
	for range warm {
		cache.use(draw.next())
	}
	hits := 0
	for range measured {
		if cache.use(draw.next()) {
			hits++
		}
	}
	return float64(hits) / float64(max(1, measured))
}

// zipfDraws draws ranks 0..names-1, rank r with a weight of 1/(r+1).
type zipfDraws struct {
	upTo   []float64 // cumulated weights
	random *rand.Rand
}

func newZipfDraws(names int, seed uint64) *zipfDraws {
	z := &zipfDraws{upTo: make([]float64, names), random: rand.New(rand.NewPCG(seed, 0))}
	sum := 0.0
	for r := range names {
		sum += 1 / float64(r+1)
		z.upTo[r] = sum
	}
	return z
}

func (z *zipfDraws) next() int32 {
	at := z.random.Float64() * z.upTo[len(z.upTo)-1]
	return int32(sort.SearchFloat64s(z.upTo, at))
}

// lru is a list of names by last use, linked by index: slot names is head and tail.
type lru struct {
	newer, older []int32 // absent: its own index
	room, head   int32
}

func newLRU(names, entries int) *lru {
	l := &lru{newer: make([]int32, names+1), older: make([]int32, names+1), room: int32(entries), head: int32(names)}
	for i := range l.newer {
		l.newer[i], l.older[i] = int32(i), int32(i)
	}
	return l
}

// use tells whether the name is kept, and makes it the most recently used.
func (l *lru) use(name int32) bool {
	hit := l.newer[name] != name
	switch {
	case hit:
		l.unlink(name)
	case l.room > 0:
		l.room--
	default:
		l.unlink(l.newer[l.head]) // head.newer is the oldest one: the list is a ring
	}
	last := l.older[l.head]
	l.older[name], l.newer[name] = last, l.head
	l.newer[last], l.older[l.head] = name, name
	return hit
}

func (l *lru) unlink(name int32) {
	l.newer[l.older[name]], l.older[l.newer[name]] = l.newer[name], l.older[name]
	l.newer[name], l.older[name] = name, name
}
