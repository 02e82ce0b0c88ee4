package admission

import (
	"cmp"
	"slices"
)

// Refusal is a source that is refused a share of what it sends.
type Refusal struct {
	Source  Source
	Offered float64 // datagrams/s that it sends, as estimated
	Share   float64 // of them that is refused, 0 to refusedMost
}

// share fills in what each source of list is refused so that excess datagrams/s are, and returns those that are refused anything, the
// heaviest first. Max-min fairness: all that are refused anything are left the same, the fair share, and all others send no more than it.
// A fair share is least at the least. nobody is returned where the sources cannot be held responsible: even so they do not account for
// half of the excess.
func share(list []Refusal, excess, least float64) (refused []Refusal, nobody bool) {
	if excess <= 0 {
		return list[:0], false
	}
	slices.SortFunc(list, func(a, b Refusal) int { return cmp.Compare(b.Offered, a.Offered) })
	list = list[:min(len(list), RefusedMax)]
	fair, sum, n := 0.0, 0.0, 0
	for n < len(list) && list[n].Offered > max(fair, least) {
		sum += list[n].Offered
		n++
		fair = (sum - excess) / float64(n)
	}
	if fair < least {
		fair = least
		if sum-float64(n)*least < excess/2 {
			return list[:0], true
		}
	}
	for i := range list[:n] {
		list[i].Share = min(1-fair/list[i].Offered, refusedMost)
	}
	for n > 0 && list[n-1].Share < oddsGrain {
		n--
	}
	return list[:n], false
}
