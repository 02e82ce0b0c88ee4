package appliance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/inspect"
)

func copyModule(t *testing.T, from, to string) {
	t.Helper()
	code, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, code, 0o600); err != nil {
		t.Fatal(err)
	}
}

// questions are new ones, each time.
type questions struct {
	*product
	asked int
}

// until asks for names that begin with a letter, until one has the RCODE that is wanted: on a busy machine a verdict may be late.
func (q *questions) until(t *testing.T, what, letter string, want int) {
	t.Helper()
	var got int
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); {
		q.asked++
		if got = q.ask(t, "udp", fmt.Sprintf("%s%d.wild.demo.example.", letter, q.asked)).Rcode; got == want {
			return
		}
	}
	t.Fatalf("%s: got %s, want %s", what, dns.RcodeToString[got], dns.RcodeToString[want])
}

// TestInspectionByModule: each key of [inspect] does what it says, over reloads of one process; a bad module changes nothing.
func TestInspectionByModule(t *testing.T) {
	file := filepath.Join(t.TempDir(), "module.wasm")
	const moody, refuses = "wasm/testdata/moody.wasm", "wasm/testdata/needs-memory.wasm"
	copyModule(t, moody, file)
	text := func(more string) string {
		return head + "upstream = \"embedded:\"\n[inspect]\nkind = \"wasm\"\nmodule = \"" + file + "\"\n" + more
	}
	q := &questions{product: start(t, text("budget = \"100ms\""))}
	reload := func(more string, applied uint64) {
		t.Helper()
		writeConfig(t, q.file, text(more))
		before := q.reloads.Applied.Load()
		if q.reload(); q.reloads.Applied.Load()-before != applied {
			t.Fatalf("reload with %q: applied %d, want %d", more, q.reloads.Applied.Load()-before, applied)
		}
	}
	q.until(t, "pass", "a", dns.RcodeSuccess)
	q.until(t, "nxdomain", "n", dns.RcodeNameError)
	q.until(t, "a loop, and on_failure = pass", "l", dns.RcodeSuccess)
	q.until(t, "after the loop", "n", dns.RcodeNameError)

	reload("budget = \"100ms\"\non_failure = \"refuse\"", 1)
	q.until(t, "a loop, and on_failure = refuse", "l", dns.RcodeRefused)
	q.until(t, "a trap", "t", dns.RcodeRefused)
	q.until(t, "after the trap", "n", dns.RcodeNameError)
	reload("budget = \"100ms\"\ncompiled = true", 1)
	q.until(t, "compiled", "n", dns.RcodeNameError)

	copyModule(t, "wasm/testdata/imports.wasm", file)
	reload("budget = \"100ms\"", 0)
	q.until(t, "after a bad module", "n", dns.RcodeNameError)
	if said := q.book.String(); !strings.Contains(said, "fd_write") || !strings.Contains(said, "key=inspect.module") || !strings.Contains(said, "line=") {
		t.Error("the log does not say what is wrong with the module")
	}

	copyModule(t, refuses, file)
	reload("budget = \"100ms\"\nmemory_max = \"64KiB\"", 1)
	q.until(t, "too little memory", "a", dns.RcodeRefused)
	reload("budget = \"100ms\"\nmemory_max = \"1MiB\"", 1)
	q.until(t, "enough memory", "a", dns.RcodeSuccess)

	for series, zero := range map[string]bool{
		`sdp_inspection_asked_total`: false, `sdp_inspection_verdicts_total{verdict="answer"}`: false, `sdp_inspection_errors_total{kind="failed"}`: false,
		`sdp_inspection_errors_total{kind="unopened"}`: true,
	} {
		if got := q.metric(t, series); (got == "0") != zero {
			t.Errorf("%s: %s", series, got)
		}
	}
	writeConfig(t, q.file, head+"upstream = \"embedded:\"\n")
	q.reload()
	q.until(t, "off", "n", dns.RcodeSuccess)
	if got := q.metric(t, `sdp_inspection_errors_total{kind="failed"}`); got == "0" {
		t.Error("the counters of what was in use are lost")
	}
	if said := q.book.String(); strings.Count(said, "questions are inspected") != 4 || strings.Count(said, "no longer inspected") != 1 {
		t.Error("not a line for each change")
	}
}

// TestInspectionBudgetKey: it is the budget that ends a call.
func TestInspectionBudgetKey(t *testing.T) {
	text := func(budget string) string {
		return head + "upstream = \"embedded:\"\n[inspect]\nkind = \"wasm\"\nmodule = \"wasm/testdata/moody.wasm\"\non_failure = \"refuse\"\nbudget = \"" + budget + "\"\n"
	}
	p := start(t, text("100ms"))
	took := func(name string) time.Duration {
		begin := time.Now()
		if r := p.ask(t, "udp", name); r.Rcode != dns.RcodeRefused {
			t.Errorf("%s: %v", name, r)
		}
		return time.Since(begin)
	}
	if got := took("l1.wild.demo.example."); got < 90*time.Millisecond {
		t.Errorf("a loop was ended after %v, the budget is 100ms", got)
	}
	writeConfig(t, p.file, text("1ms"))
	p.reload()
	for n := range 100 { // a slow machine may take long, but not each time
		if took(fmt.Sprintf("l2%d.wild.demo.example.", n)) < 90*time.Millisecond {
			return
		}
	}
	t.Error("a budget of 1ms ends nothing")
}

// TestInspectionByName: an inspector of the program; a name that it has not is refused, at the start and when checked.
func TestInspectionByName(t *testing.T) {
	registry := inspect.Registry{"no": func() (inspect.Source, error) {
		return inspect.Func(func(context.Context, *inspect.Question) (inspect.Verdict, error) { return inspect.NXDomain(), nil }), nil
	}}
	text := func(name string) string {
		return head + "upstream = \"embedded:\"\n[inspect]\nkind = \"go\"\nbudget = \"100ms\"\nname = \"" + name + "\"\n"
	}
	q := &questions{product: start(t, head+"upstream = \"embedded:\"\n")}
	q.until(t, "off", "a", dns.RcodeSuccess)
	q.inspector.registry = registry
	writeConfig(t, q.file, text("no"))
	q.reload()
	q.until(t, "the program's", "a", dns.RcodeNameError)
	writeConfig(t, q.file, text("other"))
	if q.reload(); q.reloads.Refused.Load() != 1 {
		t.Error("a name that the program has not was taken")
	}
	q.until(t, "after a refused reload", "a", dns.RcodeNameError)
	for _, tt := range []struct {
		has  inspect.Registry
		want string
	}{{registry, "which has no\n"}, {nil, "inspected-dns-proxy"}} {
		var out, problems strings.Builder
		if code := Check(q.file, tt.has, &out, &problems); code != ExitUsage || !strings.Contains(problems.String(), tt.want) || !strings.Contains(problems.String(), "inspect.name") {
			t.Errorf("--check: %d, %s", code, problems.String())
		}
	}
	writeConfig(t, q.file, text("no"))
	if code := Check(q.file, registry, new(strings.Builder), new(strings.Builder)); code != ExitDone {
		t.Errorf("--check of a good one: %d", code)
	}
}
