package appliance

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells the service manager how the process is doing: datagrams of VAR=value lines to a Unix socket whose name is in
// NOTIFY_SOCKET. This is all that sd_notify(3) does, and its manual asks for the protocol to be spoken directly rather than through a
// library where that is easier; systemd promises to keep it stable. The zero value is for a process without such a manager.
type notifier struct{ socket string }

func newNotifier() notifier { return notifier{socket: os.Getenv("NOTIFY_SOCKET")} }

func (n notifier) ready(status string) error { return n.send("READY=1\nSTATUS=" + status) }

func (n notifier) stopping() error { return n.send("STOPPING=1\nSTATUS=draining") }

// reloading carries the time that systemd compares with the READY=1 that follows.
func (n notifier) reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("notify: clock: %w", err)
	}
	return n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

func (n notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"}) // "@name" is an abstract socket
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}
