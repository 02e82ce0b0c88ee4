package inflight

import "math/bits"

// wheel holds at most one timer per slot, in buckets of one tick each.
//
//	cursor          first tick not yet collected; buckets stand for the ticks cursor .. cursor+wheelBuckets-1
//	bucket list     timers of one tick; in the last bucket also later ones, which are put on again when it is collected
//	due list        timers collected and not yet handed out
//
// Lists are circular and doubly linked through node numbers, with one sentinel node per list, so a timer leaves its list without
// knowing which one it is. Occupied buckets are marked in a bitmap with a summary, so a gap of any length costs a few words of
// scanning, and never more than one lap.
type wheel struct {
	nodes    []wheelNode
	cursor   int64
	occupied [wheelBuckets / 64]uint64
	summary  [wheelBuckets / 64 / 64]uint64 // bit i: occupied[i] != 0
}

// wheelNode is a timer or the sentinel of a list. next == 0: not in any list (zeroed memory is an idle wheel).
type wheelNode struct {
	tick int64
	next uint32
	prev uint32
}

// Node numbers. 0 stands for none.
const (
	nodeDue     = 1
	nodeBuckets = 2
	nodeTimers  = nodeBuckets + wheelBuckets
)

// wheelNodes returns how many nodes a wheel for so many timers needs.
func wheelNodes(timers int) int { return nodeTimers + timers }

// tickAtOrAfter rounds up, so that no timer fires before its time.
func tickAtOrAfter(at int64) int64 {
	tick := at / TickNanos
	if at%TickNanos > 0 {
		tick++
	}
	return tick
}

// schedule puts the timer on, wherever it was before. A time that is over means the next tick that is collected.
func (w *wheel) schedule(timer uint32, at int64) {
	node := nodeTimers + timer
	if w.nodes[node].next != 0 {
		w.unlink(node)
	}
	w.nodes[node].tick = tickAtOrAfter(at)
	w.place(node)
}

// cancel takes the timer off; a timer that is not on stays off.
func (w *wheel) cancel(timer uint32) {
	if node := nodeTimers + timer; w.nodes[node].next != 0 {
		w.unlink(node)
	}
}

// expired returns a timer whose tick is not after now, and takes it off. It hands out nothing twice: what is scheduled while the caller
// drains the wheel at one now comes at a later one.
func (w *wheel) expired(now int64) (timer uint32, ok bool) {
	tick := now / TickNanos
	if tick >= w.cursor {
		w.collect(tick)
	}
	for due := &w.nodes[nodeDue]; due.next > nodeDue; {
		node := due.next
		w.unlink(node)
		if w.nodes[node].tick <= tick {
			return node - nodeTimers, true
		}
		w.place(node) // Was further away than the wheel reaches.
	}
	return 0, false
}

// next returns the earliest time in ns at which expired may return something: exact for what lies within a lap, early for what lies
// beyond; now if something is due; -1 if no timer is on.
func (w *wheel) next(now int64) int64 {
	if w.nodes[nodeDue].next > nodeDue {
		return now
	}
	tick, ok := w.occupiedFrom(w.cursor)
	if !ok {
		return -1
	}
	return tick * TickNanos
}

// collect moves the buckets of all ticks up to and including last to the due list, and the cursor behind them.
func (w *wheel) collect(last int64) {
	for {
		tick, ok := w.occupiedFrom(w.cursor)
		if !ok || tick > last {
			break
		}
		w.splice(bucketOf(tick))
		w.cursor = tick + 1
	}
	w.cursor = last + 1
}

// place links the node into the bucket of its tick, or the nearest that the wheel has.
func (w *wheel) place(node uint32) {
	tick := min(max(w.nodes[node].tick, w.cursor), w.cursor+wheelBuckets-1)
	bucket := bucketOf(tick)
	list := nodeBuckets + bucket
	if w.nodes[list].next == 0 || w.nodes[list].next == list {
		w.nodes[list].next, w.nodes[list].prev = list, list
		w.mark(bucket)
	}
	last := w.nodes[list].prev
	w.nodes[node].next, w.nodes[node].prev = list, last
	w.nodes[last].next, w.nodes[list].prev = node, node
}

// unlink takes the node out of its list, and unmarks the bucket that this empties.
func (w *wheel) unlink(node uint32) {
	next, prev := w.nodes[node].next, w.nodes[node].prev
	w.nodes[prev].next, w.nodes[next].prev = next, prev
	w.nodes[node].next, w.nodes[node].prev = 0, 0
	if next == prev && next >= nodeBuckets && next < nodeTimers {
		w.unmark(next - nodeBuckets)
	}
}

// splice moves a bucket's whole list, which is not empty, to the end of the due list.
func (w *wheel) splice(bucket uint32) {
	list := nodeBuckets + bucket
	if w.nodes[nodeDue].next == 0 {
		w.nodes[nodeDue].next, w.nodes[nodeDue].prev = nodeDue, nodeDue
	}
	first, last := w.nodes[list].next, w.nodes[list].prev
	dueLast := w.nodes[nodeDue].prev
	w.nodes[dueLast].next, w.nodes[first].prev = first, dueLast
	w.nodes[last].next, w.nodes[nodeDue].prev = nodeDue, last
	w.nodes[list].next, w.nodes[list].prev = list, list
	w.unmark(bucket)
}

func bucketOf(tick int64) uint32 { return uint32(tick) & (wheelBuckets - 1) }

func (w *wheel) mark(bucket uint32) {
	w.occupied[bucket/64] |= 1 << (bucket % 64)
	w.summary[bucket/64/64] |= 1 << (bucket / 64 % 64)
}

func (w *wheel) unmark(bucket uint32) {
	w.occupied[bucket/64] &^= 1 << (bucket % 64)
	if w.occupied[bucket/64] == 0 {
		w.summary[bucket/64/64] &^= 1 << (bucket / 64 % 64)
	}
}

// occupiedFrom returns the first tick from the given one on, within one lap, whose bucket is not empty.
func (w *wheel) occupiedFrom(tick int64) (int64, bool) {
	from := bucketOf(tick)
	bucket, ok := w.markedFrom(from)
	if !ok {
		bucket, ok = w.markedFrom(0) // The lap's other part: buckets below from.
	}
	return tick + int64((bucket-from)&(wheelBuckets-1)), ok
}

// markedFrom returns the first marked bucket from..wheelBuckets-1.
func (w *wheel) markedFrom(from uint32) (bucket uint32, ok bool) {
	word := from / 64
	if rest := w.occupied[word] >> (from % 64); rest != 0 {
		return from + uint32(bits.TrailingZeros64(rest)), true
	}
	word++
	for group := word / 64; group < uint32(len(w.summary)); group++ {
		words := w.summary[group]
		if group == word/64 {
			words &= ^uint64(0) << (word % 64)
		}
		if words != 0 {
			word = group*64 + uint32(bits.TrailingZeros64(words))
			return word*64 + uint32(bits.TrailingZeros64(w.occupied[word])), true
		}
	}
	return 0, false
}
