package block

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func wireName(t testing.TB, name string) []byte {
	buf := make([]byte, 255)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func source(t testing.TB, prefix string, action Action, rate int) *Entry {
	e, err := NewEntry(netip.MustParsePrefix(prefix), nil, action, rate, 2)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func name(t testing.TB, text string) *Entry {
	e, err := NewEntry(netip.Prefix{}, wireName(t, text), Refuse, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheLongestCounts(t *testing.T) {
	all := source(t, "127.0.0.0/8", Drop, 0)
	one := source(t, "127.0.0.1/32", Refuse, 0)
	six := source(t, "2001:db8::/64", Drop, 0)
	deep, wide := name(t, "victim.example."), name(t, "example.")
	table, err := New([]*Entry{all, one, six, deep, wide})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]*Entry{"127.0.0.1": one, "127.0.0.2": all, "10.0.0.1": nil, "2001:db8::77": six, "2001:db8:1::1": nil} {
		if got := table.Source(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %+v, want %+v", addr, got, want)
		}
	}
	for text, want := range map[string]*Entry{
		"victim.example.": deep, "a.b.victim.example.": deep, "example.": wide, "xvictim.example.": wide, "org.": nil, ".": nil,
	} {
		if got := table.Name(wireName(t, text)); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	root, err := New([]*Entry{name(t, ".")})
	if err != nil {
		t.Fatal(err)
	}
	if root.Name(wireName(t, "anything.example.")) == nil {
		t.Error("the root does not stand for all")
	}
}

func TestWhatIsRefused(t *testing.T) {
	for what, make := range map[string]func() error{
		"want one of them": func() error { _, err := NewEntry(netip.Prefix{}, nil, Drop, 0, 1); return err },
		"want 1 to":        func() error { _, err := NewEntry(netip.MustParsePrefix("::/0"), nil, Limit, 0, 1); return err },
		"else none":        func() error { _, err := NewEntry(netip.MustParsePrefix("::/0"), nil, Drop, 5, 1); return err },
		"stands twice": func() error {
			_, err := New([]*Entry{source(t, "127.0.0.0/8", Drop, 0), source(t, "127.0.0.0/8", Refuse, 0)})
			return err
		},
		"name \"\\x01a\\x00\" stands twice": func() error { _, err := New([]*Entry{name(t, "a."), name(t, "a.")}); return err },
		"is no name": func() error {
			_, err := New([]*Entry{{Name: []byte("\x05abc")}})
			return err
		},
		"at most": func() error {
			_, err := New(append([]*Entry{}, make4097(t)...))
			return err
		},
	} {
		if err := make(); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}

func make4097(t *testing.T) []*Entry {
	var list []*Entry
	for range EntriesMax + 1 {
		list = append(list, name(t, "a."))
	}
	return list
}

func TestLimitLetsItsRatePass(t *testing.T) {
	e := source(t, "127.0.0.0/8", Limit, 20) // 10 for each of two workers
	passed := 0
	now := int64(100 * time.Second)
	for i := range 3000 { // three seconds
		if !e.Blocks(0, now+int64(i)*int64(time.Millisecond)) {
			passed++
		}
	}
	if passed < 38 || passed > 41 { // one second's worth at once, then the rate
		t.Errorf("%d passed", passed)
	}
	if !e.Blocks(0, now+3000*int64(time.Millisecond)) {
		passed++
	}
	if got := e.Blocked(); got != uint64(3001-passed) {
		t.Errorf("%d blocked, %d passed", got, passed)
	}
	if e.Blocks(1, now) {
		t.Error("another worker has a bucket of its own")
	}
}

func TestNothingAllocates(t *testing.T) {
	table, err := New([]*Entry{source(t, "127.0.0.0/8", Limit, 10), name(t, "victim.example.")})
	if err != nil {
		t.Fatal(err)
	}
	addr, asked := netip.MustParseAddr("127.0.0.9"), wireName(t, "a.b.c.victim.example.")
	if n := testing.AllocsPerRun(100, func() {
		table.Source(addr).Blocks(0, 1)
		table.Name(asked).Blocks(1, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSource(b *testing.B) {
	table, err := New([]*Entry{source(b, "127.0.0.0/8", Drop, 0), source(b, "10.0.0.1/32", Drop, 0)})
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("127.0.0.9")
	for b.Loop() {
		table.Source(addr)
	}
}

func BenchmarkName(b *testing.B) {
	table, err := New([]*Entry{name(b, "victim.example."), name(b, "other.co.example.")})
	if err != nil {
		b.Fatal(err)
	}
	asked := wireName(b, "random.www.shop.example.")
	for b.Loop() {
		table.Name(asked)
	}
}
