package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/report"
	"secure-dns-proxy/bench/scenario"
	"secure-dns-proxy/bench/server"
)

// build compiles this program: it pins itself and its signals are part of what is tested.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// A tiny run of the whole chain: build, backend, generator, proxy, echo, report. It fails where a tool is missing.
func TestSmoke(t *testing.T) {
	out := t.TempDir()
	command := exec.Command(build(t), "-scenarios", "a,d-256", "-programs", "uring,mmsg,echo", "-turns", "1", "-full", "400ms", "-half", "200ms", "-out", out)
	text, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r, err := report.ReadJSON(filepath.Join(out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{scenario.Hits, scenario.MissTLS256} {
		for _, program := range []string{server.URing, server.Mmsg, server.Echo} {
			row := r.Scenario(id).Of(program)
			if program == server.URing && len(row.Notes) > 0 && strings.Contains(row.Notes[0], "io_uring") {
				t.Logf("(%s) %s: %s", id, program, row.Notes[0]) // a machine without it still measures the other engine
				continue
			}
			for _, name := range []figure.Name{figure.QPS, figure.CPU, figure.Half99, figure.RSS} {
				if got := row.Turns.Of(name); got.Turns != 1 || got.Median <= 0 {
					t.Errorf("(%s) %s: %s is %+v, notes %q", id, program, name, got, row.Notes)
				}
			}
			want := map[string]float64{scenario.Hits: 1, scenario.MissTLS256: 0}[id]
			if got, ok := row.Summary[figure.HitRatio]; ok && (got.Median < want-0.01 || got.Median > want+0.01) {
				t.Errorf("(%s) %s: hit ratio %v, want %v", id, program, got.Median, want)
			}
		}
	}
	if plot, err := os.Stat(filepath.Join(out, "cpu.png")); err != nil || plot.Size() == 0 {
		t.Errorf("plot: %v", err)
	}
}

// SIGINT in the middle of a turn ends the harness with a word, and every process that it started.
func TestInterrupt(t *testing.T) {
	mark := t.TempDir()
	command := exec.Command(build(t), "-scenarios", "a", "-programs", "mmsg,echo", "-turns", "4", "-full", "1s", "-half", "1s", "-keep=false")
	command.Env = append(os.Environ(), "TMPDIR="+mark) // inherited by all that it starts
	complaints, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill() // if it hangs
	lines := bufio.NewScanner(complaints)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.HasPrefix(lines.Text(), "[") && command.ProcessState == nil {
			if err := command.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	begun := time.Now()
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	err = command.Wait()
	if command.ProcessState.ExitCode() != 130 || !strings.Contains(strings.Join(said, "\n"), "interrupted") {
		t.Errorf("got %v, want exit status 130, after\n%s", err, strings.Join(said, "\n"))
	}
	if left := marked(t, mark); len(left) > 0 {
		t.Errorf("%v after the signal these still run: %q", time.Since(begun), left)
	}
}

// marked are the command lines of processes that have mark in their environment.
func marked(t *testing.T, mark string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, path := range paths {
		environment, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environment, []byte(mark)) {
			continue // not ours, or gone
		}
		if line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")); err == nil {
			left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return left
}

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-turns", "2", "-cpus", "0-1"}, &bytes.Buffer{})
	if err != nil || o.settings.Turns != 2 || o.settings.Entries != entriesMin || o.keep || o.limit != quickLimit || len(o.cpus) != 2 {
		t.Errorf("quick: got %+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-turns", "0"}, {"-full", "1ms"}, {"-entries", "5"}, {"-cpus", "x"}, {"extra"}} {
		if o, err := parseOptions(bad, &bytes.Buffer{}); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, o)
		}
	}
	all := scenario.All(scenario.Layout{All: []int{0, 1}})
	o = &options{scenarios: []string{"d-2048", "a"}}
	if got, err := o.pick(all); err != nil || len(got) != 2 || got[0].ID != "a" {
		t.Errorf("pick: got %v, %v", got, err)
	}
	o.scenarios = []string{"zz"}
	if _, err := o.pick(all); err == nil {
		t.Error("an unknown scenario: got no error")
	}
}
