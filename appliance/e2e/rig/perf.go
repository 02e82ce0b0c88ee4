package rig

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Load is one run of dnsperf. Zero fields leave dnsperf's default.
type Load struct {
	Server      netip.AddrPort
	Mode        string // "udp", "tcp"
	NamesFile   string
	Seconds     int // how long to send, going round the names
	Rounds      int // or how many times to go through the names
	Clients     int // client sockets
	Outstanding int // queries without an answer yet, at most
	QPS         int // queries sent per second, at most
	Timeout     int // seconds until a query counts as lost
}

// Result is what dnsperf counted.
type Result struct {
	Sent, Completed, Lost int
	RCodes                map[string]int
	QPS                   float64
	Text                  string
}

// BulkNames writes a dnsperf file of count names that Unbound answers, and returns its path.
func BulkNames(tb testing.TB, count int) string {
	tb.Helper()
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "n%d.bulk.example A\n", i)
	}
	path := filepath.Join(tb.TempDir(), "names")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Run runs dnsperf to its end.
func (l Load) Run(tb testing.TB) Result {
	tb.Helper()
	return l.Start(tb)()
}

// Start starts dnsperf and returns a function that waits for its end.
func (l Load) Start(tb testing.TB) func() Result {
	tb.Helper()
	arguments := []string{"-s", l.Server.Addr().String(), "-p", strconv.Itoa(int(l.Server.Port())), "-d", l.NamesFile}
	if l.Mode != "" {
		arguments = append(arguments, "-m", l.Mode)
	}
	if l.Mode != "tcp" {
		arguments = append(arguments, "-b", strconv.Itoa(perfBufferKiB))
	}
	for _, o := range []struct {
		flag  string
		value int
	}{{"-l", l.Seconds}, {"-n", l.Rounds}, {"-c", l.Clients}, {"-q", l.Outstanding}, {"-Q", l.QPS}, {"-t", l.Timeout}} {
		if o.value > 0 {
			arguments = append(arguments, o.flag, strconv.Itoa(o.value))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.Seconds)*time.Second+commandTimeout)
	command := exec.CommandContext(ctx, program(tb, "dnsperf"), arguments...)
	var out strings.Builder
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		cancel()
		tb.Fatalf("dnsperf: %v", err)
	}
	return func() Result {
		tb.Helper()
		defer cancel()
		if err := command.Wait(); err != nil {
			tb.Fatalf("dnsperf %s: %v\n%s", strings.Join(arguments, " "), err, tail(out.String()))
		}
		return parsePerf(tb, out.String())
	}
}

var (
	perfCount = regexp.MustCompile(`(?m)^\s*Queries (sent|completed|lost):\s+(\d+)`)
	perfQPS   = regexp.MustCompile(`(?m)^\s*Queries per second:\s+([\d.]+)`)
	perfCodes = regexp.MustCompile(`(?m)^\s*Response codes:\s+(.*)$`)
	perfCode  = regexp.MustCompile(`(\w+) (\d+) \(`)
)

func parsePerf(tb testing.TB, text string) Result {
	tb.Helper()
	r := Result{RCodes: map[string]int{}, Text: text, Sent: -1}
	for _, m := range perfCount.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[2])
		switch m[1] {
		case "sent":
			r.Sent = n
		case "completed":
			r.Completed = n
		case "lost":
			r.Lost = n
		}
	}
	if m := perfQPS.FindStringSubmatch(text); m != nil {
		r.QPS, _ = strconv.ParseFloat(m[1], 64)
	}
	if m := perfCodes.FindStringSubmatch(text); m != nil {
		for _, code := range perfCode.FindAllStringSubmatch(m[1], -1) {
			r.RCodes[code[1]], _ = strconv.Atoi(code[2])
		}
	}
	if r.Sent < 0 {
		tb.Fatalf("dnsperf printed no statistics:\n%s", tail(text))
	}
	return r
}
