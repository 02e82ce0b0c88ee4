package xdp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/transport/lanetest"
)

// heard sends a datagram from an address to a port of this namespace and reports whether it arrives.
func heard(t *testing.T, from, to string) bool {
	t.Helper()
	server, err := net.ListenPacket("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	server.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // loopback delivers before Write returns
	_, _, err = server.ReadFrom(make([]byte, 10))
	return err == nil
}

// connects reports whether a TCP connection from an address can be made.
func connects(t *testing.T, from, to string) bool {
	t.Helper()
	l, err := net.Listen("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", to)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// What blocked sources send to our ports is dropped and counted; nothing else is, and nothing any more afterwards.
func TestBlockedSourcesAreDropped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if !lanetest.Isolated(t) {
		return
	}
	f, err := Open([]string{"lo"}, []uint16{5300, 5301})
	if err != nil {
		t.Fatal(err)
	}
	blocked := []netip.Prefix{netip.MustParsePrefix("127.0.1.0/24"), netip.MustParsePrefix("127.0.2.1/32"), netip.MustParsePrefix("::1/128")}
	if err := f.Set(blocked); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		dropped  bool
	}{
		{"127.0.1.77", "127.0.0.1:5300", true},
		{"127.0.1.77", "127.0.0.1:5301", true},
		{"127.0.1.77", "127.0.0.1:5302", false},
		{"127.0.2.1", "127.0.0.1:5300", true},
		{"127.0.2.2", "127.0.0.1:5300", false},
		{"::1", "[::1]:5300", true},
		{"::1", "[::1]:5302", false},
	} {
		if heard(t, c.from, c.to) == c.dropped {
			t.Errorf("UDP from %s to %s: dropped %v", c.from, c.to, !c.dropped)
		}
		if connects(t, c.from, c.to) == c.dropped {
			t.Errorf("TCP from %s to %s: dropped %v", c.from, c.to, !c.dropped)
		}
	}
	got := f.Dropped()
	if len(got) != 3 || got[blocked[0]] < 4 || got[blocked[1]] < 2 || got[blocked[2]] < 2 {
		t.Errorf("dropped %v", got)
	}
	if again := f.Dropped(); again[blocked[1]] != 0 && len(again) == 3 {
		t.Errorf("counted twice: %v", again)
	}
	if err := f.Set(blocked[:1]); err != nil {
		t.Fatal(err)
	}
	if !heard(t, "127.0.2.1", "127.0.0.1:5300") || heard(t, "127.0.1.77", "127.0.0.1:5300") {
		t.Error("after one was taken off")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !heard(t, "127.0.1.77", "127.0.0.1:5300") {
		t.Error("still dropped after Close")
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	if _, err := Open(nil, nil); err == nil || !strings.Contains(err.Error(), "want 1 to 64") {
		t.Errorf("no ports: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := Open([]string{"no-such-card"}, []uint16{53}); err == nil || !strings.Contains(err.Error(), "interface no-such-card") {
		t.Errorf("no interface: %v", err)
	}
}

// Every port and both families have their place in the program, however many there are.
func TestProgramOfManyPorts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	var ports []uint16
	for n := range portsMax {
		ports = append(ports, uint16(1000+n))
	}
	f, err := Open(nil, slices.Clone(ports))
	if err != nil {
		t.Fatal(err)
	}
	var list []netip.Prefix
	for i := range prefixesMax {
		list = append(list, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)))
	}
	if err := f.Set(list); err != nil {
		t.Error(err)
	}
	if err := f.Set(append(list, netip.MustParsePrefix("11.0.0.0/8"))); err == nil {
		t.Error("more prefixes than the table holds were taken")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
