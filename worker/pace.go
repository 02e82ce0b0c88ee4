package worker

import "time"

// pace holds what happens to so many a second, with a second's worth at once: a token bucket that is the time at which it is full. The zero value is one
// without a limit.
type pace struct{ interval int64 } // ns from one to the next; 0: no limit

// paceOf is one worker's share of so many a second; 0: no limit.
func paceOf(perSecond, workers int) pace {
	if perSecond == 0 {
		return pace{}
	}
	return pace{interval: int64(time.Second) * int64(workers) / int64(perSecond)}
}

// ready reports whether one more is within the pace, of a bucket that is full at that time. One is always within it after an interval.
func (p pace) ready(full, now int64) bool {
	return p.interval == 0 || max(full, now)+p.interval <= now+max(int64(time.Second), p.interval)
}

// spend returns when the bucket is full that one more has been taken from.
func (p pace) spend(full, now int64) int64 {
	if p.interval == 0 {
		return full
	}
	return max(full, now) + p.interval
}
