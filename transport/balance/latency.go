package balance

import "math"

// Latency is what one worker has seen of one upstream. The zero value has seen nothing.
type Latency struct {
	mean    float64 // ns, peak-EWMA
	at      int64   // ns, of the last sample
	tail    float64 // ns, 95th percentile
	samples uint32  // up to tailSamplesMin
}

// Observe takes in that an exchange took ns, or failed after ns. A latency above the mean becomes the mean at once, one below draws it
// down slowly: one slow answer is enough to try others, many quick ones to come back.
func (l *Latency) Observe(now, ns int64) {
	sample := float64(max(ns, 1))
	if l.samples == 0 {
		l.mean, l.tail = sample, sample
	}
	if sample >= l.mean {
		l.mean = sample
	} else {
		keep := math.Exp(-float64(max(now-l.at, 0)) / decayNS)
		l.mean = l.mean*keep + sample*(1-keep)
	}
	if sample > l.tail { // moves up as often as 0.05 x the steps that 0.95 of all take down: rests where one in twenty is above
		l.tail += l.tail * tailStep * 0.95
	} else {
		l.tail -= l.tail * tailStep * 0.05
	}
	l.at = now
	l.samples = min(l.samples+1, tailSamplesMin)
}

// Expected returns the latency to expect now in ns, 0 when nothing is known. What was seen long ago counts for less: an upstream that was
// slow is tried again.
func (l *Latency) Expected(now int64) int64 {
	if l.samples == 0 {
		return 0
	}
	idle := max(now-l.at, 0)
	return max(int64(l.mean*math.Exp(-float64(idle)/decayNS)), 1)
}

// Tail returns the 95th percentile of latencies in ns, 0 while too few were seen.
func (l *Latency) Tail() int64 {
	if l.samples < tailSamplesMin {
		return 0
	}
	return int64(l.tail)
}
