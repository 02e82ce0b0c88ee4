package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// loadCPU is the offset from which a classic BPF program loads the number of the CPU it runs on (SKF_AD_OFF + SKF_AD_CPU).
const loadCPU = uint32(0xFFFFF000 + 36)

// nobody is an index beyond every group: the kernel then takes the hash of the flow.
const nobody = ^uint32(0)

// SteerByCPU lets the SO_REUSEPORT group of fd choose the socket for each datagram, or each new connection, by the CPU that received it:
// cpus[i] is the CPU of the socket that joined the group as number i. What another CPU receives is spread by the hash of its flow, as all
// is in a group without this. fd is a bound datagram socket or a listening stream socket, and any socket of the group will do.
//
// The kernel fills the place of a socket that is closed with the last of the group: whoever closes one and goes on must call this again,
// with cpus in the order that results.
func SteerByCPU(fd int, cpus []int) error {
	program := steering(cpus)
	f := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &f); err != nil {
		return fmt.Errorf("setsockopt SO_ATTACH_REUSEPORT_CBPF: %w", err)
	}
	return nil
}

// steering returns the program: the index of the CPU in cpus. CPUs in a row are one subtraction, whose result is beyond the group for all
// others; else they are compared one by one, a nanosecond for each few.
func steering(cpus []int) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: loadCPU}}
	if inRow(cpus) {
		return append(program,
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K, K: uint32(cpus[0])},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A})
	}
	for i, cpu := range cpus {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(cpu)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)})
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: nobody})
}

func inRow(cpus []int) bool {
	for i, cpu := range cpus {
		if cpu != cpus[0]+i {
			return false
		}
	}
	return len(cpus) > 0
}
