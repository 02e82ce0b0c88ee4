package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// The names of the metrics that tests add up.
const (
	metricQueries    = "sdp_queries_total"
	metricHits       = "sdp_cache_hits_total"
	metricMisses     = "sdp_cache_misses_total"
	metricCoalesced  = "sdp_coalesced_total"
	metricFollowed   = "sdp_followed_total"
	metricAnswers    = "sdp_answers_total"
	metricDrops      = "sdp_drops_total"
	metricExchanges  = "sdp_upstream_exchanges_total"
	metricEngine     = "sdp_engine"
	metricCacheBytes = "sdp_cache_bytes"
	metricEvictions  = "sdp_cache_evictions_total"
)

// settleTimeout is how long figures may take to show what a client has already seen: workers publish when they are idle.
const settleTimeout = 5 * time.Second

func itoa(n int) string { return strconv.Itoa(n) }

var namesAsked atomic.Int64

// freshName is a name that nobody has asked for, and that unbound answers.
func freshName() string { return "fresh" + itoa(int(namesAsked.Add(1))) + ".bulk.example" }

// engineOf is the engine that the proxy says it uses.
func engineOf(t *testing.T, proxy *rig.Proxy) string {
	t.Helper()
	for labels, value := range proxy.Metrics(t).Values(metricEngine) {
		if value != 1 {
			continue
		}
		for label := range strings.SplitSeq(labels, ",") {
			if engine, ok := strings.CutPrefix(label, `engine="`); ok {
				return strings.TrimSuffix(engine, `"`)
			}
		}
	}
	return ""
}

// counts are the figures of a proxy between two scrapes.
type counts struct {
	queries, hits, misses, coalesced, followed, answers, drops, exchanges int
	rcodes                                                                map[string]int
}

func countsBetween(t *testing.T, before, after rig.Metrics) counts {
	t.Helper()
	d := after.Delta(before)
	sum := func(name string) int { return int(d.Sum(t, name)) }
	c := counts{
		queries: sum(metricQueries), hits: sum(metricHits), misses: sum(metricMisses), coalesced: sum(metricCoalesced),
		followed: sum(metricFollowed), answers: sum(metricAnswers), drops: sum(metricDrops), exchanges: sum(metricExchanges), rcodes: map[string]int{},
	}
	for labels, value := range d.Values(metricAnswers) {
		if value > 0 {
			c.rcodes[labels] = int(value)
		}
	}
	return c
}

// settled scrapes until as many answers are counted as the clients got, and checks that the figures add up.
func settled(t *testing.T, proxy *rig.Proxy, before rig.Metrics, answered int) counts {
	t.Helper()
	var c counts
	rig.Holds(settleTimeout, func() bool {
		c = countsBetween(t, before, proxy.Metrics(t))
		return c.answers >= answered
	})
	if c.answers != answered || c.queries != answered {
		t.Errorf("/metrics counts %d queries and %d answers, clients saw %d: %+v", c.queries, c.answers, answered, c)
	}
	if c.hits+c.misses+c.coalesced+c.followed != c.queries {
		t.Errorf("/metrics: %d hits + %d misses + %d coalesced + %d followed are not %d queries", c.hits, c.misses, c.coalesced, c.followed, c.queries)
	}
	if c.exchanges < c.misses {
		t.Errorf("/metrics: %d exchanges with upstreams for %d misses", c.exchanges, c.misses)
	}
	if c.drops != 0 {
		t.Errorf("/metrics: %d drops", c.drops)
	}
	return c
}

// wantFigure waits until a figure is as it should be: workers publish when they are idle.
func wantFigure(t *testing.T, proxy *rig.Proxy, want float64, metric string, labels ...string) {
	t.Helper()
	var got float64
	if !rig.Holds(settleTimeout, func() bool { got = proxy.Metrics(t).Sum(t, metric, labels...); return got == want }) {
		t.Errorf("%s%v is %v, want %v", metric, labels, got, want)
	}
}

// want fails unless got is between low and high, both included.
func wantBetween(t *testing.T, what string, got, low, high int) {
	t.Helper()
	if got < low || got > high {
		want := fmt.Sprint(low)
		if high != low {
			want = fmt.Sprintf("%d to %d", low, high)
		}
		t.Errorf("%s: got %d, want %s", what, got, want)
	}
}
