package tally

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/tools/dnsload/pending"
)

const (
	// busyShareMax: a closed-loop run during which the generator's CPUs were busy for more than this measures the generator.
	busyShareMax = 0.97
	// unsentShareMax: an open-loop run that did not send more than this of what was due did not offer its rate.
	unsentShareMax = 0.01
)

// Setting is how a run was set up, as the report repeats it.
type Setting struct {
	Target    string  `json:"target"`
	Transport string  `json:"transport"` // udp, tcp, dot
	Mode      string  `json:"mode"`      // closed, open
	Window    int     `json:"window"`    // queries outstanding at most
	Rate      float64 `json:"rate"`      // queries/s intended, 0 in closed loop
	Flows     int     `json:"flows"`     // UDP sockets or connections
	CPUs      int     `json:"cpus"`      // processors the generator may use
	Spin      bool    `json:"spin"`      // the generator never slept
	Names     string  `json:"names"`
	Seed      uint64  `json:"seed"`
}

// Report is the outcome of a run. All counts are of queries due in the measured time; Queries = Answered + Lost.
type Report struct {
	Setting
	Started  time.Time `json:"started"` // of the measured time
	Seconds  float64   `json:"seconds"` // measured
	Queries  uint64    `json:"queries"`
	Answered uint64    `json:"answered"`
	Lost     uint64    `json:"lost"`   // no right answer within the timeout
	Unsent   uint64    `json:"unsent"` // open loop: due, never sent

	Wrong         uint64 `json:"wrong"` // the four below: ignored, as a resolver would
	WrongID       uint64 `json:"wrong_id"`
	WrongQuestion uint64 `json:"wrong_question"`
	WrongCase     uint64 `json:"wrong_case"`
	Malformed     uint64 `json:"malformed"`
	Late          uint64 `json:"late"`      // right, but after the timeout
	Duplicate     uint64 `json:"duplicate"` // a second answer

	Truncated   uint64            `json:"truncated"`   // answers with TC
	Unreachable uint64            `json:"unreachable"` // ICMP errors: nobody listens
	Reconnects  uint64            `json:"reconnects"`
	Rcodes      map[string]uint64 `json:"rcodes"`
	QPS         float64           `json:"qps"`        // answered per second
	LatencyUs   Quantiles         `json:"latency_us"` // from the intended send time
	LagUs       *Quantiles        `json:"lag_us"`     // open loop: how late queries were sent; null in closed loop
	CPU         CPU               `json:"cpu"`
	Bound       bool              `json:"generator_bound"`
	BoundReason string            `json:"generator_bound_reason"`
}

// Quantiles are in microseconds.
type Quantiles struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// CPU is what the generator itself used in the measured time.
type CPU struct {
	UserS   float64 `json:"user_s"`
	SystemS float64 `json:"system_s"`
	WaitedS float64 `json:"waited_s"` // ready to run while others had its processor
	Share   float64 `json:"share"`    // (user + system) / (time x CPUs)
}

// Measurement is what a run gives besides the counts.
type Measurement struct {
	Started     time.Time
	Seconds     float64 // of measured time
	First, Last Usage   // about its beginning and its end
}

// NewReport makes the report of a run.
func NewReport(set Setting, m Measurement, c *Counts) *Report {
	r := &Report{
		Setting: set, Started: m.Started, Seconds: m.Seconds,
		Queries: c.Queries, Answered: c.Answered, Lost: c.Lost, Unsent: c.Unsent,
		WrongID: c.Verdicts[pending.WrongID], WrongQuestion: c.Verdicts[pending.WrongQuestion],
		WrongCase: c.Verdicts[pending.WrongCase], Malformed: c.Verdicts[pending.Malformed],
		Late: c.Verdicts[pending.Late], Duplicate: c.Verdicts[pending.Duplicate],
		Truncated: c.Truncated, Unreachable: c.Unreachable, Reconnects: c.Reconnects,
		Rcodes: map[string]uint64{}, LatencyUs: quantiles(&c.Latency),
	}
	r.Wrong = r.WrongID + r.WrongQuestion + r.WrongCase + r.Malformed
	for code, n := range c.Rcodes {
		if n > 0 {
			r.Rcodes[rcodeName(code)] += n
		}
	}
	if r.Seconds > 0 {
		r.QPS = float64(r.Answered) / r.Seconds
	}
	if set.Rate > 0 {
		lag := quantiles(&c.Lag)
		r.LagUs = &lag
	}
	r.setCPU(m)
	r.judgeGenerator()
	return r
}

func (r *Report) setCPU(m Measurement) {
	r.CPU = CPU{
		UserS:   (m.Last.User - m.First.User).Seconds(),
		SystemS: (m.Last.System - m.First.System).Seconds(),
		WaitedS: max(0, (m.Last.Waited - m.First.Waited).Seconds()),
	}
	if wall := m.Last.At.Sub(m.First.At).Seconds() * float64(r.CPUs); wall > 0 {
		r.CPU.Share = (r.CPU.UserS + r.CPU.SystemS) / wall
	}
}

// judgeGenerator says whether the run measured the generator instead of the server. One that never sleeps shows no idle time
// to judge a closed loop by.
func (r *Report) judgeGenerator() {
	wanted := r.CPU.Share
	if used := r.CPU.UserS + r.CPU.SystemS; used > 0 {
		wanted *= (used + r.CPU.WaitedS) / used
	}
	switch due := r.Queries + r.Unsent; {
	case r.Rate > 0 && float64(r.Unsent) > unsentShareMax*float64(due):
		r.BoundReason = fmt.Sprintf("%d of %d queries due were not sent: use a lower -rate, a larger -window or more CPUs", r.Unsent, due)
	case r.Rate == 0 && !r.Spin && r.CPU.Share >= busyShareMax:
		r.BoundReason = fmt.Sprintf("its CPU was %.1f %% busy: the server may be able to answer more", 100*r.CPU.Share)
	case r.Rate == 0 && !r.Spin && wanted >= busyShareMax:
		r.BoundReason = fmt.Sprintf("its CPU was %.1f %% busy and other programs kept it from the rest: give it a CPU of its own", 100*r.CPU.Share)
	}
	r.Bound = r.BoundReason != ""
}

func rcodeName(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", code)
}

func quantiles(h *Histogram) Quantiles {
	const us = 1000.0
	return Quantiles{
		Min: float64(h.Min()) / us, Mean: float64(h.Mean()) / us, Max: float64(h.Max()) / us,
		P50: float64(h.Quantile(0.5)) / us, P90: float64(h.Quantile(0.9)) / us,
		P99: float64(h.Quantile(0.99)) / us, P999: float64(h.Quantile(0.999)) / us,
	}
}

// WriteJSON prints the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
