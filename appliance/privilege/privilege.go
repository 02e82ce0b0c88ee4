// Package privilege gives up what a process needed for binding its sockets.
//
// The system calls are made on all threads of the process (that is what the syscall package does since Go 1.16), so it does not
// matter which thread calls, but it should be called before threads are locked and busy: each has to take part.
package privilege

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Identity is whom to become.
type Identity struct {
	Name     string // for messages
	UID, GID int
	Groups   []int // supplementary groups; those of root are given up in any case
}

// errStillRoot would mean that the kernel gave back what was just given up.
var errStillRoot = errors.New("root could be regained")

// Become turns root into who for good, capabilities included. A process that runs as who already only loses its capabilities. For any
// other it is an error: it cannot be done without root.
func Become(who Identity) error {
	euid := os.Geteuid()
	switch {
	case euid == who.UID && who.UID != 0:
		return DropCapabilities()
	case euid != 0:
		return fmt.Errorf("become user %s: only root can, and this process runs as uid %d", who.Name, euid)
	}
	if err := syscall.Setgroups(who.Groups); err != nil {
		return fmt.Errorf("set groups of user %s: %w", who.Name, err)
	}
	if err := syscall.Setgid(who.GID); err != nil {
		return fmt.Errorf("become group %d of user %s: %w", who.GID, who.Name, err)
	}
	if err := syscall.Setuid(who.UID); err != nil {
		return fmt.Errorf("become user %s: %w", who.Name, err)
	}
	if who.UID != 0 && (syscall.Setuid(0) == nil || syscall.Setgid(0) == nil && who.GID != 0) {
		return fmt.Errorf("become user %s: %w", who.Name, errStillRoot)
	}
	return nil
}

// capHeader and capData are the arguments of capset(2), version 3.
type capHeader struct {
	version uint32
	pid     int32
}

type capData struct{ effective, permitted, inheritable uint32 }

const (
	capVersion3       = 0x20080522 // _LINUX_CAPABILITY_VERSION_3
	prCapAmbient      = 47         // PR_CAP_AMBIENT
	prCapAmbientClear = 4          // PR_CAP_AMBIENT_CLEAR_ALL
)

// ErrCapabilitiesKept says that a process without root keeps capabilities such as CAP_NET_BIND_SERVICE.
var ErrCapabilitiesKept = errors.New("capabilities are kept: in a program built with cgo, Go cannot change those of all threads")

// DropCapabilities empties all capability sets of all threads. Of a process of root it takes root's powers too, but not its
// ownership of files.
func DropCapabilities() error {
	if _, _, errno := syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prCapAmbient, prCapAmbientClear, 0, 0, 0, 0); errno == syscall.ENOTSUP {
		return ErrCapabilitiesKept
	} else if errno != 0 {
		return fmt.Errorf("clear ambient capabilities: %w", errno)
	}
	header := capHeader{version: capVersion3}
	var none [2]capData
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&none)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}
