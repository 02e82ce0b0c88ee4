package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/server"
)

// Pattern is how names are made of numbers below 10^8: all of one length, 25 bytes on the wire.
const Pattern = "n%08d.bench.example"

const (
	// NameBytes is a name's length on the wire, KeyBytes a cache key's: name, type, class, flags. AnswerBytes is the wire
	// length of the backend's answer of one A record: header, question, and a record with a pointer.
	NameBytes   = 25
	KeyBytes    = NameBytes + 2 + 2 + 1
	AnswerBytes = 12 + NameBytes + 4 + 16
	// namesMax is what the pattern's digits are enough for.
	namesMax = 100_000_000

	// wrongMax answers to nobody's query may come in a run, and any number up to 1 % of the right ones: they can be late ones
	// of the run before, all that it had outstanding, whose ports the kernel has given to sockets of this one.
	wrongMax = 4096
	// overtime is how long a run may take beyond its duration and its timeout: names are prepared, answers awaited.
	overtime = 30 * time.Second
	// stopGrace is how long dnsload may take to end after a signal.
	stopGrace = 2 * time.Second
)

// Run is one run of the generator.
type Run struct {
	Target     netip.AddrPort
	Transport  string // udp, tcp; empty: udp
	First      uint64 // number of the first name
	Names      uint64 // different names; 0 with Once: no end
	Once       bool   // each name once, in order
	Zipf       float64
	Fresh      float64 // share of queries that ask a new name each, numbered from FreshFirst on
	FreshFirst uint64
	Type       string  // of all questions, as A or TXT; empty: A
	Window     int     // closed loop: queries outstanding; open loop: 0
	Rate       float64 // open loop: queries/s; closed loop: 0
	Flows      int     // sockets or connections; 0: the generator's choice
	Duration   time.Duration
	Timeout    time.Duration
	Source     string // local address; empty: the kernel's choice
	Sources    int    // as many addresses from Source on; 0: one
	Seed       uint64
	// Urgent runs it before everything else on its CPUs, as root: for a light client on the flood's CPU.
	Urgent bool
}

// Report is what the bench uses of dnsload's report; tools/dnsload/tally says what the fields mean.
type Report struct {
	Seconds   float64           `json:"seconds"`
	Queries   uint64            `json:"queries"`
	Answered  uint64            `json:"answered"`
	Lost      uint64            `json:"lost"`
	Unsent    uint64            `json:"unsent"`
	Wrong     uint64            `json:"wrong"`
	Truncated uint64            `json:"truncated"`
	Rcodes    map[string]uint64 `json:"rcodes"`
	QPS       float64           `json:"qps"`
	LatencyUs struct {
		P50  float64 `json:"p50"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p999"`
		Max  float64 `json:"max"`
	} `json:"latency_us"`
	CPU struct {
		Share float64 `json:"share"`
	} `json:"cpu"`
	Bound       bool   `json:"generator_bound"`
	BoundReason string `json:"generator_bound_reason"`
}

// LostShare of all queries, unsent ones included.
func (r *Report) LostShare() float64 {
	due := r.Queries + r.Unsent
	if due == 0 {
		return 0
	}
	return float64(r.Lost+r.Unsent) / float64(due)
}

// FailedShare is the share of answers that are not NOERROR.
func (r *Report) FailedShare() float64 {
	if r.Answered == 0 {
		return 0
	}
	return float64(r.Answered-r.Rcodes["NOERROR"]) / float64(r.Answered)
}

// Tool is the generator.
type Tool struct {
	Path string
	CPUs []int
}

// Arguments of a run. CPUs are given by taskset, so that connections of TCP stay there too.
func (t Tool) Arguments(r Run) []string {
	transport := r.Transport
	if transport == "" {
		transport = "udp"
	}
	arguments := []string{
		"-json", "-quiet", "-warmup", "0s", "-target", r.Target.String(), "-transport", transport, "-pattern", Pattern,
		"-duration", r.Duration.String(), "-seed", strconv.FormatUint(max(1, r.Seed), 10),
		"-first", strconv.FormatUint(r.First, 10),
	}
	add := func(name string, value any, given bool) {
		if given {
			arguments = append(arguments, name, fmt.Sprint(value))
		}
	}
	add("-names", r.Names, r.Names > 0)
	add("-zipf", r.Zipf, r.Zipf > 0)
	add("-fresh", strconv.FormatFloat(r.Fresh, 'f', 6, 64), r.Fresh > 0)
	add("-fresh-first", r.FreshFirst, r.Fresh > 0)
	add("-types", r.Type+"=1", r.Type != "")
	add("-window", r.Window, r.Window > 0)
	add("-rate", strconv.FormatFloat(r.Rate, 'f', 1, 64), r.Rate > 0)
	add("-flows", r.Flows, r.Flows > 0)
	add("-timeout", r.Timeout, r.Timeout > 0)
	add("-source", r.Source, r.Source != "")
	add("-sources", r.Sources, r.Sources > 0)
	if r.Once {
		arguments = append(arguments, "-once")
	}
	if transport == "udp" {
		arguments = append(arguments, "-cpu", proc.FormatCPUs(t.CPUs))
	}
	return arguments
}

// Run runs it to its end. A server that answers late, or not at all, is no error; one that answers other questions is.
func (t Tool) Run(ctx context.Context, r Run) (*Report, error) {
	if r.First+r.Names > namesMax {
		return nil, fmt.Errorf("names up to %d, the pattern %s has room for %d", r.First+r.Names, Pattern, namesMax)
	}
	ctx, cancel := context.WithTimeout(ctx, r.Duration+r.Timeout+overtime)
	defer cancel()
	words := []string{"taskset", "-c", proc.FormatCPUs(t.CPUs), t.Path}
	if r.Urgent {
		words = append([]string{"nice", "-n", "-20"}, words...)
	}
	words = append(words, t.Arguments(r)...)
	command := exec.Command(words[0], words[1:]...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := wait(ctx, command); err != nil {
		return nil, fmt.Errorf("dnsload: %w: %s\n%s", err, strings.TrimSpace(complaints.String()), strings.Join(words, " "))
	}
	var report Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("report of dnsload: %w", err)
	}
	if report.Wrong > wrongMax && report.Wrong > report.Answered/100 {
		return nil, fmt.Errorf("%d answers did not belong to their queries, of %d that did", report.Wrong, report.Answered)
	}
	return &report, nil
}

// wait runs a command that ends with ctx: by SIGTERM, then by SIGKILL.
func wait(ctx context.Context, command *exec.Cmd) error {
	if err := server.Spawn(command); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(command.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		select {
		case <-ended:
			return context.Cause(ctx)
		case <-time.After(stopGrace):
		}
	}
	return context.Cause(ctx)
}
