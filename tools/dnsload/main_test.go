package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/tally"
)

func TestOptionsRefuse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-target 192.0.2.1:53", "-allow-remote"},
		{"-target [2001:db8::1]:53", "-allow-remote"},
		{"-target 0.0.0.0:53", "-allow-remote"},
		{"-target localhost:53", "-target"},
		{"-transport quic", "udp, tcp or dot"},
		{"-tls-name a.example", "-transport dot"},
		{"-transport dot -tls-ca /nonexistent", "-tls-ca"},
		{"-sources 2", "-source"},
		{"-source 127.0.0.1 -sources 0", "-sources"},
		{"-source ::1", "families"},
		{"-rate -1", "-rate"},
		{"-rate NaN", "-rate"},
		{"-rate Inf", "-rate"},
		{"-warmup -1s", "negative"},
		{"-timeout 0s", "-timeout"},
		{"-duration 0", "no end"},
		{"-cpu x", "-cpu"},
		{"-cpu 1,-1", "-cpu"},
		{"-flows 10 -window 9", "-window"},
		{"-flows 2 -window 4096", "-window"},
		{"-flows 5000", "-flows"},
		{"-flows 1 -cpu 0,1", "-flows"},
		{"-flows 10 -count 5", "-count"},
		{"-spin -transport tcp", "-spin"},
		{"-bufsize 100", "-bufsize"},
		{"-types BOGUS", "-types"},
		{"-once -zipf 1", "exclude"},
		{"-once -random", "exclude"},
		{"-file /nonexistent", "-file"},
		{"-file x -names 5", "-names"},
		{"-file x -fresh 0.5", "-fresh"},
		{"-once -fresh 0.5", "again and again"},
		{"-fresh 1.5", "fresh names"},
		{"-fresh 0.5 -first 10 -fresh-first 10009", "10010"},
		{"-fresh-first 20000", "without -fresh"},
		{"-do 0.5", "DO"},
		{"-pattern bench.example", "%d"},
		{"extra", "unexpected"},
	} {
		var help bytes.Buffer
		o, err := parseOptions(strings.Fields(c.args), &help)
		if err == nil {
			_, err = newLoad(o) // what the corpus and TLS refuse
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.args, err, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	parse := func(args string) *options {
		o, err := parseOptions(strings.Fields(args), os.Stderr)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		return o
	}
	for _, c := range []struct {
		args          string
		flows, window int
	}{
		{"", 128, 2048},
		{"-cpu 0,1", 256, 2048},
		{"-window 1", 1, 1},
		{"-window 64", 64, 64},
		{"-flows 4", 4, 2048},
		{"-rate 50000", 128, 100001},
		{"-rate 50000 -timeout 100ms", 128, 5001},
		{"-rate 10", 128, 128},
		{"-rate 1e9", 128, 131072},
		{"-transport tcp", 16, 2048},
		{"-transport dot -flows 3 -window 30", 3, 30},
		{"-count 5", 5, 2048},
	} {
		if o := parse(c.args); o.flows != c.flows || o.window != c.window {
			t.Errorf("%q: got %d flows, window %d, want %d and %d", c.args, o.flows, o.window, c.flows, c.window)
		}
	}
	if o := parse("-once"); o.corpus.Order != query.Once || o.corpus.Names != 0 {
		t.Errorf("-once: got %+v, want no end", o.corpus)
	}
	if o := parse("-once -names 100 -first 7"); o.corpus.Names != 100 || o.corpus.First != 7 {
		t.Errorf("-once -names 100 -first 7: got %+v", o.corpus)
	}
	if o := parse("-fresh 0.1 -names 100 -first 7"); o.corpus.Fresh != 107 || !strings.Contains(o.names, "0.1 new ones from 107") {
		t.Errorf("-fresh: got %+v, %q", o.corpus, o.names)
	}
	if o := parse("-target 192.0.2.1:53 -allow-remote"); o.target.String() != "192.0.2.1:53" {
		t.Errorf("-allow-remote: got %v", o.target)
	}
	if o := parse("-source 127.0.0.250 -sources 10"); len(o.sources) != 10 || o.sources[9].String() != "127.0.1.3" {
		t.Errorf("-sources: got %v", o.sources)
	}
}

func TestHelp(t *testing.T) {
	var help bytes.Buffer
	if _, err := parseOptions([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v, want %v", err, flag.ErrHelp)
	}
	if n := strings.Count(help.String(), "\n  dnsload -target"); n != 3 {
		t.Errorf("got %d examples, want 3:\n%s", n, &help)
	}
	// The examples must be accepted.
	lines := bufio.NewScanner(&help)
	for lines.Scan() {
		if args, ok := strings.CutPrefix(lines.Text(), "  dnsload "); ok {
			if _, err := parseOptions(strings.Fields(args), os.Stderr); err != nil {
				t.Errorf("%s: %v", args, err)
			}
		}
	}
}

// startEcho builds and starts tools/echo, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "echo")
	if out, err := exec.Command("go", "build", "-o", binary, "../echo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	echo := exec.Command(binary, "-listen", "127.0.0.1:0")
	stdout, err := echo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := echo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = echo.Process.Kill()
		_ = echo.Wait() // killed, as intended
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("got %q, %v", line, err)
	}
	return address
}

func runLoad(t *testing.T, args string) *tally.Report {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), strings.Fields(args+" -json"), &out, os.Stderr); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	r := &tally.Report{}
	if err := decoder.Decode(r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The program as a whole against tools/echo.
func TestAgainstEcho(t *testing.T) {
	target := startEcho(t)
	common := "-quiet -warmup 10ms -target " + target + " "
	list := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(list, []byte("a.example A\nb.example MX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want uint64 // queries
	}{
		{"-duration 0 -count 3000", 3000},
		{"-duration 0 -count 3000 -zipf 1 -names 100000 -edns 0.7 -do 0.3 -case 0.5", 3000},
		{"-duration 0 -count 3000 -segment=false -window 64", 3000},
		{"-duration 0 -once -names 1234 -warmup 0", 1234},
		{"-duration 0 -count 500 -file " + list, 500},
		{"-duration 100ms -rate 20000", 2000},
		{"-duration 100ms -rate 20000 -spin -flows 3 -source 127.3.3.3 -sources 2", 2000},
	} {
		r := runLoad(t, common+c.args)
		if r.Queries != c.want || r.Answered != c.want || r.Lost != 0 || r.Wrong != 0 || r.Rcodes["NOERROR"] != c.want {
			t.Errorf("%s: got %+v, want %d queries, all answered", c.args, r, c.want)
		}
		if r.QPS <= 0 || r.Seconds <= 0 || r.LatencyUs.P50 <= 0 || r.LatencyUs.Max < r.LatencyUs.P999 || r.CPU.UserS < 0 || r.CPU.SystemS < 0 {
			t.Errorf("%s: got %+v", c.args, r)
		}
		if (r.LagUs != nil) != strings.Contains(c.args, "-rate") {
			t.Errorf("%s: got lag %+v", c.args, r.LagUs)
		}
	}
	if r := runLoad(t, common+"-duration 100ms"); r.Seconds != 0.1 || r.Queries == 0 || r.Lost != 0 || r.Mode != "closed" || r.CPU.Share <= 0 {
		t.Errorf("by time: got %+v", r)
	}
}

// One sender for each CPU, each on its own.
func TestManySenders(t *testing.T) {
	var had unix.CPUSet
	if err := unix.SchedGetaffinity(0, &had); err != nil {
		t.Fatal(err)
	}
	var cpus []string
	for cpu := 0; len(cpus) < 2 && cpu < 1024; cpu++ {
		if had.IsSet(cpu) {
			cpus = append(cpus, strconv.Itoa(cpu))
		}
	}
	target := startEcho(t) // before the threads of this process are pinned
	t.Cleanup(func() {
		var back []int
		for cpu := range 1024 {
			if had.IsSet(cpu) {
				back = append(back, cpu)
			}
		}
		if err := pinProcess(back); err != nil {
			t.Error(err)
		}
	})
	r := runLoad(t, "-quiet -duration 0 -once -names 5000 -warmup 0 -target "+target+" -cpu "+strings.Join(cpus, ","))
	if r.Answered != 5000 || r.CPUs != len(cpus) {
		t.Errorf("got %+v, want 5000 answered on %d CPUs", r, len(cpus))
	}
}

func TestSignalEndsTheRunWithAReport(t *testing.T) {
	target := startEcho(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	var out bytes.Buffer
	if err := run(ctx, []string{"-quiet", "-warmup", "0s", "-duration", "1h", "-target", target}, &out, os.Stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "answers/s") {
		t.Errorf("got %s", &out)
	}
}
