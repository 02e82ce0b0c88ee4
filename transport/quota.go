package transport

import (
	"math/rand/v2"
	"time"
)

// Quota is the share of one connection (Endpoint.MaxQueries, MaxAge). Each gets a little less than the endpoint allows, by chance, so that
// the connections of many workers, opened together, do not end together.
type Quota struct {
	Queries int           // 0: no bound
	Until   time.Duration // since Base; 0: no bound
}

// NewQuota returns the share of a connection of end.
func NewQuota(end *Endpoint, opened time.Duration) (q Quota) {
	if n := end.MaxQueries; n > 0 {
		q.Queries = n - rand.IntN(n/4+1)
	}
	if d := end.MaxAge; d > 0 {
		q.Until = opened + d - rand.N(d/4+1)
	}
	return q
}

// Spent reports whether a connection that has taken so many queries has done its share, and which.
func (q Quota) Spent(queries int, now time.Duration) (Retirement, bool) {
	switch {
	case q.Queries > 0 && queries >= q.Queries:
		return RetiredQueries, true
	case q.Until > 0 && now >= q.Until:
		return RetiredAge, true
	}
	return 0, false
}
