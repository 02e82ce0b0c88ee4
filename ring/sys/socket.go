package sys

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// backlogDefault: the kernel lowers it to net.core.somaxconn (4096 since Linux 5.4).
const backlogDefault = 4096

// SocketOptions are the choices of a caller about a new socket. Zero values keep the kernel's defaults.
type SocketOptions struct {
	RecvBufferBytes int  // receive queue; beyond net.core.rmem_max only with CAP_NET_ADMIN, else cut by the kernel
	SendBufferBytes int  // send queue, by the same rule with wmem_max
	Backlog         int  // ListenTCP: connections waiting for accept; 0 = 4096
	V6Only          bool // [::] does not take IPv4 too; set it when 0.0.0.0 on the same port is listened on as well
}

// ListenUDP binds a nonblocking datagram socket in the SO_REUSEPORT group of addr. On a wildcard address the local address
// of every datagram is reported (IP_PKTINFO or IPV6_RECVPKTINFO); [::] is dual-stack unless o.V6Only. The socket ignores
// path MTU discovery (a forged ICMP cannot shrink it) and lets answers be fragmented.
func ListenUDP(addr netip.AddrPort, o SocketOptions) (fd int, err error) {
	fd, err = bound(addr, unix.SOCK_DGRAM, o)
	if err != nil {
		return -1, fmt.Errorf("listen udp %v: %w", addr, err)
	}
	return fd, nil
}

// ListenTCP binds a nonblocking listening socket in the SO_REUSEPORT group of addr. Accepted streams inherit TCP_NODELAY
// and the buffer sizes.
func ListenTCP(addr netip.AddrPort, o SocketOptions) (fd int, err error) {
	fd, err = bound(addr, unix.SOCK_STREAM, o)
	if err != nil {
		return -1, fmt.Errorf("listen tcp %v: %w", addr, err)
	}
	backlog := o.Backlog
	if backlog <= 0 {
		backlog = backlogDefault
	}
	if err = unix.Listen(fd, backlog); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("listen tcp %v: %w", addr, err)
	}
	return fd, nil
}

// ConnectUDP makes a nonblocking datagram socket connected to remote, from a source port that the kernel draws at random
// from net.ipv4.ip_local_port_range. Only datagrams from remote arrive on it; ICMP errors are reported by reads and sends.
func ConnectUDP(remote netip.AddrPort, o SocketOptions) (fd int, err error) {
	sa, family, err := sockaddr(remote)
	if err != nil {
		return -1, fmt.Errorf("connect udp %v: %w", remote, err)
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("connect udp %v: socket: %w", remote, err)
	}
	if err = configure(fd, o); err == nil {
		err = ignorePathMTU(fd, family)
	}
	if err == nil {
		err = unix.Connect(fd, sa)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect udp %v: %w", remote, err)
	}
	return fd, nil
}

// BusyPoll lets reads of a socket that find nothing poll its network card's receive queue for so long, in whole microseconds (SO_BUSY_POLL);
// streams accepted by a listener inherit it. More than net.core.busy_read takes CAP_NET_ADMIN: EPERM.
func BusyPoll(fd int, limit time.Duration) error {
	return set(fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, "SO_BUSY_POLL", int(limit/time.Microsecond))
}

// LocalAddr returns the address a socket is bound to, unmapped and without zone.
func LocalAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("getsockname: address family of %T", sa)
}

// CloseFD closes a descriptor. It is gone even when an error is returned, so there is nothing to retry (close(2)).
func CloseFD(fd int) error {
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// Family returns the address family of a socket: unix.AF_INET or unix.AF_INET6.
func Family(fd int) (int, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return 0, fmt.Errorf("getsockopt SO_DOMAIN: %w", err)
	}
	return family, nil
}

func bound(addr netip.AddrPort, kind int, o SocketOptions) (int, error) {
	sa, family, err := sockaddr(addr)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err = prepare(fd, family, kind, addr.Addr(), o); err == nil {
		if err = unix.Bind(fd, sa); err != nil {
			err = fmt.Errorf("bind: %w", err)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func prepare(fd, family, kind int, addr netip.Addr, o SocketOptions) error {
	if err := configure(fd, o); err != nil {
		return err
	}
	if err := set(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT", 1); err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		only := 1
		if addr.IsUnspecified() && !o.V6Only {
			only = 0
		}
		if err := set(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, "IPV6_V6ONLY", only); err != nil {
			return err
		}
	}
	if kind == unix.SOCK_STREAM {
		// SO_REUSEADDR: a restart must not wait for connections in TIME_WAIT.
		if err := set(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, "SO_REUSEADDR", 1); err != nil {
			return err
		}
		return set(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY", 1)
	}
	if err := ignorePathMTU(fd, family); err != nil {
		return err
	}
	switch {
	case !addr.IsUnspecified():
		return nil
	case family == unix.AF_INET6: // IPv4 arrives as mapped in6_pktinfo; setting IP_PKTINFO too would report it twice
		return set(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO", 1)
	default:
		return set(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, "IP_PKTINFO", 1)
	}
}

func configure(fd int, o SocketOptions) error {
	sizes := [...]struct {
		bytes, force, plain int
		name                string
	}{
		{o.RecvBufferBytes, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, "SO_RCVBUF"},
		{o.SendBufferBytes, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, "SO_SNDBUF"},
	}
	for _, s := range sizes {
		if s.bytes <= 0 || unix.SetsockoptInt(fd, unix.SOL_SOCKET, s.force, s.bytes) == nil {
			continue
		}
		if err := set(fd, unix.SOL_SOCKET, s.plain, s.name, s.bytes); err != nil {
			return err
		}
	}
	return nil
}

// ignorePathMTU sets the OMIT mode for both protocols a socket may carry: an AF_INET6 socket sends IPv4 too when dual-stack.
func ignorePathMTU(fd, family int) error {
	if family == unix.AF_INET6 {
		if err := set(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, "IPV6_MTU_DISCOVER", unix.IPV6_PMTUDISC_OMIT); err != nil {
			return err
		}
	}
	return set(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, "IP_MTU_DISCOVER", unix.IP_PMTUDISC_OMIT)
}

func set(fd, level, option int, name string, value int) error {
	if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
		return fmt.Errorf("setsockopt %s: %w", name, err)
	}
	return nil
}

func sockaddr(addr netip.AddrPort) (unix.Sockaddr, int, error) {
	ip := addr.Addr().Unmap()
	switch {
	case ip.Is4():
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}, unix.AF_INET, nil
	case ip.Is6():
		zone, err := interfaceIndex(ip.Zone())
		if err != nil {
			return nil, 0, err
		}
		return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16(), ZoneId: zone}, unix.AF_INET6, nil
	}
	return nil, 0, fmt.Errorf("no address")
}

// interfaceIndex turns a zone, a number or an interface name, into an index. The empty zone is 0.
func interfaceIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	request, err := unix.NewIfreq(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("zone %q: socket: %w", zone, err)
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	_ = unix.Close(fd)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return request.Uint32(), nil
}
