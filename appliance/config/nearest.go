package config

import "strings"

// nearest returns the known key that is the fewest typing errors away from name. A key that merely stands in the wrong table
// counts as one error, so "max_ttl" at top level finds "cache.max_ttl".
func nearest(name string, known []string) string {
	best, _ := closest(name, known)
	return best
}

// near is nearest, and whether that is likely what was meant: at least half of it is as written.
func near(name string, known []string) (string, bool) {
	best, cost := closest(name, known)
	return best, cost <= max(1, len(lastPart(name))/2)
}

// closest returns the number of errors too.
func closest(name string, known []string) (best string, bestCost int) {
	bestCost = 1 << 30
	for _, k := range known {
		cost := min(distance(name, k), distance(lastPart(name), lastPart(k))+1)
		if cost < bestCost {
			best, bestCost = k, cost
		}
	}
	return best, bestCost
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment). Both strings are
// key names: short, so quadratic is fine.
func distance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
