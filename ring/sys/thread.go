package sys

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PinThread binds the calling OS thread to one core. The goroutine must be locked to its thread.
func PinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin thread to cpu %d: %w", cpu, err)
	}
	return nil
}

// policyPreferred is MPOL_PREFERRED (include/uapi/linux/mempolicy.h): from this node, from another if it is full.
const policyPreferred = 1

// nodesMax is how many NUMA nodes a mask has room for: the kernel's limit on amd64 and arm64.
const nodesMax = 1024

// nodeMask is a set of NUMA nodes as the kernel wants it.
type nodeMask [nodesMax / 64]uint64

// one returns the only node of the mask, or -1.
func (m *nodeMask) one() int {
	node := -1
	for i := range nodesMax {
		if m[i/64]>>(i%64)&1 == 0 {
			continue
		}
		if node >= 0 {
			return -1
		}
		node = i
	}
	return node
}

// PlaceThread prefers the NUMA node of the core on which the calling thread runs for all memory that this thread touches first, that which
// the kernel allocates for it included, and for all memory it gets from Map from now on, whoever touches that. Call it after PinThread.
// It returns the node. An error (a seccomp filter may forbid it, a kernel may know no NUMA) leaves the kernel's own rule in force: memory
// comes from the node of the thread that touches it first.
func PlaceThread() (node int, err error) {
	var cpu, at uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return -1, fmt.Errorf("getcpu: %w", errno)
	}
	if at >= nodesMax {
		return -1, fmt.Errorf("NUMA node %d is beyond %d", at, nodesMax-1)
	}
	var mask nodeMask
	mask[at/64] = 1 << (at % 64)
	// The kernel takes one bit less than it is told.
	if _, _, errno := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, policyPreferred, uintptr(unsafe.Pointer(&mask)), nodesMax+1); errno != 0 {
		return -1, fmt.Errorf("set_mempolicy: %w", errno)
	}
	return int(at), nil
}

// place gives a mapping the policy of the calling thread if PlaceThread was called on it. Only then is there a system call that can fail,
// and PlaceThread's has shown that it does not; if it does, first touch decides.
func place(base unsafe.Pointer, bytes uintptr) {
	var mode int32
	var mask nodeMask
	if _, _, errno := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&mask)),
		nodesMax+1, 0, 0, 0); errno != 0 || mode != policyPreferred || mask.one() < 0 {
		return
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_MBIND, uintptr(base), bytes, policyPreferred, uintptr(unsafe.Pointer(&mask)), nodesMax+1, 0)
}
