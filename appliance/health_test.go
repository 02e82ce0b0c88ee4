package appliance

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/health"
)

// patient is an upstream under test: what it does, how it is configured, and what must come of it.
type patient struct {
	name   string
	act    func(w dns.ResponseWriter, query *dns.Msg) // nil: answers well
	health string                                     // inside of health = { }
	want   func(p *patient) bool                      // holds in the end

	state *health.State
	addr  netip.AddrPort

	mu    sync.Mutex
	asked []dns.Question
}

func (p *patient) questions() []dns.Question {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]dns.Question(nil), p.asked...)
}

func (p *patient) url() string { return fmt.Sprintf("udp://%s", p.addr) }

// says answers with an RCODE; delayed and mute are what they say.
func says(rcode int) func(w dns.ResponseWriter, query *dns.Msg) {
	return func(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(query, rcode)) }
}

func delayed(by time.Duration) func(w dns.ResponseWriter, query *dns.Msg) {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		time.Sleep(by)
		says(dns.RcodeSuccess)(w, query)
	}
}

func mute(dns.ResponseWriter, *dns.Msg) {}

// healing is mute for its first queries, and well then.
func healing(after int) func(w dns.ResponseWriter, query *dns.Msg) {
	var mu sync.Mutex
	n := 0
	return func(w dns.ResponseWriter, query *dns.Msg) {
		mu.Lock()
		n++
		well := n > after
		mu.Unlock()
		if well {
			says(dns.RcodeSuccess)(w, query)
		}
	}
}

// hospital starts a product with all patients as its upstreams.
func hospital(t *testing.T, settings string, patients []*patient) *product {
	t.Helper()
	text := head + settings
	for _, p := range patients {
		if p.act == nil {
			p.act = says(dns.RcodeSuccess)
		}
		p.addr = startDNS(t, func(w dns.ResponseWriter, query *dns.Msg) {
			p.mu.Lock()
			p.asked = append(p.asked, query.Question[0])
			p.mu.Unlock()
			p.act(w, query)
		})
		text += fmt.Sprintf("[[upstream]]\nurl = %q\nhealth = { %s }\n", p.url(), p.health)
	}
	product := start(t, text)
	for _, p := range patients {
		for _, e := range product.roster.entries {
			if e.upstream.URL == p.url() {
				p.state = e.endpoints[0].Health.(*health.State)
			}
		}
	}
	return product
}

func is(status health.Status) func(p *patient) bool {
	return func(p *patient) bool { return p.state.Status() == status }
}

func bad(p *patient) uint64 {
	f := p.state.Figures()
	return f.Probes[health.ProbeTimeout] + f.Probes[health.ProbeRCode] + f.Probes[health.ProbeFault]
}

// TestProbesByConfiguration: without a single query of a client, each key of probing and of its judgement shows in what upstreams get and
// in what is believed of them.
func TestProbesByConfiguration(t *testing.T) {
	const fast = `mode = "active", interval = "100ms"`
	patients := []*patient{
		{name: "active", health: fast, want: func(p *patient) bool { return len(p.questions()) >= 10 && is(health.Up)(p) }},
		{name: "lazy", health: `interval = "100ms"`, want: func(p *patient) bool { return len(p.questions()) == 0 }},
		{name: "passive", health: `mode = "passive", interval = "100ms"`, want: func(p *patient) bool { return len(p.questions()) == 0 }},
		{name: "long interval", health: `mode = "active", interval = "1h"`, want: func(p *patient) bool { return len(p.questions()) == 1 }},
		{name: "the default question", health: fast, want: func(p *patient) bool {
			q := p.questions()
			return len(q) > 0 && q[0].Name == "." && q[0].Qtype == dns.TypeNS
		}},
		{name: "another question", health: fast + `, name = "*.zone.example", type = "TXT"`, want: func(p *patient) bool {
			q := p.questions()
			return len(q) > 1 && strings.HasSuffix(q[0].Name, ".zone.example.") && q[0].Qtype == dns.TypeTXT && q[0].Name != q[1].Name
		}},
		{name: "REFUSED", act: says(dns.RcodeRefused), health: fast, want: is(health.Down)},
		{name: "REFUSED is good", act: says(dns.RcodeRefused), health: fast + `, rcodes = "REFUSED"`, want: is(health.Up)},
		{name: "short timeout", act: delayed(300 * time.Millisecond), health: fast + `, timeout = "30ms"`, want: is(health.Down)},
		{name: "long timeout", act: delayed(300 * time.Millisecond), health: fast + `, timeout = "20s"`, want: is(health.Up)},
		{name: "slow probes", act: delayed(300 * time.Millisecond), health: fast + `, timeout = "20s", latency_max = "50ms"`, want: is(health.Down)},
		{name: "few failures", act: mute, health: fast + `, timeout = "20ms", failures = 2`, want: is(health.Down)},
		{name: "many failures", act: mute, health: fast + `, timeout = "20ms", failures = 1000`, want: func(p *patient) bool {
			return bad(p) >= 5 && is(health.Suspect)(p)
		}},
		{name: "one success", act: healing(2), health: fast + `, timeout = "300ms", failures = 1, successes = 1, slow_start = "0s"`, want: func(p *patient) bool {
			return bad(p) > 0 && is(health.Up)(p)
		}},
		{name: "many successes", act: healing(2), health: fast + `, timeout = "300ms", failures = 1, successes = 1000, rest_max = "100ms"`, want: func(p *patient) bool {
			return p.state.Figures().Probes[health.ProbeGood] >= 3 && is(health.Trial)(p)
		}},
		{name: "slow start", act: healing(2), health: fast + `, timeout = "300ms", failures = 1, slow_start = "1h"`, want: func(p *patient) bool {
			return is(health.Recovering)(p)
		}},
		{name: "short rests", act: mute, health: fast + `, timeout = "20ms", failures = 1, rest_min = "20ms", rest_max = "20ms"`, want: func(p *patient) bool {
			return bad(p) >= 10 && is(health.Down)(p)
		}},
		{name: "long rest after the first", act: mute, health: fast + `, timeout = "20ms", failures = 1, rest_min = "1h", rest_max = "1h"`, want: func(p *patient) bool {
			return bad(p) == 1 && is(health.Down)(p)
		}},
	}
	product := hospital(t, "", patients)
	for _, p := range patients {
		await(t, p.name, func() bool { return p.want(p) })
	}
	await(t, "others have had time to do what they must not", func() bool { return len(patients[0].questions()) >= 20 })
	for _, p := range patients {
		if !p.want(p) {
			t.Errorf("%s: it did not last: %v, %v, asked %d times", p.name, p.state.Status(), p.state.Reason(), len(p.questions()))
		}
	}
	for _, p := range patients {
		if p.name == "slow start" {
			if got := product.metric(t, fmt.Sprintf("sdp_upstream_share{upstream=%q}", p.url())); !strings.HasPrefix(got, "0.06") {
				t.Errorf("slow start: share %s, want a sixteenth", got)
			}
		}
	}
}

// TestBudgetsByConfiguration: live traffic alone, each key of the budgets shows in what is believed of upstreams that all do the same.
func TestBudgetsByConfiguration(t *testing.T) {
	every := func(n int, act func(w dns.ResponseWriter, query *dns.Msg)) func(w dns.ResponseWriter, query *dns.Msg) {
		var mu sync.Mutex
		count := 0
		return func(w dns.ResponseWriter, query *dns.Msg) {
			mu.Lock()
			count++
			hit := count%n == 0
			mu.Unlock()
			if hit {
				act(w, query)
				return
			}
			says(dns.RcodeSuccess)(w, query)
		}
	}
	servfail, late := says(dns.RcodeServerFailure), delayed(100*time.Millisecond)
	const enough = 30 // questions; then it must be known
	was := func(status health.Status, yes bool) func(p *patient) bool {
		return func(p *patient) bool {
			entered := p.state.Figures().Entered[status] > 0
			return entered == yes && (yes || len(p.questions()) >= enough)
		}
	}
	patients := []*patient{
		{name: "well", want: was(health.Down, false)},
		{name: "SERVFAIL", act: every(2, servfail), health: `samples = 10`, want: was(health.Down, true)},
		{name: "SERVFAIL, no budget", act: every(2, servfail), health: `samples = 10, failure_budget = 0`, want: was(health.Down, false)},
		{name: "SERVFAIL, big budget", act: every(2, servfail), health: `samples = 10, failure_budget = 90`, want: was(health.Down, false)},
		{name: "SERVFAIL, many samples", act: every(2, servfail), health: `samples = 100000`, want: was(health.Down, false)},
		{name: "late", act: every(2, late), health: `samples = 10, latency_max = "30ms", latency_budget = 20`, want: was(health.Down, true)},
		{name: "late, no limit", act: every(2, late), health: `samples = 10, latency_budget = 20`, want: was(health.Down, false)},
		{name: "late, big budget", act: every(2, late), health: `samples = 10, latency_max = "30ms", latency_budget = 99`, want: was(health.Down, false)},
	}
	product := hospital(t, "cache.enabled = false\nupstream_policy = \"round_robin\"\nhealth.mode = \"passive\"\n", patients)
	n := 0
	await(t, "all have been asked and judged", func() bool {
		for range 20 {
			n++
			if got := product.ask(t, "udp", fmt.Sprintf("n%d.example.", n)).Rcode; got != dns.RcodeSuccess {
				t.Fatalf("got %s, want what another upstream answers", dns.RcodeToString[got])
			}
		}
		for _, p := range patients {
			if !p.want(p) {
				return false
			}
		}
		return true
	})
	for _, p := range patients {
		t.Logf("%s: asked %d times, %v", p.name, len(p.questions()), p.state.Figures().Entered)
	}
}

// TestStateByReload: the operator's word, and all of health, is put into force by a reload that keeps endpoints and connections.
func TestStateByReload(t *testing.T) {
	other := startDNS(t, says(dns.RcodeSuccess))
	file := func(tail string) string {
		return fmt.Sprintf("%scache.enabled = false\nupstream_policy = \"sequential\"\n[[upstream]]\nurl = \"embedded:\"\n%s\n[[upstream]]\nurl = \"udp://%s\"\nstate = \"down\"\n", head, tail, other)
	}
	p := start(t, file(""))
	ask := func() int { return p.ask(t, "udp", "www.demo.example.").Rcode }
	if got := ask(); got != dns.RcodeSuccess {
		t.Fatalf("got %s", dns.RcodeToString[got])
	}
	dot := p.roster.entries[0].endpoints[0]
	const dials = `sdp_upstream_dials_total{upstream="embedded:tls"}`
	connections := p.metric(t, dials)
	state := func(name string) string {
		return p.metric(t, fmt.Sprintf(`sdp_upstream_state{upstream="embedded:tls",state=%q}`, name))
	}
	for _, step := range []struct {
		tail, state string
		rcode       int
	}{
		{`state = "drain"`, "draining", dns.RcodeServerFailure},
		{`state = "down"`, "forced_down", dns.RcodeServerFailure},
		{`state = "up"`, "forced_up", dns.RcodeSuccess},
		{`state = "auto"`, "up", dns.RcodeSuccess},
		{`health = { failures = 7, window = "1m" }`, "up", dns.RcodeSuccess},
	} {
		writeConfig(t, p.file, file(step.tail))
		p.reload()
		if got := state(step.state); got != "1" {
			t.Errorf("%s: sdp_upstream_state of %s is %s, want 1", step.tail, step.state, got)
		}
		if got := ask(); got != step.rcode {
			t.Errorf("%s: got %s, want %s", step.tail, dns.RcodeToString[got], dns.RcodeToString[step.rcode])
		}
		if p.roster.entries[0].endpoints[0] != dot {
			t.Errorf("%s: the endpoint was replaced", step.tail)
		}
	}
	if got := p.metric(t, dials); got != connections {
		t.Errorf("%s dials, %s before the reloads: connections were lost", got, connections)
	}
	for _, want := range []string{
		`msg="upstream draining" upstream=embedded:tls was=up reason=configured`,
		`msg="upstream forced_down" upstream=embedded:tls was=draining reason=configured`,
		`msg="upstream forced_up" upstream=embedded:tls was=forced_down reason=configured`,
		`msg="upstream up" upstream=embedded:tls was=forced_up reason=configured`,
	} {
		await(t, want, func() bool { return p.book.count(want) == 1 })
	}
}
