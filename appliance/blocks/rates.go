package blocks

import (
	"math"
	"slices"
	"time"

	"secure-dns-proxy/worker/census"
)

// rates are what somebody does a second.
type rates struct {
	queries, misses, answers, bytes, distinct float64
	rcodes                                    [census.RCodes]float64
	types                                     [census.TypesMax]float64
}

// add adds b, scaled.
func (a *rates) add(b *rates, scale float64) {
	a.queries += b.queries * scale
	a.misses += b.misses * scale
	a.answers += b.answers * scale
	a.bytes += b.bytes * scale
	a.distinct += b.distinct * scale
	for i := range a.rcodes {
		a.rcodes[i] += b.rcodes[i] * scale
	}
	for i := range a.types {
		a.types[i] += b.types[i] * scale
	}
}

// measure returns what a rule looks at; false: too little to tell.
func (a *rates) measure(r *Rule, types []uint16) (float64, bool) {
	switch r.Watch {
	case QueryRate:
		return a.queries, true
	case RCodeRate:
		return a.rcodes[r.RCode], true
	case RCodeRatio:
		return percent(a.rcodes[r.RCode], a.answers), a.answers >= r.Least
	case TypeRate:
		i := slices.Index(types, r.Type)
		return a.types[max(i, 0)], i >= 0
	case MissRatio:
		return percent(a.misses, a.queries), a.queries >= r.Least
	case ByteRate:
		return a.bytes, true
	default:
		return a.distinct, percent(a.rcodes[census.NXDomain]+a.rcodes[census.ServFail], a.answers) >= r.Failed
	}
}

func percent(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return min(100, 100*part/whole)
}

// track is what is known of one source or name: its rates over each window.
type track struct {
	over [windowsMax]rates
}

// learn takes in what was done a second in the time that has passed; nil: nothing.
func (t *track) learn(now *rates, windows []time.Duration, passed time.Duration) {
	for i, window := range windows {
		share := math.Exp(-passed.Seconds() / window.Seconds())
		old := t.over[i]
		t.over[i] = rates{}
		t.over[i].add(&old, share)
		if now != nil {
			t.over[i].add(now, 1-share)
		}
	}
}

// tracks are those of all sources, or of all names.
type tracks[K comparable] map[K]*track

// learn brings all tracks up to date.
func (all tracks[K]) learn(now map[K]*rates, windows []time.Duration, passed time.Duration) {
	for key := range now {
		if all[key] == nil {
			all[key] = new(track)
		}
	}
	for key, t := range all {
		t.learn(now[key], windows, passed)
		if now[key] == nil && t.most() < forgotten {
			delete(all, key)
		}
	}
	all.shrink()
}

// most returns the highest rate of queries.
func (t *track) most() float64 {
	m := 0.0
	for i := range t.over {
		m = max(m, t.over[i].queries)
	}
	return m
}

// shrink forgets those with the least until tracksMax are left.
func (all tracks[K]) shrink() {
	if len(all) <= tracksMax {
		return
	}
	var list []float64
	for _, t := range all {
		list = append(list, t.most())
	}
	slices.Sort(list)
	least := list[len(list)-tracksMax]
	for key, t := range all {
		if t.most() < least || len(all) > tracksMax && t.most() == least {
			delete(all, key)
		}
	}
}
