package sys

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SourceDrop is a range of source addresses of which a share of the datagrams is dropped: First to Last, both included. Of IPv4 addresses
// these are the addresses as numbers, of IPv6 the upper 64 bits of addresses, in which the upper 32 of First and Last are the same.
type SourceDrop struct {
	V6          bool
	First, Last uint64
	Odds        uint32 // of 2^32 that a datagram is dropped
}

// SourceDropsMax is how many ranges one filter takes. Each is up to 12 instructions of the kernel's 4096 (BPF_MAXINSNS), and kernels
// before 6.7 let a socket's options have 20 KiB (net.core.optmem_max), which that many fill to some two thirds.
const SourceDropsMax = 128

// Offsets of classic BPF: from SKF_NET_OFF the network header is read, SKF_AD_OFF + SKF_AD_RANDOM is a random number.
const (
	networkHeader = 0xFFF00000
	loadRandom    = 0xFFFFF000 + 56

	sourceV4     = networkHeader + 12
	sourceV6High = networkHeader + 8
	sourceV6Low  = networkHeader + 12
)

const acceptAll = 0xFFFFFFFF

// SourceFilter drops datagrams by their source before they take room in a socket's receive queue: a classic BPF program, which takes no
// privilege. The kernel counts what it drops among the socket's drops. The zero value drops nothing.
type SourceFilter struct {
	program []unix.SockFilter
	drops   []SourceDrop
}

// Set makes the program for the given ranges, of which no two may overlap. It keeps nothing of drops and allocates only to grow.
func (f *SourceFilter) Set(drops []SourceDrop) error {
	if len(drops) > SourceDropsMax {
		return fmt.Errorf("source filter: %d ranges, the most is %d", len(drops), SourceDropsMax)
	}
	f.drops = append(f.drops[:0], drops...)
	slices.SortFunc(f.drops, func(a, b SourceDrop) int {
		if a.V6 != b.V6 {
			if a.V6 {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.First, b.First)
	})
	split := 0
	for i, d := range f.drops {
		if !d.V6 {
			split = i + 1
		}
		if d.First > d.Last || !d.V6 && d.Last>>32 != 0 || d.V6 && d.First>>32 != d.Last>>32 {
			return fmt.Errorf("source filter: %x to %x is no range", d.First, d.Last)
		}
		if i > 0 && f.drops[i-1].V6 == d.V6 && f.drops[i-1].Last >= d.First {
			return errors.New("source filter: ranges overlap")
		}
	}
	f.program = f.program[:0]
	f.emit(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, networkHeader)
	f.emit(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 4)
	other := f.branch(unix.BPF_JEQ, 4)
	f.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, sourceV4)
	f.tree(f.drops[:split])
	f.land(other)
	f.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, sourceV6High) // an IPv4 header is long enough for this, too
	f.highTree(f.drops[split:])
	return nil
}

// tree appends the search for the address in the accumulator. Every path through it ends in a return.
func (f *SourceFilter) tree(drops []SourceDrop) {
	switch len(drops) {
	case 0:
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
	case 1:
		d := &drops[0]
		below := f.branch(unix.BPF_JGE, uint32(d.First))
		above := f.branch(unix.BPF_JGT, uint32(d.Last))
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
		f.land(above)
		f.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, loadRandom)
		kept := f.branch(unix.BPF_JGE, d.Odds)
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
		f.land(kept)
		f.emit(unix.BPF_RET|unix.BPF_K, 0)
		f.land(below)
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
	default:
		middle := len(drops) / 2
		below := f.branch(unix.BPF_JGE, uint32(drops[middle].First))
		f.tree(drops[middle:])
		f.land(below)
		f.tree(drops[:middle])
	}
}

// highTree appends the search for the upper 32 bits of an IPv6 address, which are in the accumulator, and then for the lower ones.
func (f *SourceFilter) highTree(drops []SourceDrop) {
	if len(drops) == 0 {
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
		return
	}
	high := func(i int) uint64 { return drops[i].First >> 32 }
	if first := high(0); first == high(len(drops)-1) {
		other := f.branch(unix.BPF_JEQ, uint32(first))
		f.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, sourceV6Low)
		f.tree(drops)
		f.land(other)
		f.emit(unix.BPF_RET|unix.BPF_K, acceptAll)
		return
	}
	middle := len(drops) / 2
	for middle > 0 && high(middle-1) == high(middle) {
		middle--
	}
	for middle == 0 || high(middle-1) == high(middle) {
		middle++
	}
	below := f.branch(unix.BPF_JGE, uint32(high(middle)))
	f.highTree(drops[middle:])
	f.land(below)
	f.highTree(drops[:middle])
}

func (f *SourceFilter) emit(code uint16, k uint32) {
	f.program = append(f.program, unix.SockFilter{Code: code, K: k})
}

// branch goes on with the next instruction where the accumulator passes the test, else where land says. It returns what land needs. A
// conditional jump reaches 255 instructions, the other kind all.
func (f *SourceFilter) branch(test uint16, k uint32) (jump int) {
	f.program = append(f.program, unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, Jt: 1, K: k})
	f.emit(unix.BPF_JMP|unix.BPF_JA, 0)
	return len(f.program) - 1
}

func (f *SourceFilter) land(jump int) {
	f.program[jump].K = uint32(len(f.program) - jump - 1)
}

// Attach puts the filter on a socket, in place of the one that it has. The kernel compiles it meanwhile: microseconds to tens of them.
func (f *SourceFilter) Attach(fd int) error {
	p := unix.SockFprog{Len: uint16(len(f.program)), Filter: &f.program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &p); err != nil {
		return fmt.Errorf("setsockopt SO_ATTACH_FILTER: %w", err)
	}
	return nil
}

// DetachFilter takes the filter off a socket, if it has one.
func DetachFilter(fd int) error {
	if err := set(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, "SO_DETACH_FILTER", 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// ReceiveQueue is what a socket says of its receive queue (SO_MEMINFO).
type ReceiveQueue struct {
	Bytes uint32 // taken by datagrams that wait, with all that the kernel keeps for them: 768 at least for a small one
	Room  uint32 // bytes that there may be
	Drops uint32 // datagrams dropped so far for want of room, by a filter, or with a wrong checksum; wraps around
}

// memoryInfo is what SO_MEMINFO returns: SK_MEMINFO_RMEM_ALLOC, _RCVBUF, ... _DROPS of include/uapi/linux/sock_diag.h.
type memoryInfo [9]uint32

// ReceiveQueueOf reads a socket's figures; it does not block and takes a fraction of a microsecond.
func ReceiveQueueOf(fd int) (ReceiveQueue, error) {
	var info memoryInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return ReceiveQueue{}, errno
	}
	return ReceiveQueue{Bytes: info[0], Room: info[1], Drops: info[8]}, nil
}
