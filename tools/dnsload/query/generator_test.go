package query

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func newCorpus(t testing.TB, cfg Config) *Corpus {
	t.Helper()
	if cfg.Pattern == "" && cfg.List == nil {
		cfg.Pattern = "n%d.bench.example"
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// next composes one query and has it read by an independent parser.
func next(t testing.TB, g *Generator, id uint16) *dns.Msg {
	t.Helper()
	var packet [PacketBytesMax]byte
	for i := range packet {
		packet[i] = 0xee // an earlier query's bytes must not shine through
	}
	n, question := g.Compose(&packet, id)
	if n == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet[:n]); err != nil {
		t.Fatalf("% x: %v", packet[:n], err)
	}
	if m.Id != id || m.Response || !m.RecursionDesired || len(m.Question) != 1 || m.Question[0].Qclass != dns.ClassINET {
		t.Fatalf("got %v", m)
	}
	name, _ := packName(m.Question[0].Name)
	if question != len(name)+4 {
		t.Fatalf("got a question of %d bytes, want %d", question, len(name)+4)
	}
	return m
}

func TestEachNameOnceAcrossGenerators(t *testing.T) {
	const names, generators = 1000, 7
	c := newCorpus(t, Config{Names: names, First: 5000, Order: Once})
	seen := map[string]int{}
	for i := range generators {
		g := c.Generator(i, generators)
		for m := next(t, g, 1); m != nil; m = next(t, g, 2) {
			seen[m.Question[0].Name]++
		}
	}
	for i := range names {
		if name := fmt.Sprintf("n%d.bench.example.", 5000+i); seen[name] != 1 {
			t.Errorf("%s was asked %d times, want once", name, seen[name])
		}
	}
	if len(seen) != names {
		t.Errorf("got %d names, want %d", len(seen), names)
	}
}

// TestFreshNames: the share that Mix.Fresh says asks names that no generator asks twice, in order; the rest is what it would be without.
func TestFreshNames(t *testing.T) {
	const names, first, total, generators = 50, 100, 20000, 2
	c := newCorpus(t, Config{Names: names, First: first, Fresh: 5000, Mix: Mix{Fresh: 0.2}})
	seen := map[string]int{}
	fresh := 0
	for i := range generators {
		g := c.Generator(i, generators)
		for range total / generators {
			name := next(t, g, 1).Question[0].Name
			seen[name]++
			var number int
			if _, err := fmt.Sscanf(name, "n%d.bench.example.", &number); err != nil {
				t.Fatal(name, err)
			}
			switch {
			case number >= 5000 && number%generators == i && seen[name] == 1:
				fresh++
			case number < first || number >= first+names:
				t.Fatalf("generator %d asks %s for the %dth time", i, name, seen[name])
			}
		}
	}
	if !near(fresh, total, 0.2) {
		t.Errorf("%d of %d names were new, want a share of 0.2", fresh, total)
	}
	for i := range names {
		if n := seen[fmt.Sprintf("n%d.bench.example.", first+i)]; !near(n, total, 0.8/names) {
			t.Errorf("name %d: asked %d times of %d, want a share of %v", first+i, n, total, 0.8/names)
		}
	}
}

func TestCycle(t *testing.T) {
	l, err := ParseList(strings.NewReader("a.example A\nb.example MX\nc.example AAAA\n"))
	if err != nil {
		t.Fatal(err)
	}
	g := newCorpus(t, Config{List: l, Order: Cycle}).Generator(0, 1)
	for i := range 7 {
		q := next(t, g, 0).Question[0]
		want := []dns.Question{{Name: "a.example.", Qtype: dns.TypeA, Qclass: 1}, {Name: "b.example.", Qtype: dns.TypeMX, Qclass: 1}, {Name: "c.example.", Qtype: dns.TypeAAAA, Qclass: 1}}[i%3]
		if q != want {
			t.Errorf("query %d: got %v, want %v", i, q, want)
		}
	}
}

func TestSameSeedSameQueries(t *testing.T) {
	cfg := Config{Names: 1 << 40, Seed: 9, Mix: Mix{EDNS: 0.5, DO: 0.2, Case: 0.5, UDPSize: 1232}}
	a, b := newCorpus(t, cfg).Generator(2, 4), newCorpus(t, cfg).Generator(2, 4)
	other := newCorpus(t, cfg).Generator(3, 4)
	same := 0
	for range 1000 {
		x, y, z := next(t, a, 0).String(), next(t, b, 0).String(), next(t, other, 0).String()
		if x != y {
			t.Fatalf("got %s and %s from the same seed", x, y)
		}
		if x == z {
			same++
		}
	}
	if same > 0 {
		t.Errorf("two generators of one seed agreed %d times", same)
	}
}

// near tells whether n of total drawn are what a share gives, within five standard deviations.
func near(n, total int, share float64) bool {
	expected := share * float64(total)
	return math.Abs(float64(n)-expected) <= 5*math.Sqrt(expected*(1-share))+1
}

func TestMix(t *testing.T) {
	const total = 20000
	g := newCorpus(t, Config{Names: 100, Mix: Mix{
		EDNS: 0.7, DO: 0.3, Case: 0.25, UDPSize: 1400,
		Types: []TypeShare{{dns.TypeA, 80}, {dns.TypeAAAA, 15}, {dns.TypeHTTPS, 5}},
	}}).Generator(0, 1)
	edns, do, mixed, types, upper := 0, 0, 0, map[uint16]int{}, 0
	for range total {
		m := next(t, g, 7)
		if opt := m.IsEdns0(); opt != nil {
			edns++
			if opt.UDPSize() != 1400 || opt.Version() != 0 {
				t.Fatalf("got %v", opt)
			}
			if opt.Do() {
				do++
			}
		}
		name := m.Question[0].Name
		if lower := strings.ToLower(name); lower != name {
			mixed++
			for _, b := range []byte(name) {
				if b >= 'A' && b <= 'Z' {
					upper++
				}
			}
		}
		types[m.Question[0].Qtype]++
	}
	const letters = 13 // of n%d.bench.example; half are upper case on average
	for _, c := range []struct {
		what  string
		n     int
		total int
		share float64
	}{
		{"EDNS", edns, total, 0.7},
		{"DO", do, total, 0.3},
		{"0x20", mixed, total, 0.25},
		{"upper case letters", upper, mixed * letters, 0.5},
		{"A", types[dns.TypeA], total, 0.8},
		{"AAAA", types[dns.TypeAAAA], total, 0.15},
		{"HTTPS", types[dns.TypeHTTPS], total, 0.05},
	} {
		if !near(c.n, c.total, c.share) {
			t.Errorf("%s: got %d of %d, want a share of %v", c.what, c.n, c.total, c.share)
		}
	}
}

func TestMixAllOrNothing(t *testing.T) {
	always := newCorpus(t, Config{Names: 10, Mix: Mix{EDNS: 1, DO: 1, UDPSize: 4096}}).Generator(0, 1)
	never := newCorpus(t, Config{Names: 10}).Generator(0, 1)
	for range 70000 { // more than the 65536 values of one threshold
		if opt := next(t, always, 1).IsEdns0(); opt == nil || !opt.Do() {
			t.Fatalf("share 1: got %v", opt)
		}
		if opt := next(t, never, 1).IsEdns0(); opt != nil {
			t.Fatalf("share 0: got %v", opt)
		}
	}
}

func TestUniform(t *testing.T) {
	const names, total = 50, 100000
	g := newCorpus(t, Config{Names: names, First: 10}).Generator(0, 1)
	seen := map[string]int{}
	for range total {
		seen[next(t, g, 0).Question[0].Name]++
	}
	for i := range names {
		if n := seen[fmt.Sprintf("n%d.bench.example.", 10+i)]; !near(n, total, 1.0/names) {
			t.Errorf("name %d: got %d of %d, want a share of %v", 10+i, n, total, 1.0/names)
		}
	}
	if len(seen) != names {
		t.Errorf("got %d names, want %d", len(seen), names)
	}
}

func TestZipf(t *testing.T) {
	for _, c := range []struct {
		s float64
		n int
	}{{1, 1000}, {0.8, 1000}, {1.3, 1000}, {1, 1}, {2, 3}, {1, 1_000_000}} {
		const total = 400000
		z, r := newZipf(c.s, c.n), rng{1}
		counts := make([]int, c.n)
		for range total {
			counts[z.draw(&r)]++
		}
		sum := 0.0
		for i := range c.n {
			sum += math.Pow(float64(i+1), -c.s)
		}
		for _, rank := range []int{0, 1, 2, 9, 99, 499} {
			if rank >= c.n {
				break
			}
			if share := math.Pow(float64(rank+1), -c.s) / sum; !near(counts[rank], total, share) {
				t.Errorf("Zipf %v of %d, rank %d: got %d of %d, want a share of %v", c.s, c.n, rank, counts[rank], total, share)
			}
		}
		// The tail as a whole: rounding in the table must not pile up there.
		tail, share := 0, 0.0
		for i := c.n / 2; i < c.n; i++ {
			tail += counts[i]
			share += math.Pow(float64(i+1), -c.s) / sum
		}
		if !near(tail, total, share) {
			t.Errorf("Zipf %v of %d, upper half: got %d of %d, want a share of %v", c.s, c.n, tail, total, share)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	l, err := ParseList(strings.NewReader("a.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	const p = "n%d.example"
	for name, cfg := range map[string]Config{
		"neither pattern nor list": {Names: 1},
		"both":                     {Pattern: p, List: l, Names: 1},
		"no names":                 {Pattern: p},
		"numbers past the end":     {Pattern: p, Names: 10, First: 1<<63 - 5},
		"overflow":                 {Pattern: p, Names: 1 << 63, First: 1 << 63},
		"exponent 0":               {Pattern: p, Names: 10, Order: Zipf},
		"exponent NaN":             {Pattern: p, Names: 10, Order: Zipf, Exponent: math.NaN()},
		"too many for Zipf":        {Pattern: p, Names: NamesMax + 1, Order: Zipf, Exponent: 1},
		"share above 1":            {Pattern: p, Names: 1, Mix: Mix{EDNS: 1.1, UDPSize: 512}},
		"share NaN":                {Pattern: p, Names: 1, Mix: Mix{Case: math.NaN()}},
		"DO without EDNS":          {Pattern: p, Names: 1, Mix: Mix{DO: 0.1}},
		"small UDP size":           {Pattern: p, Names: 1, Mix: Mix{EDNS: 1, UDPSize: 511}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestParseTypes(t *testing.T) {
	got, err := ParseTypes("A=80, aaaa=15,TYPE65=5,MX")
	want := []TypeShare{{dns.TypeA, 80}, {dns.TypeAAAA, 15}, {65, 5}, {dns.TypeMX, 1}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"", "A=0", "A=-1", "A=x", "A=NaN", "NOSUCH", "A,,B", strings.Repeat("A,", TypesMax) + "A"} {
		if got, err := ParseTypes(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestComposeDoesNotAllocate(t *testing.T) {
	l, err := ParseList(strings.NewReader("a.example\nb.example MX\n"))
	if err != nil {
		t.Fatal(err)
	}
	mix := Mix{EDNS: 0.5, DO: 0.5, Case: 0.5, UDPSize: 1232}
	for name, cfg := range map[string]Config{
		"uniform": {Pattern: "n%d.example", Names: 1000, Mix: mix},
		"zipf":    {Pattern: "n%d.example", Names: 1000, Order: Zipf, Exponent: 1, Mix: mix},
		"once":    {Pattern: "n%d.example", Order: Once, Mix: mix},
		"list":    {List: l, Order: Cycle, Mix: mix},
	} {
		g := newCorpus(t, cfg).Generator(0, 1)
		var packet [PacketBytesMax]byte
		if n := testing.AllocsPerRun(1000, func() { g.Compose(&packet, 1) }); n != 0 {
			t.Errorf("%s: got %v allocations per query, want 0", name, n)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	mix := Mix{EDNS: 0.5, DO: 0.2, Case: 0.1, UDPSize: 1232}
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"Uniform", Config{Names: 10000}},
		{"UniformMix", Config{Names: 10000, Mix: mix}},
		{"Zipf1M", Config{Names: 1_000_000, Order: Zipf, Exponent: 1}},
		{"Once", Config{Order: Once}},
	} {
		b.Run(c.name, func(b *testing.B) {
			g := newCorpus(b, c.cfg).Generator(0, 1)
			var packet [PacketBytesMax]byte
			for b.Loop() {
				g.Compose(&packet, 1)
			}
		})
	}
}
