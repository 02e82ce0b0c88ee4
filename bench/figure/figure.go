package figure

import (
	"errors"
	"math"
	"slices"
)

// Name is a kind of number, with its unit last.
type Name string

const (
	QPS           Name = "qps"           // right answers per second, closed loop unless the scenario says otherwise
	CPU           Name = "cpu_us"        // CPU time of all the server's threads per answer, microseconds
	User          Name = "user_us"       // its user part; the kernel splits by sampling 250 times a second
	System        Name = "system_us"     // its system part
	Busy          Name = "busy"          // CPU time of the server per second and CPU it has, 0 to 1
	Lost          Name = "lost"          // share of queries without a right answer in time
	Failed        Name = "failed"        // share of answers with another RCODE than NOERROR
	P50           Name = "p50_us"        // latency under closed loop
	Half50        Name = "half_p50_us"   // latency from the intended send time at half of the QPS of the same turn
	Half99        Name = "half_p99_us"   // same
	Half999       Name = "half_p999_us"  // same
	HalfCPU       Name = "half_cpu_us"   // CPU time per answer there
	HalfLost      Name = "half_lost"     // share of queries lost there
	RSS           Name = "rss_mib"       // resident memory after the load
	HitRatio      Name = "hit_ratio"     // answers that cost the backend no query
	Backend       Name = "backend_us"    // CPU time of the backend per query it answered
	Distance      Name = "distance_ns"   // there and back between the CPUs of server and generator, the longer of before and after
	Generator     Name = "generator"     // share of the generator's CPUs that it used, 0 to 1
	Bound         Name = "bound"         // 1 if the generator says it was the bottleneck
	LRUHitRatio   Name = "lru_hit_ratio" // what an LRU of the same bytes has on the same number of draws
	AlikeQPS      Name = "alike_qps"     // (a)'s names and as many new ones as make the hit ratio of the same turn
	AlikeCPU      Name = "alike_cpu_us"  // CPU time per answer there
	AlikeHitRatio Name = "alike_hit_ratio"
	Goodput       Name = "goodput"         // flood: answers per second over QPS of the same turn
	Offered       Name = "offered"         // flood: queries sent per second over QPS of the same turn
	LightLost     Name = "light_lost"      // flood: share of the light client's queries that were lost
	Light50       Name = "light_p50_us"    // flood: its latency
	Light99       Name = "light_p99_us"    // same
	EntryBytes    Name = "entry_bytes"     // memory per cached answer, by the program's own account
	EntryRSS      Name = "entry_rss"       // memory per cached answer, by the growth of RSS
	Entries       Name = "entries"         // answers in the cache, by the program's own account
	StartMs       Name = "start_ms"        // from exec to the first answer
	StartCPU      Name = "start_cpu_ms"    // CPU time until then
	ReloadMs      Name = "reload_ms"       // from the signal to the new configuration in force
	ReloadLost    Name = "reload_lost"     // queries lost in a run of queries around it, a count
	ReloadMax     Name = "reload_max_us"   // the longest answer of them
	Alone50       Name = "alone_p50_us"    // one query at a time
	Alone99       Name = "alone_p99_us"    // same
	Scaling       Name = "scaling"         // QPS over workers times the QPS of one worker
	EngineHits    Name = "engine_hits"     // CPU time of an answer by recvmmsg over that by io_uring, asked by turns: hits
	EngineMissUDP Name = "engine_miss_udp" // same, misses over Do53
	EngineMissTLS Name = "engine_miss_tls" // same, misses over DoT
	Calm999       Name = "calm_p999_us"    // pauses: p99.9 at half load with nothing else going on
	Scrape999     Name = "scrape_p999_us"
	Reload999     Name = "reload_p999_us"
	Policy999     Name = "policy_p999_us" // with reloads of rules, a large set and a policy zone
	Policies      Name = "policy_reloads" // in that run
	Dump999       Name = "dump_p999_us"
	GC999         Name = "gc_p999_us" // with scrapes, under a garbage collector that runs far more often than it would
	GCCycles      Name = "gc_cycles"  // in that run
)

// Sample is one turn.
type Sample map[Name]float64

// Series is the turns of one program; nil where a turn failed.
type Series []Sample

// Spread sums up turns.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Turns  int     `json:"turns"` // that it sums up; 0: nothing was measured and the rest is 0
}

// Summarize takes the median (of an even number: the mean of the middle two) and the extremes. NaN and infinities are
// left out.
func Summarize(values []float64) Spread {
	sorted := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			sorted = append(sorted, v)
		}
	}
	n := len(sorted)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1], Turns: n}
}

// Values are the turns that have the figure.
func (s Series) Values(name Name) []float64 {
	var values []float64
	for _, turn := range s {
		if v, ok := turn[name]; ok {
			values = append(values, v)
		}
	}
	return values
}

// Of sums up one figure.
func (s Series) Of(name Name) Spread { return Summarize(s.Values(name)) }

// ErrNotMeasured says that a figure needed for another one is missing in every turn.
var ErrNotMeasured = errors.New("not measured")

// Ratio sums up name of s over name of base, turn by turn.
func Ratio(s, base Series, name Name) (Spread, error) { return RatioOf(s, name, base, name) }

// RatioOf is Ratio of two different figures.
func RatioOf(s Series, name Name, base Series, baseName Name) (Spread, error) {
	return Combine(func(turn int) (float64, bool) {
		if turn >= len(s) || turn >= len(base) {
			return 0, false
		}
		a, ok := s[turn][name]
		b, baseOK := base[turn][baseName]
		return a / b, ok && baseOK && b != 0
	}, max(len(s), len(base)))
}

// Combine sums up what of(turn) gives for each turn that has it.
func Combine(of func(turn int) (float64, bool), turns int) (Spread, error) {
	var values []float64
	for turn := range turns {
		if v, ok := of(turn); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return Spread{}, ErrNotMeasured
	}
	return Summarize(values), nil
}
