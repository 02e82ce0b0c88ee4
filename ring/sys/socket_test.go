package sys

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListenOptions(t *testing.T) {
	type option struct {
		name          string
		level, option int
		want          int
	}
	reuse := option{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}
	omit4 := option{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT}
	omit6 := option{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT}
	only := func(v int) option { return option{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v} }
	info4 := func(v int) option { return option{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, v} }
	info6 := func(v int) option {
		return option{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, v}
	}
	nodelay := option{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}
	cases := []struct {
		name, addr string
		tcp        bool
		o          SocketOptions
		want       []option
	}{
		{"udp v4", "127.0.0.1:0", false, SocketOptions{}, []option{reuse, omit4, info4(0)}},
		{"udp v4 wildcard", "0.0.0.0:0", false, SocketOptions{}, []option{reuse, omit4, info4(1)}},
		{"udp v6", "[::1]:0", false, SocketOptions{}, []option{reuse, omit4, omit6, only(1), info6(0)}},
		{"udp v6 wildcard", "[::]:0", false, SocketOptions{}, []option{reuse, omit4, omit6, only(0), info6(1), info4(0)}},
		{"udp v6 wildcard, v6 only", "[::]:0", false, SocketOptions{V6Only: true}, []option{reuse, only(1), info6(1)}},
		{"tcp v4", "127.0.0.1:0", true, SocketOptions{}, []option{reuse, nodelay}},
		{"tcp v6 wildcard", "[::]:0", true, SocketOptions{}, []option{reuse, nodelay, only(0)}},
	}
	for _, c := range cases {
		listen := ListenUDP
		if c.tcp {
			listen = ListenTCP
		}
		fd, err := listen(netip.MustParseAddrPort(c.addr), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, w := range c.want {
			if got, err := unix.GetsockoptInt(fd, w.level, w.option); err != nil || got != w.want {
				t.Errorf("%s: %s = %d, %v, want %d", c.name, w.name, got, err, w.want)
			}
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: not in nonblocking mode: %#x, %v", c.name, flags, err)
		}
		if err := CloseFD(fd); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBufferSizes(t *testing.T) {
	fd, err := ConnectUDP(netip.MustParseAddrPort("127.0.0.1:9"), SocketOptions{RecvBufferBytes: 65536, SendBufferBytes: 32768})
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.SO_RCVBUF: 131072, unix.SO_SNDBUF: 65536} { // the kernel doubles what is asked
		if got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option); err != nil || got != want {
			t.Errorf("option %d = %d, %v, want %d", option, got, err, want)
		}
	}
	local, err := LocalAddr(fd)
	if err != nil || local.Addr() != netip.MustParseAddr("127.0.0.1") || local.Port() == 0 {
		t.Errorf("LocalAddr = %v, %v", local, err)
	}
	if family, err := Family(fd); err != nil || family != FamilyInet {
		t.Errorf("Family = %d, %v", family, err)
	}
	if err := CloseFD(fd); err != nil {
		t.Error(err)
	}
	if err := CloseFD(fd); err == nil {
		t.Error("closing twice succeeded")
	}
}

func TestListenRefusals(t *testing.T) {
	if fd, err := ListenUDP(netip.AddrPort{}, SocketOptions{}); err == nil {
		t.Errorf("no address: fd %d", fd)
	}
	if fd, err := ListenTCP(netip.MustParseAddrPort("192.0.2.1:53"), SocketOptions{}); err == nil {
		t.Errorf("foreign address: fd %d", fd)
	}
	if fd, err := ListenUDP(netip.MustParseAddrPort("[fe80::1%nosuchif0]:0"), SocketOptions{}); err == nil {
		t.Errorf("unknown zone: fd %d", fd)
	}
}

func TestInterfaceIndex(t *testing.T) {
	for zone, want := range map[string]uint32{"": 0, "7": 7, "lo": 1} {
		if got, err := interfaceIndex(zone); err != nil || got != want {
			t.Errorf("interfaceIndex(%q) = %d, %v, want %d", zone, got, err, want)
		}
	}
}

// TestEpollCoarse takes the way of kernels without epoll_pwait2 as well.
func TestEpollCoarse(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		poll, err := OpenEpoll(4)
		if err != nil {
			t.Fatal(err)
		}
		poll.coarse = coarse
		fd, err := Eventfd()
		if err != nil {
			t.Fatal(err)
		}
		if err := poll.Add(fd, EpollIn, -5); err != nil {
			t.Fatal(err)
		}
		for _, wait := range []time.Duration{0, 100 * time.Microsecond, 2 * time.Millisecond} {
			if got, errno := poll.Wait(wait, true); errno != 0 || len(got) != 0 {
				t.Errorf("coarse %v: Wait(%v) = %v, %v, want nothing", coarse, wait, got, errno)
			}
		}
		if errno := SignalEventfd(fd); errno != 0 {
			t.Fatal(errno)
		}
		for _, wait := range []time.Duration{0, time.Hour, -1} {
			got, errno := poll.Wait(wait, false)
			if errno != 0 || len(got) != 1 || got[0].Fd != -5 || got[0].Events != EpollIn {
				t.Errorf("coarse %v: Wait(%v) = %v, %v, want the eventfd", coarse, wait, got, errno)
			}
		}
		if errno := DrainEventfd(fd); errno != 0 {
			t.Error(errno)
		}
		poll.Remove(fd)
		_ = SignalEventfd(fd)
		if got, errno := poll.Wait(0, true); errno != 0 || len(got) != 0 {
			t.Errorf("coarse %v: removed descriptor reported: %v, %v", coarse, got, errno)
		}
		if err := CloseFD(fd); err != nil {
			t.Error(err)
		}
		if err := poll.Close(); err != nil {
			t.Error(err)
		}
	}
}
