package appliance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/control"
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

	copyModule(t, "wasm/testdata/shape.wasm", file)
	reload("budget = \"100ms\"", 0)
	q.until(t, "after one without an export", "n", dns.RcodeNameError)
	if said := q.book.String(); !strings.Contains(said, "exports no function inspect(i32, i32) -> i64") || strings.Count(said, file) < 2 {
		t.Error("the log does not say which file lacks what")
	}
	var problems strings.Builder
	if code := Check(q.file, nil, new(strings.Builder), &problems); code != ExitUsage || !strings.Contains(problems.String(), "exports no function inspect") || !strings.Contains(problems.String(), file) {
		t.Errorf("--check: %d, %s", code, problems.String())
	}

	copyModule(t, refuses, file)
	reload("budget = \"100ms\"\nmemory_max = \"64KiB\"", 1)
	q.until(t, "too little memory", "a", dns.RcodeRefused)
	reload("budget = \"100ms\"\nmemory_max = \"1MiB\"", 1)
	q.until(t, "enough memory", "a", dns.RcodeSuccess)

	for series, zero := range map[string]bool{
		`sdp_inspection_asked_total{point="miss"}`: false, `sdp_inspection_verdicts_total{point="miss",verdict="answer"}`: false, `sdp_inspection_errors_total{kind="failed"}`: false,
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
	if said := q.book.String(); strings.Count(said, "questions are inspected") != 5 || strings.Count(said, "no longer inspected") != 1 {
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

// TestInspectionPoints: where the inspector looks, what happens there without a verdict, which tags it gives, and what is kept of what it says, each by its
// keys, over reloads of one process.
func TestInspectionPoints(t *testing.T) {
	const word = "wild.demo.example."
	registry := inspect.Registry{"points": func() (inspect.Source, error) {
		return inspect.Func(func(ctx context.Context, q *inspect.Question) (inspect.Verdict, error) {
			name, _, _ := dns.UnpackDomainName(q.Name, 0)
			switch {
			case strings.HasPrefix(name, "fail-"+inspect.PointNames[q.Point]):
				<-ctx.Done()
				return inspect.Verdict{}, ctx.Err()
			case strings.HasPrefix(name, "no-"+inspect.PointNames[q.Point]):
				return inspect.NXDomain(), nil
			case strings.HasPrefix(name, "tag"):
				return inspect.Verdict{Tags: 2}, nil
			case strings.HasPrefix(name, "once"):
				v := inspect.NXDomain()
				v.Keep = inspect.Keep{Seconds: 600, Labels: 3}
				return v, nil
			}
			return inspect.Verdict{}, nil
		}), nil
	}}
	text := func(more string) string {
		return head + "upstream = \"embedded:\"\n[inspect]\nkind = \"go\"\nname = \"points\"\nbudget = \"100ms\"\nquery_budget = \"100ms\"\nresponse_budget = \"100ms\"\n" + more
	}
	q := &questions{product: start(t, head+"upstream = \"embedded:\"\n")}
	q.inspector.registry = registry
	use := func(more string) {
		t.Helper()
		writeConfig(t, q.file, text(more))
		before := q.reloads.Applied.Load()
		if q.reload(); q.reloads.Applied.Load() != before+1 {
			t.Fatalf("not applied: %s\n%s", more, q.book.String())
		}
	}
	for _, point := range inspect.PointNames {
		use(fmt.Sprintf("points = [%q]", point))
		q.until(t, "asked at "+point, "no-"+point+"-", dns.RcodeNameError)
		for _, other := range inspect.PointNames {
			if other != point {
				q.until(t, "not asked at "+other, "no-"+other+"-", dns.RcodeSuccess)
			}
		}
		q.until(t, "on_failure = pass at "+point, "fail-"+point+"-", dns.RcodeSuccess)
		prefix := map[string]string{"miss": "", "query": "query_", "response": "response_"}[point]
		use(fmt.Sprintf("points = [%q]\n%son_failure = \"refuse\"", point, prefix))
		q.until(t, "on_failure = refuse at "+point, "fail-"+point+"-", dns.RcodeRefused)

		begin := time.Now()
		q.ask(t, "udp", "fail-"+point+".long."+word)
		if took := time.Since(begin); took < 90*time.Millisecond {
			t.Errorf("%s: a call was ended after %v, the budget is 100ms", point, took)
		}
		writeConfig(t, q.file, strings.Replace(text(fmt.Sprintf("points = [%q]", point)), prefix+"budget = \"100ms\"", prefix+"budget = \"1ms\"", 1))
		q.reload()
		quick := false
		for n := 0; n < 100 && !quick; n++ { // a slow machine may take long, but not each time
			begin := time.Now()
			q.ask(t, "udp", fmt.Sprintf("fail-%s.short%d.%s", point, n, word))
			quick = time.Since(begin) < 90*time.Millisecond
		}
		if !quick {
			t.Errorf("%s: a budget of 1ms ends nothing", point)
		}
	}
	const rule = "[[rule]]\nname = \"tagged\"\nchain = \"response\"\nmatch.tag = \"second\"\naction = { type = \"rcode\", rcode = \"NXDOMAIN\" }\n"
	use("tags = [\"first\", \"second\"]\n" + rule)
	q.until(t, "a tag that a rule looks for", "tag", dns.RcodeNameError)
	use("tags = [\"second\", \"first\"]\n" + rule)
	q.until(t, "another one", "tag", dns.RcodeSuccess)

	for _, kept := range []bool{false, true} {
		use(fmt.Sprintf("kept_verdicts = %d", map[bool]int{true: 64}[kept]))
		q.until(t, "a verdict to keep", "once", dns.RcodeNameError)
		want := map[bool]int{false: dns.RcodeSuccess, true: dns.RcodeNameError}[kept]
		for n := range 5 {
			if got := q.ask(t, "udp", fmt.Sprintf("n%d.%t.%s", n, kept, word)).Rcode; got != want {
				t.Errorf("kept: %t; got %s", kept, dns.RcodeToString[got])
			}
		}
	}
	for deadline := time.Now().Add(eventually); q.metric(t, `sdp_inspection_recalled_total{point="miss"}`) != "5"; time.Sleep(10 * time.Millisecond) { // published a moment later
		if time.Now().After(deadline) {
			t.Fatalf("%s verdicts were recalled", q.metric(t, `sdp_inspection_recalled_total{point="miss"}`))
		}
	}
}

// TestInspectionCommands: operators see where it looks, and have kept verdicts forgotten; without an inspector that is a mistake.
func TestInspectionCommands(t *testing.T) {
	p, c := commanded(t, "upstream = \"embedded:\"\n")
	ctx := context.Background()
	var i control.Inspection
	if err := c.Do(ctx, "GET", "/v1/inspect", nil, &i); err != nil || i.Kind != "off" || len(i.Points) != 0 {
		t.Errorf("off: %+v, %v", i, err)
	}
	if err := c.Do(ctx, "POST", "/v1/inspect/forget", nil, &i); err == nil || !strings.Contains(err.Error(), "nothing is inspected") {
		t.Errorf("forget without an inspector: %v", err)
	}
	var verdict atomic.Uint32
	p.inspector.registry = inspect.Registry{"keeps": func() (inspect.Source, error) {
		return inspect.Func(func(context.Context, *inspect.Question) (inspect.Verdict, error) {
			return inspect.Verdict{Do: inspect.Answer, RCode: uint16(verdict.Load()), Keep: inspect.Keep{Seconds: 3600, Labels: 2, AnyType: true}}, nil
		}), nil
	}}
	verdict.Store(dns.RcodeRefused)
	writeConfig(t, p.file, head+"control.socket = \""+p.checked.Control.Socket+"\"\nupstream = \"embedded:\"\n[inspect]\nkind = \"go\"\nname = \"keeps\"\nbudget = \"100ms\"\n")
	p.reload()
	q := &questions{product: p}
	q.until(t, "first", "a", dns.RcodeRefused)
	verdict.Store(dns.RcodeNameError)
	if got := p.ask(t, "udp", "b.wild.demo.example.").Rcode; got != dns.RcodeRefused {
		t.Errorf("the kept verdict is not taken: %s", dns.RcodeToString[got])
	}
	await(t, "the figures", func() bool {
		if err := c.Do(ctx, "GET", "/v1/inspect", nil, &i); err != nil {
			t.Fatal(err)
		}
		return i.Kind == "go" && i.Source == "keeps" && i.Kept == 1 && len(i.Points) == 1 && i.Points[0].Point == "miss" && i.Points[0].Budget == "100ms" &&
			i.Points[0].OnFailure == "pass" && i.Points[0].Asked > 0 && i.Points[0].Recalled == 1
	})
	if err := c.Do(ctx, "POST", "/v1/inspect/forget", nil, &i); err != nil {
		t.Fatal(err)
	}
	q.until(t, "after it was told to forget", "c", dns.RcodeNameError)
	verdict.Store(dns.RcodeServerFailure)
	if p.reload(); p.reloads.Refused.Load() != 0 {
		t.Fatal("the reload was refused")
	}
	q.until(t, "after a reload", "d", dns.RcodeServerFailure)
}
