package transport

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// askFastOpen is a net.Dialer's Control that lets the first data go with the SYN where the kernel has a cookie of the server (RFC 7413):
// connect then succeeds at once and the first write opens the connection; a refusal shows there. Without a cookie the SYN asks for one.
// A kernel that cannot, or may not (net.ipv4.tcp_fastopen), opens an ordinary connection, and so it does for servers that do not answer to
// such a SYN.
func askFastOpen(_, _ string, raw syscall.RawConn) error {
	var problem error
	if err := raw.Control(func(fd uintptr) {
		problem = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
	}); err != nil {
		return err
	}
	if problem == nil || errors.Is(problem, unix.EOPNOTSUPP) || errors.Is(problem, unix.ENOPROTOOPT) {
		return nil
	}
	return fmt.Errorf("tcp fast open: %w", problem)
}

// FastOpened reports whether the server took data that came with the SYN of conn, a *net.TCPConn.
func FastOpened(conn net.Conn) bool {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false // it is closed already
	}
	taken := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		taken = err == nil && info.Options&tcpInfoSynData != 0
	})
	return err == nil && taken
}

// tcpInfoSynData is TCPI_OPT_SYN_DATA of the kernel's tcp.h, which x/sys/unix lacks.
const tcpInfoSynData = 32
