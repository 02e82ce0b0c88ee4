package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/transport/wire"
)

// BenchmarkRules is a chain of 200 rules on a query that none of them is final for: 200 suffixes; 200 types and names mixed with selectors that have
// to be looked at for every query; 200 of the latter alone; 200 sources; and 200 that nothing is known about beforehand: tags, options, and what stands
// in any and not.
func BenchmarkRules(b *testing.B) {
	var mixed, plain, sources, stubborn []Rule
	for i := range 200 {
		s := Selector{Kind: Suffix, Names: [][]byte{wireName(fmt.Sprintf("zone%d.test.", i))}}
		switch i % 4 {
		case 1:
			s = Selector{Kind: QType, Numbers: []uint16{uint16(100 + i)}}
		case 2:
			s = Selector{Kind: QName, Names: [][]byte{wireName(fmt.Sprintf("www.zone%d.test.", i))}}
		case 3:
			s = Selector{Kind: Labels, Low: uint32(20 + i%50), High: 127}
		}
		mixed = append(mixed, Rule{Name: fmt.Sprint(i), Match: Match{Selector: s}, Action: Action{Do: Drop}})
		source := Selector{Kind: Source, Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24)}}
		sources = append(sources, Rule{Name: fmt.Sprint(i), Match: Match{Selector: source}, Action: Action{Do: Drop}})
		hard := Match{Selector: Selector{Kind: Tagged, Tags: 1 << (i % 64)}}
		switch i % 4 {
		case 1:
			hard.Selector = Selector{Kind: EDNSOption, Numbers: []uint16{uint16(i)}}
		case 2:
			hard = Match{Op: Any, Of: []Match{{Selector: Selector{Kind: TCP, Want: true}}, {Selector: Selector{Kind: Labels, Low: 20, High: 127}}}}
		case 3:
			hard = Match{Op: Not, Of: []Match{{Selector: Selector{Kind: Source, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}}
		}
		stubborn = append(stubborn, Rule{Name: fmt.Sprint(i), Match: hard, Action: Action{Do: Drop}})
		plain = append(plain, Rule{Name: fmt.Sprint(i), Match: Match{Selector: Selector{Kind: Labels, Low: uint32(20 + i%50), High: 127}}, Action: Action{Do: Drop}})
	}
	client := netip.MustParseAddrPort("10.9.0.1:5353")
	for _, of := range []struct {
		name  string
		rules []Rule
	}{{"suffixes", manyRules(200)}, {"mixed", mixed}, {"unindexed", plain}, {"sources", sources}, {"stubborn", stubborn}} {
		b.Run(of.name, func(b *testing.B) {
			p, err := Compile(of.rules, nil, 1)
			if err != nil {
				b.Fatal(err)
			}
			s, name := newState(p), wireName("www.some.domain.example.")
			var q Query
			var v Verdict
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				q.Reset()
				q.Name, q.Type, q.Class, q.Flags, q.Source = name, 1, 1, wire.FlagRD, client
				p.Run(ChainQuery, &q, s, &v)
			}
			b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
			if v.Outcome != Pass {
				b.Fatal("matched")
			}
		})
	}
}

// BenchmarkSet is a look-up in a set of a million suffixes, from memory that is not in the cache: names of 4 labels, one of 8 of which is in it.
func BenchmarkSet(b *testing.B) {
	const entries = 1_000_000
	set := NewSet(SetSuffixes, entries)
	for i := range entries {
		set.AddName(wireName(fmt.Sprintf("host%d.zone%d.test.", i, i%977)))
	}
	var names [][]byte
	for i := range 1 << 14 {
		n := i * 61 % entries
		if i%8 != 0 {
			n += 500 // in another zone: not in the set
		}
		names = append(names, wireName(fmt.Sprintf("www.host%d.zone%d.test.", n, i*61%entries%977)))
	}
	hits := 0
	var q Query
	b.ReportAllocs()
	i, start := 0, cpuTime(b)
	for b.Loop() {
		q.Reset()
		q.Name = names[i&(len(names)-1)]
		if i++; set.holds(&q) {
			hits++
		}
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(set.TableBytes())/entries, "bytes/entry")
	b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
}

// BenchmarkSetLoad is adding a million names.
func BenchmarkSetLoad(b *testing.B) {
	var names [][]byte
	for i := range 1_000_000 {
		names = append(names, wireName(fmt.Sprintf("host%d.zone%d.test.", i, i%977)))
	}
	for b.Loop() {
		set := NewSet(SetSuffixes, len(names))
		for _, name := range names {
			set.AddName(name)
		}
	}
}

func BenchmarkRegex(b *testing.B) {
	p, err := Compile([]Rule{{Name: "a", Match: Match{Selector: Selector{Kind: Regex, Pattern: regexp.MustCompile(`^(ads|track)[0-9]*\.`)}}, Action: Action{Do: Drop}}}, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	s, name := newState(p), wireName("www.some.domain.example.")
	var q Query
	var v Verdict
	b.ReportAllocs()
	for b.Loop() {
		q.Reset()
		q.Name = name
		p.Run(ChainQuery, &q, s, &v)
	}
}

// cpuTime is what this process has used of CPUs, which others that use the machine do not lengthen.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
