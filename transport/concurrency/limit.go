// Package concurrency limits how many exchanges one worker has under way with one upstream, by what it sees: while answers come as quickly as
// usual there is no limit but the static one; when they take far longer than usual, or stop, the limit falls, and rises again when they
// are back. A slow upstream so sheds early, where its queries would fill the in-flight table and take it from the others.
//
//	a window    100 ms and at least 8 outcomes, at most 2 s: mean latency, share of timeouts
//	usual       the mean over many windows (EWMA), slow to rise, quick to fall
//	congested   mean > max(2 x usual, floor), or more than a fifth of the outcomes are timeouts
//	            (at the least limit for ten windows: load is not the reason, and the mean is the usual one from now on)
//	limit       congested: x usual/mean, at least x 0.5; else + 1/8 of itself, if it was used
//
// This is the gradient of known adaptive-concurrency work (Netflix concurrency-limits, Envoy) with a floor under which no latency counts as
// congestion: between an upstream's own cache and its recursion lie two orders of magnitude, and shedding costs a client its answer.
//
// A pure function of what it is told; one worker, one upstream, one Limit. Times in ns.
package concurrency

// Limit is the zero value or the result of New. The zero value never limits.
type Limit struct {
	most  float64
	limit float64
	usual float64 // ns; 0: not known

	start           int64 // of the window
	sum             float64
	answers, losses uint32
	peak            int // outstanding
	stuck           int // windows in a row that were congested at Least
}

// New returns a limit that starts at most, the static cap, at least Least.
func New(most int) Limit {
	m := float64(max(most, Least))
	return Limit{most: m, limit: m}
}

// Value returns how many exchanges may be under way now. The zero Limit has no bound.
func (l *Limit) Value() int {
	if l.most == 0 {
		return int(^uint(0) >> 1)
	}
	return int(l.limit)
}

// Answered takes in an answer that took ns while outstanding exchanges were under way.
func (l *Limit) Answered(now, ns int64, outstanding int) {
	l.sum += float64(max(ns, 1))
	l.answers++
	l.close(now, outstanding)
}

// Lost takes in that an exchange got no answer in its time. Refusals and lost connections are no sign of load and are not told.
func (l *Limit) Lost(now int64, outstanding int) {
	l.losses++
	l.close(now, outstanding)
}

// close ends the window if it is time to, and moves the limit.
func (l *Limit) close(now int64, outstanding int) {
	l.peak = max(l.peak, outstanding)
	age, outcomes := now-l.start, l.answers+l.losses
	if l.most == 0 || age < windowNS || outcomes < windowOutcomes && age < windowMaxNS {
		return
	}
	l.judge(outcomes)
	l.start, l.sum, l.answers, l.losses, l.peak = now, 0, 0, 0, 0
}

func (l *Limit) judge(outcomes uint32) {
	lost := l.losses*lossShare > outcomes
	if l.answers == 0 {
		if lost {
			l.limit = max(l.limit*cutMost, Least)
		}
		return
	}
	mean := l.sum / float64(l.answers)
	if l.usual == 0 {
		l.usual = mean
	}
	bound := max(tolerance*l.usual, float64(FloorNS))
	switch {
	case lost || mean > bound:
		gradient := max(min(bound/mean, 1), cutMost)
		if lost {
			gradient = cutMost
		}
		// From what was really under way: a limit that nobody reaches must not take a minute to come down to where it matters.
		l.limit = max(min(l.limit, float64(l.peak)*2)*gradient, Least)
	case 2*l.peak >= int(l.limit):
		l.limit = min(l.limit+max(l.limit*growth, 1), l.most)
	}
	if l.limit > Least || mean <= bound {
		l.stuck = 0
	} else if l.stuck++; l.stuck >= stuckMax {
		l.usual, l.stuck = mean, 0
	}
	if mean < l.usual {
		l.usual += (mean - l.usual) * usualFall
	} else {
		l.usual += (mean - l.usual) * usualRise
	}
}
