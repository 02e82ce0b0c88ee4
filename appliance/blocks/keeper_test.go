package blocks

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/worker/block"
)

// stage is a Keeper with its traffic, its log, and the last table that it gave out.
type stage struct {
	*Keeper
	*traffic
	t     *testing.T
	clock time.Time
	text  bytes.Buffer
	table *block.Table
	puts  int
}

func newStage(t *testing.T, cfg Config) *stage {
	s := &stage{t: t, clock: time.Unix(1_800_000_000, 0), traffic: newTraffic(t, &cfg)}
	s.Keeper = NewKeeper(slog.New(slog.NewTextHandler(&s.text, nil)), 1, func(table *block.Table) { s.table = table; s.puts++ }, nil)
	s.Adopt(cfg)
	return s
}

// pass lets seconds pass in which act happens.
func (s *stage) pass(seconds int, act func()) {
	for range seconds {
		if act != nil {
			act()
		}
		s.clock = s.clock.Add(time.Second)
		s.Look(s.second(), time.Second, s.clock)
	}
}

func (s *stage) lines(with string) int { return strings.Count(s.text.String(), with) }

func TestBlockBeginsLastsAndEnds(t *testing.T) {
	cfg := standard(rule(QueryRate, func(r *Rule) { r.Warn = 50 }))
	s := newStage(t, cfg)
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false); s.ask("127.0.0.7", 70, 1, 0, false) })
	list := s.List()
	if len(list) != 1 || list[0].Prefix.String() != "127.0.0.66/32" || list[0].By != "query_rate" || list[0].Action != block.Drop {
		t.Fatalf("list %+v", list)
	}
	if s.table.Source(netip.MustParseAddr("127.0.0.66")) == nil || s.puts != 1 {
		t.Errorf("in force after %d tables", s.puts)
	}
	if s.lines("msg=blocked") != 1 || s.lines("over a warning threshold") != 2 { // 127.0.0.66 on its way up, and 127.0.0.7
		t.Errorf("log:\n%s", s.text.String())
	}
	for range 5 {
		s.table.Source(netip.MustParseAddr("127.0.0.66")).Blocks(0, 1)
	}
	s.pass(50, func() { s.ask("127.0.0.66", 150, 1, 0, false) }) // it goes on: so does the block
	if len(s.List()) != 1 {
		t.Error("ended while the flood lasts")
	}
	s.pass(70, nil)
	if len(s.List()) != 0 || s.table.HasSources() || s.lines("block ended") != 1 || s.lines("blocked_queries=5") != 1 {
		t.Errorf("after the flood: %+v\n%s", s.List(), s.text.String())
	}
	if got := s.Totals(); got.Added["query_rate"] != 1 || got.Blocked["query_rate"] != 5 {
		t.Errorf("totals %+v", got)
	}
}

func TestByHand(t *testing.T) {
	cfg := standard(rule(QueryRate, nil))
	s := newStage(t, cfg)
	one := netip.MustParsePrefix("127.0.0.66/32")
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false) })
	if err := s.Remove(one, "", s.clock.Add(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false) })
	if len(s.List()) != 0 {
		t.Error("a rule put back what was taken off by hand")
	}
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false) })
	if len(s.List()) != 1 {
		t.Error("the pardon does not end")
	}
	if err := s.Add(Block{Prefix: one, Action: block.Limit, Rate: 5}, s.clock); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(Block{Name: string(wireName("bad.example.")), Action: block.Refuse, Until: s.clock.Add(10 * time.Second)}, s.clock); err != nil {
		t.Fatal(err)
	}
	s.pass(100, nil)
	if list := s.List(); len(list) != 1 || list[0].By != Operator || list[0].Rate != 5 {
		t.Errorf("list %+v", list)
	}
	if err := s.Add(Block{Prefix: one, Action: block.Limit}, s.clock); err == nil || len(s.List()) != 1 {
		t.Errorf("a bad block in the place of a good one: %v, %+v", err, s.List())
	}
	if err := s.Remove(netip.MustParsePrefix("127.0.0.67/32"), "", s.clock); err != ErrUnknown {
		t.Errorf("got %v", err)
	}
}

func TestReload(t *testing.T) {
	a, b := rule(QueryRate, nil), rule(ByteRate, func(r *Rule) { r.Threshold = 12_000 })
	cfg := standard(a, b)
	s := newStage(t, cfg)
	flood := func() {
		s.ask("127.0.0.66", 150, 1, 0, false)
		s.ask("127.0.0.67", 150, 1, 0, false)
	}
	s.pass(20, flood)
	if err := s.Add(Block{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, s.clock); err != nil || len(s.List()) != 3 {
		t.Fatal(err, s.List())
	}
	cfg.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.67/32")}
	s.Adopt(cfg)
	s.pass(20, flood)
	if list := s.List(); len(list) != 2 {
		t.Errorf("exempt: %+v", list)
	}
	s.Adopt(Config{})
	if list := s.List(); len(list) != 1 || list[0].By != Operator {
		t.Errorf("without rules: %+v", list)
	}
}

// Thousands of sources at once fill the list and some lines of the log, not more.
func TestManyAtOnce(t *testing.T) {
	cfg := standard(rule(QueryRate, func(r *Rule) { r.Threshold, r.Window = 2, time.Second }))
	s := newStage(t, cfg)
	for round := range 12 {
		s.pass(3, func() {
			for i := range 1000 {
				s.ask(fmt.Sprintf("127.%d.%d.%d", round, i/250, i%250), 6, 1, 0, false)
			}
		})
	}
	if n := len(s.List()); n != block.EntriesMax {
		t.Errorf("%d blocks", n)
	}
	if got := s.Totals(); got.Full == 0 {
		t.Error("nobody was told that the list is full")
	}
	if n := s.lines("msg=blocked"); n > 36*linesMax || s.lines("left_out=") == 0 {
		t.Errorf("%d lines", n)
	}
}

// kernel is one that drops all that it is told to.
type kernel struct {
	set     []netip.Prefix
	dropped map[netip.Prefix]uint64
}

func (k *kernel) Set(list []netip.Prefix) error { k.set = list; return nil }

func (k *kernel) Dropped() map[netip.Prefix]uint64 { return k.dropped }

// What the kernel drops no worker counts; the block lasts all the same while it comes, and is counted.
func TestKernel(t *testing.T) {
	cfg := standard(rule(QueryRate, nil))
	s := newStage(t, cfg)
	k := new(kernel)
	s.kernel = k
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false) })
	one := netip.MustParsePrefix("127.0.0.66/32")
	if len(k.set) != 1 || k.set[0] != one {
		t.Fatalf("the kernel drops %v", k.set)
	}
	k.dropped = map[netip.Prefix]uint64{one: 150}
	for range 200 {
		s.clock = s.clock.Add(time.Second)
		second := s.second()
		s.countEarly(second, time.Second)
		s.Look(second, time.Second, s.clock)
	}
	if list := s.List(); len(list) != 1 || list[0].Blocked != 200*150 {
		t.Errorf("list %+v", list)
	}
	k.dropped = nil
	s.pass(100, nil)
	if len(s.List()) != 0 || len(k.set) != 0 {
		t.Errorf("after the flood: %+v, the kernel drops %v", s.List(), k.set)
	}
	if got := s.Totals(); got.Early != 200*150 || got.Blocked["query_rate"] != got.Early {
		t.Errorf("totals %+v", got)
	}
	if err := s.Add(Block{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Action: block.Refuse}, s.clock); err != nil || len(k.set) != 0 {
		t.Errorf("what is refused is not for the kernel: %v, %v", err, k.set)
	}
}
