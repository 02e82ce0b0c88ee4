package transport

import (
	"slices"
	"testing"
	"time"
)

// TestQuotasDiffer: connections opened together do not end together, none of them beyond the limit or before three quarters of it.
func TestQuotasDiffer(t *testing.T) {
	const queries, age, opened = 1000, time.Hour, 5 * time.Minute
	end := &Endpoint{MaxQueries: queries, MaxAge: age}
	var counts []int
	var ages []time.Duration
	for range 1000 {
		q := NewQuota(end, opened)
		counts, ages = append(counts, q.Queries), append(ages, q.Until-opened)
	}
	slices.Sort(counts)
	slices.Sort(ages)
	if low, high := counts[0], counts[999]; low < queries*3/4 || high > queries || high-low < queries/8 {
		t.Errorf("from %d to %d queries", low, high)
	}
	if low, high := ages[0], ages[999]; low < age*3/4 || high > age || high-low < age/8 {
		t.Errorf("ages from %v to %v", low, high)
	}
	if q := NewQuota(&Endpoint{}, opened); q != (Quota{}) {
		t.Errorf("without limits: %+v", q)
	}
}
