package control

import (
	"fmt"
	"net"
	"syscall"
)

// callers is a listener whose connections have the calling process for a remote address: a Unix socket's client has none of its own.
type callers struct{ *net.UnixListener }

type called struct {
	*net.UnixConn
	from caller
}

func (l callers) Accept() (net.Conn, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return called{c, callerOf(c)}, nil
}

func (c called) RemoteAddr() net.Addr { return c.from }

// caller is the process at the other end, as the kernel knew it when it connected (SO_PEERCRED). The zero value is one that it does not know.
type caller struct {
	known         bool
	uid, gid, pid int64
}

func (c caller) Network() string { return "unix" }

func (c caller) String() string {
	if !c.known {
		return "unknown"
	}
	return fmt.Sprintf("uid %d, gid %d, pid %d", c.uid, c.gid, c.pid)
}

func callerOf(c *net.UnixConn) caller {
	var out caller
	raw, err := c.SyscallConn()
	if err != nil {
		return out
	}
	_ = raw.Control(func(fd uintptr) { // a closed connection stays unknown
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			out = caller{true, int64(cred.Uid), int64(cred.Gid), int64(cred.Pid)}
		}
	})
	return out
}
