package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// wire packs a name in presentation form.
func wire(t testing.TB, name string) []byte {
	t.Helper()
	buf := make([]byte, 255)
	n, err := dns.PackDomainName(strings.ToLower(name), buf, 0, nil, false)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return buf[:n]
}

func TestLongestSuffixDecides(t *testing.T) {
	table := New()
	for suffix, pool := range map[string]uint8{"corp.example.": 1, "eu.corp.example.": 2, "local.": 3} {
		if err := table.Add(wire(t, suffix), pool); err != nil {
			t.Fatal(err)
		}
	}
	deep := strings.Repeat("a.", 100) + "eu.corp.example."
	for name, want := range map[string]uint8{
		"corp.example.": 1, "www.corp.example.": 1, "xcorp.example.": 0, "example.": 0, ".": 0,
		"eu.corp.example.": 2, "a.b.eu.corp.example.": 2, "neu.corp.example.": 1, "local.": 3, "printer.local.": 3, deep: 2,
		"corp.example.com.": 0,
	} {
		got, ok := table.Lookup(wire(t, name))
		if got != want || ok != (want != 0) {
			t.Errorf("%s: pool %d, %t; want %d", name, got, ok, want)
		}
	}
}

func TestRootTakesAll(t *testing.T) {
	table := New()
	if err := table.Add(wire(t, "."), 4); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "example.", strings.Repeat("a.", 127)} {
		if got, ok := table.Lookup(wire(t, name)); got != 4 || !ok {
			t.Errorf("%q: pool %d, %t", name, got, ok)
		}
	}
}

func TestBadSuffixes(t *testing.T) {
	table := New()
	if err := table.Add(wire(t, "example."), 1); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, {3, 'a', 'b', 'c'}, {9, 'a', 0}, wire(t, "example.")} {
		if err := table.Add(bad, 2); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if table.Len() != 1 {
		t.Errorf("%d suffixes, want 1", table.Len())
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := New()
	for i := range 100 {
		if err := table.Add(wire(t, fmt.Sprintf("s%d.example.", i)), 1); err != nil {
			t.Fatal(err)
		}
	}
	hit, miss := wire(t, "a.b.s7.example."), wire(t, "www.example.org.")
	if n := testing.AllocsPerRun(100, func() { table.Lookup(hit); table.Lookup(miss) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzLookup(f *testing.F) {
	table := New()
	if err := table.Add(wire(f, "corp.example."), 1); err != nil {
		f.Fatal(err)
	}
	f.Add(wire(f, "www.corp.example."))
	f.Add([]byte{200, 1})
	f.Fuzz(func(t *testing.T, name []byte) {
		got, ok := table.Lookup(name)
		text, _, err := dns.UnpackDomainName(name, 0)
		if err != nil || len(name) > 255 {
			return // the worker looks up what it has parsed: only that there is no panic counts
		}
		if packed := wire(t, text); string(packed) == string(name) && ok != dns.IsSubDomain("corp.example.", text) {
			t.Errorf("%q: pool %d, %t", text, got, ok)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	table := New()
	for i := range 1000 {
		if err := table.Add(wire(b, fmt.Sprintf("s%d.corp.example.", i)), 1); err != nil {
			b.Fatal(err)
		}
	}
	name := wire(b, "www.department.s500.corp.example.")
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup(name)
	}
}
