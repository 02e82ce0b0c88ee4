package rig

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// ports remembers what FreePort gave out, so that two programs of one test never get the same port before either binds it.
var ports struct {
	sync.Mutex
	given map[int]bool
}

// Loopback and Loopback6 are where everything listens.
var (
	Loopback  = netip.MustParseAddr("127.0.0.1")
	Loopback6 = netip.MustParseAddr("::1")
)

// FreePort returns a port that is free for UDP and TCP on every IPv4 and IPv6 address.
func FreePort(tb testing.TB) uint16 {
	tb.Helper()
	return freePort(tb, portFirst, portLast)
}

// FreeLowPort is FreePort below 1024; the caller must be root.
func FreeLowPort(tb testing.TB) uint16 {
	tb.Helper()
	return freePort(tb, lowPortFirst, lowPortLast)
}

// FreeAddr is 127.0.0.1 with a FreePort.
func FreeAddr(tb testing.TB) netip.AddrPort {
	tb.Helper()
	return netip.AddrPortFrom(Loopback, FreePort(tb))
}

func freePort(tb testing.TB, first, last int) uint16 {
	tb.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range portAttemptsMax {
		port := first + rand.IntN(last-first)
		if !ports.given[port] && bindable(port) {
			ports.given[port] = true
			return uint16(port)
		}
	}
	tb.Fatalf("no free port between %d and %d after %d attempts", first, last, portAttemptsMax)
	return 0
}

// bindable tries the wildcard addresses, which clash with a listener on any address of the port.
func bindable(port int) bool {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return false
	}
	tcp.Close()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return false
	}
	udp.Close()
	return true
}

// RequireFree fails the test if something listens on a port that the test cannot choose.
func RequireFree(tb testing.TB, port uint16) {
	tb.Helper()
	if !bindable(int(port)) {
		tb.Fatalf("port %d is in use: does `make run` run elsewhere on this machine?", port)
	}
}
