package stream

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"secure-dns-proxy/ring"
)

// small is a table in which every limit is near.
func small() Config {
	return Config{Conns: 8, ConnsPerClient: 8, InFlightPerConn: 4, IdleTimeout: time.Second, PoolSmall: 16, PoolLarge: 8}
}

// newTable makes a table, and at the end of the test checks that nothing is left in it.
func newTable(t testing.TB, cfg Config) *Table {
	t.Helper()
	table, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range table.conns {
			if c := &table.conns[i]; c.is(flagOpen) {
				table.Release(idOf(uint32(i), c.gen))
			}
		}
		checkEmpty(t, table)
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

func checkEmpty(t testing.TB, table *Table) {
	t.Helper()
	if s := table.Stats(); s.Conns != 0 || s.SmallInUse != 0 || s.LargeInUse != 0 {
		t.Errorf("left when all is released: %d connections, %d small and %d large buffers", s.Conns, s.SmallInUse, s.LargeInUse)
	}
	for i, e := range table.clients.entries {
		if e != (clientEntry{}) {
			t.Errorf("left when all is released: client entry %d: %+v", i, e)
		}
	}
	if table.NextTimer(0) != -1 {
		t.Error("left when all is released: an idle timer")
	}
}

func peer(addr string) *ring.Path {
	p := &ring.Path{}
	p.SetAddr(netip.AddrPortFrom(netip.MustParseAddr(addr), 4000))
	return p
}

// accept takes in a connection that nothing is special about.
func accept(t testing.TB, table *Table) ConnID {
	t.Helper()
	id, refusal := table.Accept(1, peer("192.0.2.1"), 0)
	if refusal != RefusalNone {
		t.Fatalf("accept: %v", refusal)
	}
	return id
}

func TestSizes(t *testing.T) {
	tests := []struct {
		name      string
		got, most uintptr
	}{
		{"Conn", unsafe.Sizeof(Conn{}), 112},
		{"clientEntry", unsafe.Sizeof(clientEntry{}), 16},
		{"BufferLargeBytes over whole pages", BufferLargeBytes % 4096, 0},
	}
	for _, tt := range tests {
		if tt.got > tt.most {
			t.Errorf("%s is %d bytes, want at most %d", tt.name, tt.got, tt.most)
		}
	}
}

func TestNewReportsAllProblems(t *testing.T) {
	if err := Defaults().validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	tests := []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"zero", func(c *Config) { *c = Config{} }, []string{"connections 0", "per client 0", "per connection 0", "small buffers 0", "large buffers 0", "idle timeout 0s"}},
		{"too many", func(c *Config) { c.Conns = ConnsMax + 1 }, []string{"connections 64512: want 1 to 64511"}},
		{"client above total", func(c *Config) { c.ConnsPerClient = 9 }, []string{"per client 9: want 1 to 8"}},
		{"in flight", func(c *Config) { c.InFlightPerConn = InFlightMax + 1 }, []string{"per connection 4097"}},
		{"pools", func(c *Config) { c.PoolSmall, c.PoolLarge = PoolSmallMax+1, PoolLargeMax+1 }, []string{"small buffers", "large buffers"}},
		{"idle", func(c *Config) { c.IdleTimeout = 2 * IdleTimeoutMax }, []string{"idle timeout 2h"}},
	}
	for _, tt := range tests {
		cfg := small()
		tt.change(&cfg)
		table, err := New(cfg)
		if err == nil {
			table.Close()
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q, want it to say %q", tt.name, err, want)
			}
		}
	}
}

func TestConnKeepsWhoItIs(t *testing.T) {
	table := newTable(t, small())
	from := peer("2001:db8::1")
	id, _ := table.Accept(77, from, 0)
	c := table.Conn(id)
	if id == 0 || c == nil || c.Handle != 77 || c.Peer != *from || c.InFlight() != 0 || c.Shut() {
		t.Fatalf("connection %d = %+v", id, c)
	}
	if table.Len() != 1 {
		t.Errorf("Len = %d, want 1", table.Len())
	}
}

func TestStaleIDs(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	for name, stale := range map[string]ConnID{
		"zero":              0,
		"never used":        2,
		"beyond the table":  1<<indexBits - 1,
		"other generation":  id + 1<<indexBits,
		"former generation": id - 1<<indexBits,
	} {
		if table.Conn(stale) != nil {
			t.Errorf("%s: id %#x names a connection", name, uint32(stale))
		}
	}
	table.Release(id)
	// Nothing of this may have an effect, or panic.
	table.Feed(id, []byte{0, 1, 'x'})
	if msg, status := table.Next(id); msg != nil || status != NeedMore {
		t.Errorf("Next of a released connection = %v %v", msg, status)
	}
	table.Begin(id)
	table.Done(id, 1)
	table.End(id)
	table.Sent(id)
	table.Release(id)
	if table.Reserve(id, 10) != nil || table.Output(id) != nil || table.WantRead(id) || table.ShouldClose(id) || table.Pending(id) || table.Shut(id) {
		t.Error("a released connection still wants something")
	}
}

// TestNumbersComeBackLate is the proof behind connsSpare: a number is not given again before connsSpare others were.
func TestNumbersComeBackLate(t *testing.T) {
	cfg := small()
	table := newTable(t, cfg)
	for range cfg.Conns - 1 {
		accept(t, table)
	}
	last := map[uint32]int{}
	seen := map[ConnID]bool{}
	for n := range 5 * connsSpare {
		id := accept(t, table)
		if seen[id] {
			t.Fatalf("id %#x given twice within %d connections", uint32(id), n)
		}
		seen[id] = true
		if before, ok := last[id.index()]; ok && n-before < connsSpare {
			t.Fatalf("number %d given again after %d connections, want at least %d", id.index(), n-before, connsSpare)
		}
		last[id.index()] = n
		table.Release(id)
	}
}

func TestCaps(t *testing.T) {
	cfg := small()
	cfg.Conns, cfg.ConnsPerClient = 5, 2
	table := newTable(t, cfg)
	var first ConnID
	for i, tt := range []struct {
		from string
		want Refusal
	}{
		{"192.0.2.1", RefusalNone},
		{"::ffff:192.0.2.1", RefusalNone}, // the same client on a dual-stack socket
		{"192.0.2.1", RefusedClient},
		{"2001:db8:0:1::1", RefusalNone},
		{"2001:db8:0:1:ffff::2", RefusalNone}, // the same /64
		{"2001:db8:0:1::3", RefusedClient},
		{"2001:db8:0:2::1", RefusalNone},
		{"192.0.2.9", RefusedTotal},
	} {
		id, refusal := table.Accept(ring.Handle(i+1), peer(tt.from), 0)
		if refusal != tt.want || (id != 0) != (tt.want == RefusalNone) {
			t.Errorf("%d: %s: %v (id %d), want %v", i, tt.from, refusal, id, tt.want)
		}
		if i == 0 {
			first = id
		}
	}
	table.Shut(first)
	if _, refusal := table.Accept(1, peer("192.0.2.1"), 0); refusal != RefusedTotal {
		t.Errorf("a shut connection does not count any more: %v", refusal)
	}
	table.Release(first)
	if _, refusal := table.Accept(1, peer("192.0.2.1"), 0); refusal != RefusalNone {
		t.Errorf("after Release: %v", refusal)
	}
	s := table.Stats()
	if got, want := []uint64{s.Accepted, s.RefusedTotal, s.RefusedClient}, []uint64{6, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("accepted, refused in total and by client = %v, want %v", got, want)
	}
}

func TestAllVisitsWhatIsNotShut(t *testing.T) {
	table := newTable(t, small())
	var want []ConnID
	for range 4 {
		want = append(want, accept(t, table))
	}
	table.Shut(want[1])
	want = slices.Delete(want, 1, 2)
	var got []ConnID
	for id := range table.All() {
		got = append(got, id)
		table.Shut(id)
	}
	if !slices.Equal(got, want) {
		t.Errorf("visited %v, want %v", got, want)
	}
}

func TestMisusePanics(t *testing.T) {
	tests := []struct {
		name string
		do   func(table *Table, id ConnID)
	}{
		{"Done without Begin", func(table *Table, id ConnID) { table.Done(id, 0) }},
		{"Begin beyond the cap", func(table *Table, id ConnID) {
			for range small().InFlightPerConn + 1 {
				table.Begin(id)
			}
		}},
		{"Reserve nothing", func(table *Table, id ConnID) { table.Reserve(id, 0) }},
		{"Reserve too much", func(table *Table, id ConnID) { table.Reserve(id, 65536) }},
		{"Commit without Reserve", func(table *Table, id ConnID) { table.Commit(id, 1) }},
		{"Commit twice", func(table *Table, id ConnID) { table.Reserve(id, 9); table.Commit(id, 9); table.Commit(id, 9) }},
		{"Commit beyond", func(table *Table, id ConnID) { table.Reserve(id, 9); table.Commit(id, 10) }},
		{"Commit after Shut", func(table *Table, id ConnID) { table.Reserve(id, 9); table.Shut(id); table.Commit(id, 9) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, small())
			id := accept(t, table)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.do(table, id)
		})
	}
}

func TestStrings(t *testing.T) {
	for _, tt := range []struct {
		got  fmt.Stringer
		want string
	}{
		{RefusalNone, "none"},
		{RefusedTotal, "too many connections"},
		{RefusedClient, "too many connections of this client"},
		{Message, "message"},
		{NeedMore, "need more"},
		{TooMany, "too many"},
		{Broken, "broken"},
	} {
		if tt.got.String() != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
