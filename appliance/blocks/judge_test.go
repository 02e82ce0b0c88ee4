package blocks

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
)

// traffic makes what workers count in one second.
type traffic struct {
	c   *census.Counter
	now int64
}

func newTraffic(t *testing.T, cfg *Config) *traffic {
	counted := cfg.Census()
	if err := counted.Validate(); err != nil {
		t.Fatal(err)
	}
	tr := &traffic{c: census.New(*counted), now: int64(time.Hour)}
	tr.c.HandOver(tr.now)
	return tr
}

// second ends the second and returns it.
func (tr *traffic) second() *Second {
	tr.now += int64(time.Second)
	tr.c.HandOver(tr.now)
	s := NewSecond()
	if t := tr.c.Take(); t != nil {
		s.Add(t, tr.c.Types())
		tr.c.Return(t)
	}
	return s
}

func source(addr string) admission.Source {
	a := netip.MustParseAddr(addr).As4()
	return admission.Source{Bits: uint64(a[0])<<24 | uint64(a[1])<<16 | uint64(a[2])<<8 | uint64(a[3])}
}

func wireName(text string) []byte {
	name, err := Wire(text)
	if err != nil {
		panic(err)
	}
	return []byte(name)
}

// ask counts n queries with their answers.
func (tr *traffic) ask(from string, n int, qtype, rcode uint16, miss bool) {
	for range n {
		tr.c.Query(source(from), qtype)
		if miss {
			tr.c.Miss(source(from), wireName("www.example."), 1)
		}
		tr.c.Answer(source(from), rcode, 100)
	}
}

func rule(w Watch, edit func(*Rule)) Rule {
	r := Rule{Name: w.String(), Watch: w, Window: 10 * time.Second, Threshold: 100, Action: block.Drop, Duration: time.Minute}
	if edit != nil {
		edit(&r)
	}
	return r
}

func standard(rules ...Rule) Config { return Config{Rules: rules, IPv4Bits: 32, IPv6Bits: 64} }

// Every kind of watch finds who does it, and not who does not.
func TestWatches(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		bad  func(*traffic, string)
	}{
		{rule(QueryRate, nil), func(tr *traffic, who string) { tr.ask(who, 150, 1, 0, false) }},
		{rule(RCodeRate, func(r *Rule) { r.RCode = census.NXDomain; r.Threshold = 50 }), func(tr *traffic, who string) { tr.ask(who, 60, 1, 3, false) }},
		{rule(RCodeRatio, func(r *Rule) { r.RCode = census.ServFail; r.Threshold, r.Least = 40, 20 }), func(tr *traffic, who string) { tr.ask(who, 20, 1, 2, false); tr.ask(who, 20, 1, 0, false) }},
		{rule(TypeRate, func(r *Rule) { r.Type = dns.TypeANY; r.Threshold = 10 }), func(tr *traffic, who string) { tr.ask(who, 12, dns.TypeANY, 0, false) }},
		{rule(MissRatio, func(r *Rule) { r.Threshold, r.Least = 90, 20 }), func(tr *traffic, who string) { tr.ask(who, 40, 1, 0, true) }},
		{rule(ByteRate, func(r *Rule) { r.Threshold = 12_000 }), func(tr *traffic, who string) { tr.ask(who, 150, 1, 0, false) }},
	} {
		t.Run(c.rule.Name, func(t *testing.T) {
			cfg := standard(c.rule)
			j, tr := newJudge(cfg), newTraffic(t, &cfg)
			found := map[string]int{}
			for range 60 {
				c.bad(tr, "127.0.0.66")
				tr.ask("127.0.0.1", 30, 1, 0, false)
				for _, f := range j.look(tr.second(), time.Second) {
					found[f.Prefix.String()]++
				}
			}
			if len(found) != 1 || found["127.0.0.66/32"] < 20 {
				t.Errorf("found %v", found)
			}
			for range 60 { // it stops
				j.look(tr.second(), time.Second)
			}
			if list := j.look(tr.second(), time.Second); len(list) != 0 {
				t.Errorf("long after: %v", list)
			}
		})
	}
}

// A rate well above the threshold is found sooner; a burst of one second of twice the threshold is not.
func TestWindows(t *testing.T) {
	cfg := standard(rule(QueryRate, nil))
	for rate, want := range map[int]int{200: 7, 1000: 2} {
		j, tr := newJudge(cfg), newTraffic(t, &cfg)
		at := 0
		for at = 1; at < 60; at++ {
			tr.ask("127.0.0.66", rate, 1, 0, false)
			if len(j.look(tr.second(), time.Second)) > 0 {
				break
			}
		}
		if at != want {
			t.Errorf("%d/s: found after %d seconds, want %d", rate, at, want)
		}
	}
	j, tr := newJudge(cfg), newTraffic(t, &cfg)
	for i := range 60 {
		if i == 5 {
			tr.ask("127.0.0.66", 200, 1, 0, false)
		}
		if found := j.look(tr.second(), time.Second); len(found) > 0 {
			t.Errorf("second %d: %v", i, found)
		}
	}
}

// A random-subdomain attack is found at the name that it is on, however many labels that has; busy zones whose names exist are not.
func TestRandomNames(t *testing.T) {
	cfg := standard(rule(RandomNames, func(r *Rule) { r.Names, r.Failed = true, 50 }))
	j, tr := newJudge(cfg), newTraffic(t, &cfg)
	random := rand.New(rand.NewPCG(1, 2))
	last := map[string]bool{}
	for range 30 {
		for i := range 400 {
			for zone, rcode := range map[string]uint16{"victim.co.uk.": dns.RcodeNameError, "cdn.example.": dns.RcodeSuccess, "8.b.d.0.1.0.0.2.ip6.arpa.": dns.RcodeNameError} {
				name := wireName(fmt.Sprintf("x%d-%d.%s", i, random.Uint32(), zone))
				tr.c.Miss(source("127.0.0.1"), name, random.Uint64())
				tr.c.Outcome(name, rcode)
			}
		}
		clear(last)
		for _, f := range j.look(tr.second(), time.Second) {
			last[fmt.Sprint(Text(f.Name), f.Public)] = true
		}
	}
	if len(last) != 2 || !last["victim.co.uk. false"] && !last["victim.co.uk.false"] {
		t.Errorf("found %v", last)
	}
	if j.exempts = []string{string(wireName("ip6.arpa."))}; len(j.look(tr.second(), time.Second)) != 1 {
		t.Errorf("exempt: %v", j.look(tr.second(), time.Second))
	}
}

// Who has names below many owners' suffix is not blamed as one.
func TestPublicSuffixesAreOnlyWarnedOf(t *testing.T) {
	cfg := standard(rule(QueryRate, func(r *Rule) { r.Names = true }))
	j, tr := newJudge(cfg), newTraffic(t, &cfg)
	var found []Finding
	for range 30 {
		for i := range 400 {
			tr.c.Miss(source("127.0.0.1"), wireName(fmt.Sprintf("www.owner%d.co.uk.", i)), uint64(i))
		}
		found = j.look(tr.second(), time.Second)
	}
	if len(found) != 1 || Text(found[0].Name) != "co.uk." || !found[0].Public {
		t.Errorf("found %v", found)
	}
}

// The memory of a judge is bounded, and whoever does much is in it.
func TestTracksAreBounded(t *testing.T) {
	windows := []time.Duration{10 * time.Second}
	all := tracks[int]{}
	for second := range 20 {
		now := map[int]*rates{-1: {queries: 500}}
		for i := range 5000 {
			now[second*5000+i] = &rates{queries: 1 + float64(i%3)}
		}
		all.learn(now, windows, time.Second)
	}
	if len(all) > tracksMax || all[-1] == nil {
		t.Errorf("%d tracks, the heavy one %v", len(all), all[-1])
	}
	for range 200 {
		all.learn(nil, windows, time.Second)
	}
	if len(all) != 0 {
		t.Errorf("%d tracks long after", len(all))
	}
}

func TestCensusIsWhatTheRulesNeed(t *testing.T) {
	none := Config{}
	if none.Census() != nil {
		t.Error("counts without rules")
	}
	cfg := standard(rule(TypeRate, func(r *Rule) { r.Type = 255 }), rule(TypeRate, func(r *Rule) { r.Type = 255 }), rule(TypeRate, func(r *Rule) { r.Type = 16 }))
	if c := cfg.Census(); fmt.Sprint(c.Types) != "[255 16]" || c.Zones {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(fmt.Sprint(cfg.Windows()), "[10s]") {
		t.Error(cfg.Windows())
	}
}
