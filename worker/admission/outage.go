package admission

// outage remembers what upstreams could do before no answer came for outageLeast, which says nothing about how much they can do when they are back.
// Then twice as much is let in at each look, as far as there is room, until as much is answered as before; if it is not soon, they have less strength
// than they had, and how much is found out as always.
type outage struct {
	silent int64   // ns: since when nothing has been answered; 0: it has
	last   float64 // questions/s that were answered until then
	before float64 // the same of an outage that is not over; 0: there is none
	backAt int64   // ns: when the first answers came again; 0: they have not
}

// see takes in that so many questions a second were answered since the last look, answered on average up to that look. It reports whether upstreams
// have come back and are not yet what they were; over: that this has just ended.
func (o *outage) see(now int64, answered, rate float64) (returning, over bool) {
	if rate == 0 {
		if o.silent == 0 {
			o.silent, o.last = now, answered
		}
		if now-o.silent >= int64(outageLeast) {
			o.before, o.backAt = max(o.before, o.last), 0
		}
		return false, false
	}
	o.silent = 0
	if o.before == 0 {
		return false, false
	}
	if o.backAt == 0 {
		o.backAt = now
	}
	if answered < o.before*nearly && now-o.backAt < int64(returnLongest) {
		return true, false
	}
	*o = outage{}
	return false, true
}
