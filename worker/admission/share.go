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

// share fills in what each source of list is refused when they and others together offer so many datagrams/s and so many may be let in, and
// returns those that are refused anything, the heaviest first. Max-min fairness: all that are refused anything are left the same, the fair
// share, and all others send no more than that. Fewer than the capacity may be let in because the queue is long; who is heavy is then still
// told by drainMost of the capacity, as it is not for light sources to shorten the queue. nobody: the sources cannot be held responsible,
// since even with a fair share of only fairMin of the capacity they do not account for half of the excess.
func share(list []Refusal, offered, admissible, capacity float64) (refused []Refusal, nobody bool) {
	excess := offered - max(admissible, capacity*drainMost)
	if excess <= 0 {
		return list[:0], false
	}
	slices.SortFunc(list, func(a, b Refusal) int { return cmp.Compare(b.Offered, a.Offered) })
	list = list[:min(len(list), RefusedMax)]
	fair, least, sum, n := 0.0, capacity*fairMin, 0.0, 0
	for n < len(list) && list[n].Offered > max(fair, least) {
		sum += list[n].Offered
		n++
		fair = (sum - excess) / float64(n)
	}
	if fair < least && sum-float64(n)*least < excess/2 {
		return list[:0], true
	}
	if n > 0 {
		fair = max((sum-(offered-admissible))/float64(n), least)
	}
	for i := range list[:n] {
		list[i].Share = min(1-fair/list[i].Offered, refusedMost)
	}
	for n > 0 && list[n-1].Share < oddsGrain {
		n--
	}
	return list[:n], false
}
