package sys

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	iouring "github.com/iceber/iouring-go/syscall"
	"golang.org/x/sys/unix"
)

// Uring is one io_uring instance with its queues mapped. It belongs to the OS thread that set it up (SINGLE_ISSUER): the
// kernel answers EEXIST to any other. Nothing completes and no buffer is consumed outside this thread's own enter
// (DEFER_TASKRUN), so program order is all the ordering the queues need; the atomics keep the form of the ABI, and only
// the submission flags are really written by other CPUs.
type Uring struct {
	fd         int
	enterFD    int // index of the registered ring, or fd
	enterFlags uint32
	Features   uint32
	Setup      uint32 // setup flags the kernel took

	sqHead, sqTail, sqFlags *uint32
	sqMask, sqEntries       uint32
	tail                    uint32 // next free submission entry
	sqes                    []SQE

	cqHead, cqTail, cqLost *uint32
	cqMask                 uint32
	head                   uint32 // next completion to take
	cqes                   []CQE

	argument *enterArgument
	maps     [2][]byte // queues, submission entries
	scratch  []byte
}

// enterArgument holds what calls point at from inside their arguments. It lives off the Go heap: an address inside a u64
// field is not updated when a stack moves.
type enterArgument struct {
	events     getEventsArg
	limit      Timespec
	descriptor int32
}

// setupFlags in the order tried: each step gives up what an older kernel does not know.
var setupFlags = [...]uint32{
	SetupCQSize | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun | SetupTaskrunFlag | SetupNoSQArray, // 6.6
	SetupCQSize | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun | SetupTaskrunFlag,                  // 6.1
	SetupCQSize | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun,
}

const featuresNeeded = FeatureSingleMmap | FeatureNoDrop | FeatureFastPoll | FeatureExtArg | FeatureCQESkip

// OpenUring sets up a ring on the calling, locked thread. The sizes are powers of two. The error wraps the kernel's errno:
// ENOSYS without io_uring, EPERM when a sysctl, an LSM or seccomp forbids it, EINVAL before Linux 6.1.
func OpenUring(sqEntries, cqEntries uint32) (*Uring, error) {
	return openUring(sqEntries, cqEntries, setupFlags[:])
}

// openUring takes the first of the given sets of flags that the kernel knows.
func openUring(sqEntries, cqEntries uint32, choices []uint32) (*Uring, error) {
	var p Params
	var fd int
	var errno syscall.Errno
	for _, flags := range choices {
		p = Params{CQEntries: cqEntries, Flags: flags}
		n, _, e := syscall.RawSyscall(iouring.SYS_IO_URING_SETUP, uintptr(sqEntries), uintptr(unsafe.Pointer(&p)), 0)
		fd, errno = int(n), e
		if errno != syscall.EINVAL {
			break
		}
	}
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	u := &Uring{fd: fd, enterFD: fd, Features: p.Features, Setup: p.Flags}
	if err := u.open(&p); err != nil {
		_ = u.Close()
		return nil, err
	}
	return u, nil
}

func (u *Uring) open(p *Params) error {
	if missing := featuresNeeded &^ p.Features; missing != 0 {
		return fmt.Errorf("io_uring_setup: kernel lacks features %#x: %w", missing, syscall.EINVAL)
	}
	if err := u.mapQueues(p); err != nil {
		return err
	}
	var err error
	if u.scratch, err = Map(int(unsafe.Sizeof(enterArgument{}))); err != nil {
		return err
	}
	u.argument = (*enterArgument)(unsafe.Pointer(unsafe.SliceData(u.scratch)))
	u.argument.events.timespec = Address(unsafe.Pointer(&u.argument.limit))

	// A registered ring saves looking the descriptor up in a shared table on every enter. Only a saving: on refusal the
	// plain descriptor goes on working.
	update := rsrcUpdate{offset: ^uint32(0), data: uint64(u.fd)}
	if n, errno := u.register(registerRingFDs, unsafe.Pointer(&update), 1); errno == 0 && n == 1 {
		u.enterFD, u.enterFlags = int(update.offset), enterRegisteredRing
	}
	// No request of ours may go to a kernel worker; if one ever does, one worker is enough.
	workers := [2]uint32{1, 1}
	if _, errno := u.register(registerIOWQMaxWorkers, unsafe.Pointer(&workers), 2); errno != 0 {
		return fmt.Errorf("io_uring_register IOWQ_MAX_WORKERS: %w", errno)
	}
	return nil
}

func (u *Uring) mapQueues(p *Params) error {
	queues := uintptr(p.CQOffset.Cqes) + uintptr(p.CQEntries)*unsafe.Sizeof(CQE{})
	if p.Flags&SetupNoSQArray == 0 {
		queues = max(queues, uintptr(p.SQOffset.Array)+4*uintptr(p.SQEntries))
	}
	base, err := u.mapRing(0, int64(iouring.IORING_OFF_SQ_RING), queues)
	if err != nil {
		return err
	}
	entries, err := u.mapRing(1, int64(iouring.IORING_OFF_SQES), uintptr(p.SQEntries)*unsafe.Sizeof(SQE{}))
	if err != nil {
		return err
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Add(base, offset)) }
	u.sqHead, u.sqTail, u.sqFlags = word(p.SQOffset.Head), word(p.SQOffset.Tail), word(p.SQOffset.Flags)
	u.sqMask, u.sqEntries = *word(p.SQOffset.RingMask), p.SQEntries
	u.cqHead, u.cqTail = word(p.CQOffset.Head), word(p.CQOffset.Tail)
	u.cqLost = word(p.CQOffset.Overflow)
	u.cqMask = *word(p.CQOffset.RingMask)
	u.sqes = unsafe.Slice((*SQE)(entries), p.SQEntries)
	u.cqes = unsafe.Slice((*CQE)(unsafe.Add(base, p.CQOffset.Cqes)), p.CQEntries)
	if p.Flags&SetupNoSQArray == 0 { // entry i is always at index i
		array := unsafe.Slice(word(p.SQOffset.Array), p.SQEntries)
		for i := range array {
			array[i] = uint32(i)
		}
	}
	return nil
}

func (u *Uring) mapRing(i int, offset int64, bytes uintptr) (unsafe.Pointer, error) {
	p, err := unix.MmapPtr(u.fd, offset, nil, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map io_uring queues: %w", err)
	}
	u.maps[i] = unsafe.Slice((*byte)(p), bytes)
	return p, nil
}

// Close closes the ring and unmaps its queues. Operations still pending are cancelled by the kernel some time later, so
// whoever lent them memory must have seen their completions first.
func (u *Uring) Close() error {
	err := CloseFD(u.fd)
	for _, m := range u.maps {
		if len(m) > 0 {
			_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(m)), uintptr(len(m)))
		}
	}
	if u.scratch != nil {
		_ = Unmap(u.scratch)
	}
	*u = Uring{fd: -1}
	return err
}

// Next returns the next submission entry, cleared, or nil when the queue is full.
func (u *Uring) Next() *SQE {
	if u.tail-atomic.LoadUint32(u.sqHead) >= u.sqEntries {
		return nil
	}
	e := &u.sqes[u.tail&u.sqMask]
	u.tail++
	e.Reset()
	return e
}

// Full reports whether Next would return nil.
func (u *Uring) Full() bool { return u.Queued() >= u.sqEntries }

// Queued is the number of entries not yet taken by the kernel.
func (u *Uring) Queued() uint32 { return u.tail - atomic.LoadUint32(u.sqHead) }

// Ready is the number of completions that can be taken.
func (u *Uring) Ready() uint32 { return atomic.LoadUint32(u.cqTail) - u.head }

// Take returns the next completion, valid until Release. Only when Ready says there is one.
func (u *Uring) Take() *CQE {
	e := &u.cqes[u.head&u.cqMask]
	u.head++
	return e
}

// Release gives the taken completions back to the kernel.
func (u *Uring) Release() { atomic.StoreUint32(u.cqHead, u.head) }

// Stirring reports whether an enter would find something to do though nothing is submitted: work that arrived since the last
// one, or completions kept aside. A ring without the task-run flag cannot tell and always says yes.
func (u *Uring) Stirring() bool {
	return u.Setup&SetupTaskrunFlag == 0 || atomic.LoadUint32(u.sqFlags)&(sqTaskrun|sqOverflow) != 0
}

// Overflown reports whether the kernel keeps completions aside because the queue was full.
func (u *Uring) Overflown() bool { return atomic.LoadUint32(u.sqFlags)&sqOverflow != 0 }

// Lost is the number of completions the kernel has dropped for want of memory, a wrapping counter.
func (u *Uring) Lost() uint32 { return atomic.LoadUint32(u.cqLost) }

// Submit hands the queued entries over without running completions, except those that finish at once.
func (u *Uring) Submit() syscall.Errno {
	return u.enter(u.publish(), 0, 0, 0, false)
}

// Poll submits and runs everything that is ready, without waiting.
func (u *Uring) Poll() syscall.Errno {
	return u.enter(u.publish(), 0, enterGetEvents, 0, false)
}

// Wait submits and waits for one completion at most so long; negative means without bound. With raw the Go scheduler is
// not told, so the P stays here: only for short waits. ETIME and EINTR are reported only when nothing was submitted.
//
// It never waits for more than one completion: the kernel counts task-work items, not datagrams, and would sleep on with
// a whole batch ready (DATAPLANE 1.4).
func (u *Uring) Wait(limit time.Duration, raw bool) syscall.Errno {
	submit := u.publish()
	if limit < 0 {
		return u.enter(submit, 1, enterGetEvents, 0, raw)
	}
	u.argument.limit = Timespec{Sec: int64(limit / time.Second), Nsec: int64(limit % time.Second)}
	return u.enter(submit, 1, enterGetEvents|enterExtArg, unsafe.Sizeof(getEventsArg{}), raw)
}

func (u *Uring) publish() uint32 {
	atomic.StoreUint32(u.sqTail, u.tail)
	return u.Queued()
}

func (u *Uring) enter(submit, minimum, flags uint32, argumentBytes uintptr, raw bool) syscall.Errno {
	var argument uintptr
	if argumentBytes != 0 {
		argument = uintptr(unsafe.Pointer(&u.argument.events))
	}
	flags |= u.enterFlags
	var errno syscall.Errno
	if minimum == 0 || raw {
		_, _, errno = syscall.RawSyscall6(iouring.SYS_IO_URING_ENTER, uintptr(u.enterFD), uintptr(submit), uintptr(minimum),
			uintptr(flags), argument, argumentBytes)
	} else {
		_, _, errno = syscall.Syscall6(iouring.SYS_IO_URING_ENTER, uintptr(u.enterFD), uintptr(submit), uintptr(minimum),
			uintptr(flags), argument, argumentBytes)
	}
	return errno
}

func (u *Uring) register(op uint32, argument unsafe.Pointer, n uint32) (int, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(iouring.SYS_IO_URING_REGISTER, uintptr(u.fd), uintptr(op), uintptr(argument), uintptr(n), 0, 0)
	return int(r), errno
}

// BusyPoll lets every wait of this ring poll the receive queues of its sockets' network cards for so long before it sleeps, in whole
// microseconds; 0 never. It returns what was set before. EINVAL before Linux 6.9, and from a kernel without busy polling.
func (u *Uring) BusyPoll(limit time.Duration) (before time.Duration, err error) {
	n := napi{busyPollMicros: uint32(limit / time.Microsecond)}
	if limit > 0 {
		n.preferBusyPoll = 1
	}
	if _, errno := u.register(registerNAPI, unsafe.Pointer(&n), 1); errno != 0 {
		return 0, fmt.Errorf("io_uring_register NAPI: %w", errno)
	}
	return time.Duration(n.busyPollMicros) * time.Microsecond, nil
}

// RegisterFiles makes an empty table of n fixed files.
func (u *Uring) RegisterFiles(n uint32) error {
	r := rsrcRegister{count: n, flags: registerFilesFlagSparse}
	if _, errno := u.register(registerFiles2, unsafe.Pointer(&r), uint32(unsafe.Sizeof(r))); errno != 0 {
		return fmt.Errorf("io_uring_register FILES2: %w", errno)
	}
	return nil
}

// SetFile puts fd into slot i of the fixed files; -1 empties it. Requests in flight keep the old file.
func (u *Uring) SetFile(i uint32, fd int) error {
	u.argument.descriptor = int32(fd)
	r := rsrcUpdate{offset: i, data: Address(unsafe.Pointer(&u.argument.descriptor))}
	_, errno := u.register(registerFilesUpdate, unsafe.Pointer(&r), 1)
	if errno != 0 {
		return fmt.Errorf("io_uring_register FILES_UPDATE: %w", errno)
	}
	return nil
}

// Opcodes returns, for every opcode the kernel knows, whether it can be used.
func (u *Uring) Opcodes() ([]bool, error) {
	const most = 256
	var probe struct {
		head probeHead
		ops  [most]probeOp
	}
	if _, errno := u.register(registerProbe, unsafe.Pointer(&probe), most); errno != 0 {
		return nil, fmt.Errorf("io_uring_register PROBE: %w", errno)
	}
	supported := make([]bool, probe.head.opsLen)
	for i := range supported {
		supported[i] = probe.ops[i].flags&1 != 0
	}
	return supported, nil
}

// Address is the address of kernel-visible memory as the ABI stores it. The memory must be from Map.
func Address(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
