package sys

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// always drops all but one in 2^32.
const always = math.MaxUint32

// address4 is 127.a.b.c, which loopback takes for any a, b, c.
func address4(n uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// address6 is the address ::9 of a /64.
func address6(n uint64) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(n >> (56 - 8*i))
	}
	b[15] = 9
	return netip.AddrFrom16(b)
}

// sends sends so many datagrams from source to a port.
func sends(t *testing.T, source netip.Addr, to netip.AddrPort, count int) {
	t.Helper()
	from, family, err := sockaddr(netip.AddrPortFrom(source, 0))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 { // an address of a local route, not of an interface
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Bind(fd, from); err != nil {
		t.Fatalf("bind %v: %v", source, err)
	}
	target, _, err := sockaddr(to)
	if err != nil {
		t.Fatal(err)
	}
	for range count {
		if err := unix.Sendto(fd, []byte("query"), 0, target); err != nil {
			t.Fatal(err)
		}
	}
}

// filtered binds a socket and gives it a filter.
func filtered(t *testing.T, at string, drops []SourceDrop) (fd int, addr netip.AddrPort) {
	t.Helper()
	fd, err := ListenUDP(netip.MustParseAddrPort(at), SocketOptions{RecvBufferBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if addr, err = LocalAddr(fd); err != nil {
		t.Fatal(err)
	}
	var f SourceFilter
	if err := f.Set(drops); err != nil {
		t.Fatal(err)
	}
	if err := f.Attach(fd); err != nil {
		t.Fatal(err)
	}
	return fd, addr
}

func dropsOf(t *testing.T, fd int) uint32 {
	t.Helper()
	q, err := ReceiveQueueOf(fd)
	if err != nil {
		t.Fatal(err)
	}
	return q.Drops
}

// some is how many ranges the tests take.
var some = []int{0, 1, 2, 3, 7, 40, SourceDropsMax}

// TestSourceFilterFindsItsRanges: every range's ends are dropped, and both neighbours of each are not; IPv4, on a socket of either family.
func TestSourceFilterFindsItsRanges(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, at := range []string{"127.0.0.1:0", "[::]:0"} {
		for _, n := range some {
			var drops []SourceDrop
			for next := uint64(0x7f000010); len(drops) < n; {
				d := SourceDrop{First: next, Last: next + random.Uint64N(3)*random.Uint64N(300), Odds: always}
				drops = append(drops, d)
				next = d.Last + 2 + random.Uint64N(1000)
			}
			random.Shuffle(n, func(i, k int) { drops[i], drops[k] = drops[k], drops[i] })
			fd, addr := filtered(t, at, drops)
			if addr.Addr().IsUnspecified() {
				addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
			}
			for _, d := range drops {
				for source, want := range map[uint64]int{d.First - 1: 1, d.First: 0, (d.First + d.Last) / 2: 0, d.Last: 0, d.Last + 1: 1} {
					sends(t, address4(source), addr, 1)
					if got := took(fd); got != want {
						t.Errorf("%s, %d ranges: %d of 1 from %v, want %d", at, n, got, address4(source), want)
					}
				}
			}
			sends(t, address4(0x7fffffff), addr, 1)
			sends(t, address4(0x7f000001), addr, 1)
			if got := took(fd); got != 2 {
				t.Errorf("%s, %d ranges: %d of 2 from others", at, n, got)
			}
			_ = CloseFD(fd)
		}
	}
}

// TestSourceFilterFindsItsRangesOfIPv6 takes a network namespace of its own, in which all of two /16 is local.
func TestSourceFilterFindsItsRangesOfIPv6(t *testing.T) {
	onThread(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Skipf("no network namespace: %v", err)
		}
		for _, words := range []string{"link set lo up", "-6 route add local 2001::/16 dev lo", "-6 route add local 2002::/16 dev lo"} {
			if out, err := exec.Command("sh", "-c", "ip "+words).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", words, err, out)
				return
			}
		}
		random := rand.New(rand.NewPCG(3, 4))
		for _, n := range some {
			var drops []SourceDrop
			next := uint64(0x2001_0000_0000_0010)
			for len(drops) < n {
				d := SourceDrop{V6: true, First: next, Last: next + random.Uint64N(2)*random.Uint64N(0x10000), Odds: always}
				drops = append(drops, d)
				next = d.Last + 2 + random.Uint64N(1000)
				if random.IntN(3) == 0 { // other upper 32 bits
					next = (next>>32+1+random.Uint64N(0x8000))<<32 + 1 + random.Uint64N(1<<31)
				}
			}
			fd, addr := filtered(t, "[::1]:0", drops)
			for _, d := range drops {
				for source, want := range map[uint64]int{d.First - 1: 1, d.First: 0, d.Last: 0, d.Last + 1: 1, d.First ^ 1<<33: 1, d.First ^ 1<<47: 1} {
					for _, other := range drops {
						if other.First <= source && source <= other.Last {
							want = 0
						}
					}
					sends(t, address6(source), addr, 1)
					if got := took(fd); got != want {
						t.Errorf("%d ranges: %d of 1 from %v, want %d", n, got, address6(source), want)
					}
				}
			}
			sends(t, netip.MustParseAddr("::1"), addr, 1)
			if got := took(fd); got != 1 {
				t.Errorf("%d ranges: ::1 is dropped", n)
			}
			_ = CloseFD(fd)
		}
	})
}

// TestSourceFilterDropsAShare: and counts what it drops, which others do not pay for.
func TestSourceFilterDropsAShare(t *testing.T) {
	const sent = 4000
	heavy, half, light := address4(0x7f000105), address4(0x7f000106), address4(0x7f000107)
	fd, addr := filtered(t, "127.0.0.1:0", []SourceDrop{
		{First: 0x7f000105, Last: 0x7f000105, Odds: math.MaxUint32 / 10 * 9}, {First: 0x7f000106, Last: 0x7f000106, Odds: 1 << 31},
	})
	defer CloseFD(fd)
	for source, want := range map[netip.Addr]float64{heavy: 0.1, half: 0.5, light: 1} {
		before := dropsOf(t, fd)
		got, dropped := 0, 0
		for range sent / 100 { // a batch at a time fits in any receive buffer
			sends(t, source, addr, 100)
			got += took(fd)
		}
		dropped = int(dropsOf(t, fd) - before)
		if share := float64(got) / sent; math.Abs(share-want) > 0.04 || source == light && got != sent {
			t.Errorf("%v: %d of %d arrived, want %v", source, got, sent, want)
		}
		if got+dropped != sent {
			t.Errorf("%v: %d of %d arrived, %d were counted as dropped", source, got, sent, dropped)
		}
	}
	if err := DetachFilter(fd); err != nil {
		t.Fatal(err)
	}
	sends(t, heavy, addr, 100)
	if got := took(fd); got != 100 {
		t.Errorf("without the filter: %d of 100", got)
	}
	if err := DetachFilter(fd); err != nil {
		t.Errorf("a socket without a filter: %v", err)
	}
}

// TestReceiveQueue: what waits is seen, in bytes as large as ReceiveQueue says at least, and drops for want of room are counted.
func TestReceiveQueue(t *testing.T) {
	fd, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), SocketOptions{RecvBufferBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseFD(fd)
	addr, err := LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	sends(t, addr.Addr(), addr, 10)
	q, err := ReceiveQueueOf(fd)
	if err != nil || q.Bytes < 10*768 || q.Bytes > 10*4096 || q.Room != 64<<10 || q.Drops != 0 {
		t.Errorf("10 datagrams: %+v, %v", q, err)
	}
	t.Logf("a small datagram takes %d bytes", q.Bytes/10)
	sends(t, addr.Addr(), addr, 1000)
	q, err = ReceiveQueueOf(fd)
	if err != nil {
		t.Fatal(err)
	}
	if got := took(fd); got+int(q.Drops) != 1010 || q.Drops == 0 {
		t.Errorf("%d arrived, %d dropped, of 1010", got, q.Drops)
	}
	if _, err := ReceiveQueueOf(-1); err == nil {
		t.Error("no error for a descriptor that is none")
	}
}

func TestSourceFilterRefusesWhatIsNoSetOfRanges(t *testing.T) {
	for name, drops := range map[string][]SourceDrop{
		"backwards":        {{First: 2, Last: 1}},
		"beyond IPv4":      {{First: 1, Last: 1 << 32}},
		"upper bits":       {{V6: true, First: 1, Last: 1 << 32}},
		"overlap":          {{First: 10, Last: 20}, {First: 1, Last: 10}},
		"too many":         make([]SourceDrop, SourceDropsMax+1),
		"overlap, version": {{V6: true, First: 10, Last: 20}, {First: 10, Last: 20}, {V6: true, First: 20, Last: 20}},
	} {
		if err := new(SourceFilter).Set(drops); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// BenchmarkSourceFilterAttach is what a change of the filter costs the thread that makes it.
func BenchmarkSourceFilterAttach(b *testing.B) {
	for _, n := range []int{1, SourceDropsMax} {
		b.Run(map[bool]string{true: "one", false: "all"}[n == 1], func(b *testing.B) {
			fd, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), SocketOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer CloseFD(fd)
			var drops []SourceDrop
			for i := range uint64(n) {
				drops = append(drops, SourceDrop{First: 1000 * i, Last: 1000 * i, Odds: 1 << 31})
			}
			var f SourceFilter
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Set(drops); err != nil {
					b.Fatal(err)
				}
				if err := f.Attach(fd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReceiveQueueOf is what a look at a socket costs.
func BenchmarkReceiveQueueOf(b *testing.B) {
	fd, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), SocketOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer CloseFD(fd)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReceiveQueueOf(fd); err != nil {
			b.Fatal(err)
		}
	}
}
