package dot

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// gone reports whether the peer of a TCP connection has closed it, without reading.
func gone(raw syscall.RawConn) bool {
	state := uint8(0)
	err := raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return err != nil || state != 1 // TCP_ESTABLISHED
}
