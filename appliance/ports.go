package appliance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"secure-dns-proxy/appliance/telemetry"
)

// bindHelp turns the two usual reasons why a socket cannot be bound into what to do about them.
func bindHelp(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w (ports below 1024 take root or CAP_NET_BIND_SERVICE: see proxy.toml.example)", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w (another instance, or another DNS server, runs there)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w (this machine has no such address)", err)
	}
	return err
}

// unoccupied returns an error if any of the addresses is in use. The workers' sockets share their port (SO_REUSEPORT), so without this
// look a second instance of the same user would silently take half of the first one's queries.
func unoccupied(addrs []netip.AddrPort) error {
	for _, addr := range addrs {
		if addr.Port() == 0 {
			continue
		}
		family := familyOf(addr, addrs)
		udp, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		if err := udp.Close(); err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		tcp, err := net.ListenTCP("tcp"+family, net.TCPAddrFromAddrPort(addr))
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		if err := tcp.Close(); err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	return nil
}

// familyOf is the suffix of Go's network names for the sockets that the workers will open on addr: [::] takes IPv4 as well, unless
// 0.0.0.0 is listened on beside it.
func familyOf(addr netip.AddrPort, all []netip.AddrPort) string {
	switch {
	case addr.Addr().Is4():
		return "4"
	case addr.Addr().IsUnspecified() && !slices.Contains(all, netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())):
		return ""
	}
	return "6"
}

// listenMetrics binds the metrics' address. With roam, ports that are taken are passed over: the next few are tried, then any.
func listenMetrics(addr netip.AddrPort, roam bool) (*telemetry.Server, error) {
	s, err := telemetry.Listen(addr)
	if !roam {
		return s, err
	}
	for i := 1; err != nil && errors.Is(err, syscall.EADDRINUSE) && i <= metricsPortsTried; i++ {
		s, err = telemetry.Listen(netip.AddrPortFrom(addr.Addr(), addr.Port()+uint16(i)))
	}
	if err != nil {
		return telemetry.Listen(netip.AddrPortFrom(addr.Addr(), 0))
	}
	return s, nil
}
