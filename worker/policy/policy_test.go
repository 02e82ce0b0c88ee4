package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// wireName is a name of plain labels on the wire.
func wireName(text string) []byte {
	var out []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label != "" {
			out = append(append(out, byte(len(label))), label...)
		}
	}
	return append(out, 0)
}

func newState(p *Policy) *State {
	return p.NewState(rand.New(rand.NewPCG(1, 2)), func() int64 { return 0 })
}

// names writes n rules that refuse a suffix each, and drops at the end what is of type ANY.
func manyRules(n int) []Rule {
	var rules []Rule
	for i := range n {
		rules = append(rules, Rule{Name: fmt.Sprint("r", i), Match: Match{Op: All, Of: []Match{
			{Selector: Selector{Kind: Suffix, Names: [][]byte{wireName(fmt.Sprintf("zone%d.test.", i))}}},
			{Selector: Selector{Kind: RD, Want: true}},
		}}, Action: Action{Do: Answer, RCode: 5, Extended: wire.EDENone}})
	}
	return rules
}

// TestIndexAgreesWithScan: a chain with an index decides as one without, for random rules and questions.
func TestIndexAgreesWithScan(t *testing.T) {
	for round := range uint64(400) {
		random := rand.New(rand.NewPCG(round, 7))
		of := []Chain{ChainQuery, ChainOwn}[round%2]
		name := func() []byte {
			text := "."
			for range random.IntN(4) {
				text = fmt.Sprintf("%c%s", 'a'+random.IntN(3), "."+text)
			}
			return wireName(strings.ReplaceAll(text, "..", "."))
		}
		var match func(depth int) Match
		match = func(depth int) Match {
			if depth < 3 && random.IntN(3) == 0 {
				m := Match{Op: Op(1 + random.IntN(3))}
				n := 1 + random.IntN(3)
				if m.Op == Not {
					n = 1
				}
				for range n {
					m.Of = append(m.Of, match(depth+1))
				}
				return m
			}
			s := Selector{Kind: Kind(random.IntN(int(KindCount))), Want: random.IntN(2) == 0, Tags: 1 << random.IntN(8)}
			s.Low = uint32(random.IntN(3))
			s.High = s.Low + uint32(random.IntN(3))
			for range 1 + random.IntN(2) {
				s.Names, s.Numbers = append(s.Names, name()), append(s.Numbers, uint16(random.IntN(4)))
				s.Prefixes = append(s.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(random.IntN(2)), byte(random.IntN(2))}), 8+random.IntN(17)).Masked())
			}
			switch s.Kind {
			case InSet, Regex, Chance, OverRate, OverSourceRate, PoolAvailable, PoolOutstanding, Clock:
				s.Kind = Tagged // these no index knows anything of
			case RCode, Answers, Authorities:
				if of == ChainQuery {
					s.Kind = Tagged
				}
			}
			return Match{Selector: s}
		}
		var rules []Rule
		for i := range 70 {
			a := Action{Do: SetTags, Set: 1 << (i % 64), Unset: 1 << random.IntN(64)}
			if random.IntN(20) == 0 {
				a = Action{Do: Answer, RCode: uint16(i)}
			}
			r := Rule{Name: fmt.Sprint(i), Chain: of, Match: match(0), Action: a}
			if of == ChainOwn && a.Do == SetTags {
				r.Action = Action{Do: Extend}
			}
			if random.IntN(3) == 0 {
				r.Views = []int{random.IntN(2)}
			}
			rules = append(rules, r)
		}
		p, err := Compile(rules, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		scan, _ := Compile(rules, nil, 1)
		c := chain{words: 2, general: all(2, len(rules))}
		for i := range scan.rules {
			c.heads = append(c.heads, head{views: scan.rules[i].views, node: scan.rules[i].node, rule: int32(i)})
		}
		scan.chains[of] = c
		a, b := newState(p), newState(scan)
		for range 50 {
			var q, r Query
			q.Reset()
			if q.Name = name(); random.IntN(8) == 0 {
				q.Name = nil
			}
			q.Type, q.Class, q.Flags = uint16(1+random.IntN(4)), 1, uint16(random.Uint32())&(wire.OpcodeMask|wire.FlagRD|wire.FlagCD)
			q.DO, q.HasOPT, q.TCP, q.View = random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(3)-1
			if q.HasOPT && q.DO {
				q.Options = []byte{0, byte(random.IntN(4)), 0, 0}
			}
			address := netip.AddrFrom4([4]byte{10, byte(random.IntN(3)), byte(random.IntN(3)), 1})
			q.Source, q.Target = netip.AddrPortFrom(address, uint16(random.IntN(4))), netip.AddrPortFrom(address.Next(), uint16(random.IntN(4)))
			q.Version, q.Bytes, q.Additionals, q.Tags = uint8(random.IntN(2)), random.IntN(4), random.IntN(4), uint64(random.IntN(4))
			if random.IntN(3) != 0 {
				q.Answer = &wire.Answer{RCode: uint16(random.IntN(4)), AN: uint16(random.IntN(4)), NS: uint16(random.IntN(4)), AR: uint16(random.IntN(4))}
			}
			r = q
			var v, w Verdict
			p.Run(of, &q, a, &v)
			scan.Run(of, &r, b, &w)
			if v != w || q.Tags != r.Tags || !slices.Equal(a.hits, b.hits) {
				t.Fatalf("round %d, %q type %d: with the index %v, tags %x; without %v, %x\nhits %v\nand  %v", round, q.Name, q.Type, v, q.Tags, w, r.Tags, a.hits, b.hits)
			}
		}
	}
}

// TestSetAgreesWithMap: sets of names hold what they were given, and nothing else.
func TestSetAgreesWithMap(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	names := map[string]bool{}
	exact, below := NewSet(SetNames, 0), NewSet(SetSuffixes, 100)
	for range 20_000 {
		text := "."
		for range random.IntN(5) {
			text = fmt.Sprintf("%x.%s", random.IntN(40), strings.TrimPrefix(text, "."))
		}
		name := wireName(text)
		if exact.AddName(name) != !names[string(name)] || below.AddName(name) != !names[string(name)] {
			t.Fatalf("%q: wrongly new or known", text)
		}
		names[string(name)] = true
	}
	if exact.Len() != len(names) || below.Len() != len(names) {
		t.Fatalf("%d and %d names, want %d", exact.Len(), below.Len(), len(names))
	}
	small := NewSet(SetSuffixes, 2)
	small.AddName(wireName("a.b.test."))
	small.AddName(wireName("c.test."))
	for text, want := range map[string]bool{"a.b.test.": true, "x.a.b.test.": true, "b.test.": false, "test.": false, "xa.b.test.": false, "y.z.c.test.": true, ".": false, strings.Repeat("a.", 126): false, strings.Repeat("a.", 123) + "c.test.": true} {
		var q Query
		q.Reset()
		if q.Name = wireName(text); small.holds(&q) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	for range 2000 {
		name := wireName(fmt.Sprintf("%x.%x.%x.", random.IntN(50), random.IntN(50), random.IntN(50)))
		var q Query
		q.Reset()
		q.Name = name
		if exact.holds(&q) != names[string(name)] {
			t.Fatalf("%q", name)
		}
	}
}

// TestSourcesStayBounded: a flood of sources takes no memory, and leaves those that ask most in the table.
func TestSourcesStayBounded(t *testing.T) {
	r := Rate{PerSecond: 10, Burst: 10, Bits4: 32, Bits6: 64, Sources: 64}
	s := newSources(r.Sources)
	heavy := netip.MustParseAddr("10.0.0.1")
	random := rand.New(rand.NewPCG(5, 6))
	over, now := 0, int64(1e9)
	for range 100_000 {
		now += 1e5
		if s.over(&r, heavy, now) {
			over++
		}
		s.over(&r, netip.AddrFrom4([4]byte{11, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}), now)
	}
	if len(s.table) != 64 || over < 99_000 {
		t.Errorf("%d places; of 100000 queries in 10 s, %d were over 10 a second", len(s.table), over)
	}
}

// TestBucketsKeepTheirRate: what passes is the burst and the rate, however the queries are spread.
func TestBucketsKeepTheirRate(t *testing.T) {
	for _, step := range []int64{1e5, 1e6, 7e6, 99e6} {
		r := Rate{PerSecond: 100, Burst: 50, Bits4: 32, Bits6: 64, Sources: 4}
		var b bucket
		s := newSources(4)
		var passed [2]int
		for now := int64(1e9); now < 11e9; now += step {
			if !b.over(&r, now) {
				passed[0]++
			}
			if !s.over(&r, netip.MustParseAddr("10.0.0.1"), now) {
				passed[1]++
			}
		}
		want := min(50+1000, int(10e9/step))
		for i, n := range passed {
			if n < want-12 || n > want+12 {
				t.Errorf("a query each %d ns, bucket %d: %d passed in 10 s, want %d", step, i, n, want)
			}
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	is := func(s Selector) Match { return Match{Selector: s} }
	deep := Everything()
	for range DepthMax + 1 {
		deep = Match{Op: Not, Of: []Match{deep}}
	}
	rate := Rate{PerSecond: 1, Burst: 1, Bits4: 32, Bits6: 64, Sources: 4}
	bad := func(change func(*Rate)) Rate { r := rate; change(&r); return r }
	for name, rules := range map[string][]Rule{
		"no name":          {{Match: Everything(), Action: Action{Do: Drop}}},
		"twice":            {{Name: "a", Match: Everything(), Action: Action{Do: Drop}}, {Name: "a", Match: Everything(), Action: Action{Do: Drop}}},
		"chain":            {{Name: "a", Chain: ChainCount, Match: Everything()}},
		"view":             {{Name: "a", Views: []int{64}, Match: Everything()}},
		"deep":             {{Name: "a", Match: deep}},
		"empty any":        {{Name: "a", Match: Match{Op: Any}}},
		"not of two":       {{Name: "a", Match: Match{Op: Not, Of: []Match{Everything(), Everything()}}}},
		"no names":         {{Name: "a", Match: is(Selector{Kind: QName})}},
		"no pattern":       {{Name: "a", Match: is(Selector{Kind: Regex})}},
		"no set":           {{Name: "a", Match: is(Selector{Kind: InSet})}},
		"range":            {{Name: "a", Match: is(Selector{Kind: Labels, Low: 2, High: 1})}},
		"chance":           {{Name: "a", Match: is(Selector{Kind: Chance, Share: 1.5})}},
		"rate":             {{Name: "a", Match: is(Selector{Kind: OverRate})}},
		"prefix":           {{Name: "a", Match: is(Selector{Kind: OverSourceRate, Rate: bad(func(r *Rate) { r.Bits4 = 33 })})}},
		"sources":          {{Name: "a", Match: is(Selector{Kind: OverSourceRate, Rate: bad(func(r *Rate) { r.Sources = 5 })})}},
		"schedule":         {{Name: "a", Match: is(Selector{Kind: Clock})}},
		"answer in query":  {{Name: "a", Match: is(Selector{Kind: RCode})}},
		"query of answer":  {{Name: "a", Chain: ChainResponse, Match: is(Selector{Kind: EDNSVersion})}},
		"kept by client":   {{Name: "a", Chain: ChainResponse, Match: is(Selector{Kind: Source})}, {Name: "b", Chain: ChainResponse, Match: Everything(), Action: Action{Do: SkipCache}}},
		"least by client":  {{Name: "a", Chain: ChainResponse, Views: []int{0}, Match: Everything(), Action: Action{Do: LimitTTL, Low: 1, High: 2}}},
		"delay":            {{Name: "a", Match: Everything(), Action: Action{Do: Delay}}},
		"delay on a miss":  {{Name: "a", Chain: ChainMiss, Match: Everything(), Action: Action{Do: Delay, Wait: 1}}},
		"route of answers": {{Name: "a", Chain: ChainResponse, Match: Everything(), Action: Action{Do: Route}}},
		"tags of our own":  {{Name: "a", Chain: ChainOwn, Match: Everything(), Action: Action{Do: SetTags}}},
		"limit":            {{Name: "a", Match: Everything(), Action: Action{Do: Limit, Rate: rate, Over: Route}}},
		"TTLs":             {{Name: "a", Match: Everything(), Action: Action{Do: LimitTTL, Low: 2, High: 1}}},
		"too many":         manyRules(RulesMax + 1),
	} {
		if _, err := Compile(rules, nil, 1); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Compile(manyRules(RulesMax), nil, 1); err != nil {
		t.Error(err)
	}
}

// FuzzRun: no name and no options make a chain fail or change what it decides on the rest.
func FuzzRun(f *testing.F) {
	set := NewSet(SetSuffixes, 1)
	set.AddName(wireName("listed.test."))
	p, err := Compile([]Rule{
		{Name: "a", Match: Match{Op: All, Of: []Match{{Selector: Selector{Kind: InSet, Set: NewSetRef("s", set)}}, {Selector: Selector{Kind: Labels, Low: 200, High: 300}}}}, Action: Action{Do: Drop}},
		{Name: "b", Match: Match{Selector: Selector{Kind: Suffix, Names: [][]byte{wireName("example.")}}}, Action: Action{Do: SetTags, Set: 1}},
		{Name: "c", Match: Match{Selector: Selector{Kind: EDNSOption, Numbers: []uint16{1}}}, Action: Action{Do: SetTags, Set: 2}},
		{Name: "d", Match: Match{Selector: Selector{Kind: QName, Names: [][]byte{wireName("a.example.")}}}, Action: Action{Do: SetTags, Set: 4}},
	}, nil, 1)
	if err != nil {
		f.Fatal(err)
	}
	s := newState(p)
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01a\x07Example\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x05\x00\x01\x00\x01x"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var parsed wire.Query
		if wire.ParseQuery(msg, &parsed) != wire.FaultNone {
			return
		}
		var space [wire.KeyBytesMax]byte
		var q Query
		q.Reset()
		q.Name, q.Options = wire.KeyName(parsed.Key(&space)), parsed.Options
		var v Verdict
		p.Run(ChainQuery, &q, s, &v)
		if v.Outcome != Pass {
			t.Fatal("no name has 200 labels")
		}
		below := q.Tags&1 != 0
		if want := wire.Below(q.Name, wireName("example.")); below != want {
			t.Errorf("%q: below example. %v", q.Name, below)
		}
		if q.Tags&4 != 0 != (string(q.Name) == string(wireName("a.example."))) {
			t.Errorf("%q: tags %b", q.Name, q.Tags)
		}
		if text := appendText(nil, q.Name); len(text) > textBytesMax || len(text) == 0 {
			t.Errorf("text %q", text)
		}
	})
}

func TestNamesAsText(t *testing.T) {
	for text, want := range map[string]string{".": ".", "a.b-c_1.": "a.b-c_1."} {
		if got := string(appendText(nil, wireName(text))); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := string(appendText(nil, []byte("\x04a.\\\x00\x00"))); got != `a\046\092\000.` {
		t.Error(got)
	}
}
