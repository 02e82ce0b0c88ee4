package ring

import (
	"fmt"
	"unsafe"

	"secure-dns-proxy/ring/slots"
	"secure-dns-proxy/ring/sys"
)

// Receive buffers of both kinds. A stride is an odd number of cache lines: equal offsets in consecutive buffers then fall
// into different sets of the L1 cache, where 4096 would put all headers into one.
const (
	nameRoom    = 32 // for struct sockaddr_in6, rounded so that control messages are 8-aligned
	controlRoom = sys.ControlBytesMax
	payloadAt   = sys.RecvmsgOutBytes + nameRoom + controlRoom

	cacheLine      = 64
	datagramRoom   = payloadAt + DatagramBytesMax
	datagramStride = datagramRoom + cacheLine
	streamStride   = StreamBytesMax + cacheLine
	_              = uint(datagramStride/cacheLine%2 - 1)
	_              = uint(streamStride/cacheLine%2 - 1)
	_              = uint(0 - (payloadAt - 128)) // payload on a line of its own
)

// Buffer groups.
const (
	groupDatagrams uint16 = iota
	groupStreams
)

// Ring is the io_uring engine. All methods belong to the OS thread that called Open, except Waker().Wake.
type Ring struct {
	_ [2 * cacheLine]byte // workers' tables may lie side by side: see worker's TestWorkersShareNoLine

	u       *sys.Uring
	sockets *slots.Table[socket]
	todo    []Handle // sockets with something to submit at the next turn, each once
	work    []Handle // the list runTodo is walking

	events []Event // the slice of the current turn
	paths  []Path  // events[i].Path is &paths[i] or nil
	counts Counters
	wakes  *Waker

	datagrams, streams         *sys.BufferRing
	heldDatagrams, heldStreams []uint16 // buffers that events of the current slice point into

	send   transmit
	files  []uint8 // free slots of the fixed file table
	memory []byte  // everything below, the send slots and all receive buffers
	fixed  *fixedArguments

	watchAt uint32 // where the watchdog goes on
	alarmed bool   // the alarm is set
	alarm   uint32 // how many were set; the last one counts
	polls   bool   // waits poll network cards, which before Linux 6.12 needs a time limit
	lost    uint32 // completions the kernel had lost when last looked
	reclaim bool   // buffers may be lost: look once no completion is left

	_ [2 * cacheLine]byte
}

// fixedArguments is memory that operations point at. None of it changes once the ring is open, but for counter.
type fixedArguments struct {
	receive sys.Msghdr   // of every multishot recvmsg: only the two lengths count
	pause   sys.Timespec // AcceptPause
	alarm   sys.Timespec // RawWaitMax
	counter uint64       // the waker's eventfd is read into this
}

// Open makes an io_uring engine. Call it on the locked OS thread that will use it; with cfg.CPU >= 0 the thread is pinned
// first, so that all memory is local to that core. Package probe says beforehand whether it can work, and why not.
func Open(cfg Config) (*Ring, error) {
	cfg, err := cfg.WithDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.CPU >= 0 {
		if err := sys.PinThread(cfg.CPU); err != nil {
			return nil, err
		}
	}
	u, err := sys.OpenUring(uint32(cfg.SQEntries), uint32(cfg.CQEntries))
	if err != nil {
		return nil, fmt.Errorf("open ring: %w", err)
	}
	r := &Ring{u: u}
	if err := r.open(cfg); err != nil {
		r.release()
		return nil, fmt.Errorf("open ring: %w", err)
	}
	return r, nil
}

func (r *Ring) open(cfg Config) error {
	if cfg.BusyPoll > 0 {
		if _, err := r.u.BusyPoll(cfg.BusyPoll); err != nil {
			return fmt.Errorf("busy polling (Linux 6.9): %w", err)
		}
		r.polls = true
	}
	r.sockets = slots.New[socket](cfg.Sockets + 1) // one more for the waker
	r.todo = make([]Handle, 0, cfg.Events)
	r.work = make([]Handle, 0, cfg.Events)
	r.events = make([]Event, 0, cfg.Events)
	r.paths = make([]Path, cfg.Events)
	r.heldDatagrams = make([]uint16, 0, cfg.Events)
	r.heldStreams = make([]uint16, 0, cfg.Events)

	fixedBytes := int(unsafe.Sizeof(fixedArguments{})+cacheLine-1) &^ (cacheLine - 1)
	sendBytes := (cfg.SendSlots + 1) * sendStride
	datagramBytes, streamBytes := cfg.DatagramBuffers*datagramStride, cfg.StreamBuffers*streamStride
	memory, err := sys.Map(fixedBytes + sendBytes + datagramBytes + streamBytes)
	if err != nil {
		return err
	}
	r.memory = memory
	clear(memory) // first touch: the pages are local to this thread's node, and no fault comes later
	r.fixed = (*fixedArguments)(unsafe.Pointer(unsafe.SliceData(memory)))
	r.fixed.receive = sys.Msghdr{NameLen: nameRoom, ControlLen: controlRoom}
	r.fixed.pause = sys.Timespec{Nsec: int64(AcceptPause)}
	r.fixed.alarm = sys.Timespec{Nsec: int64(RawWaitMax)}
	rest := memory[fixedBytes:]
	r.send.init(rest[:sendBytes], cfg.SendSlots)
	rest = rest[sendBytes:]
	if r.datagrams, err = r.u.OpenBufferRing(groupDatagrams, rest[:datagramBytes], cfg.DatagramBuffers, datagramRoom, datagramStride); err != nil {
		return err
	}
	if r.streams, err = r.u.OpenBufferRing(groupStreams, rest[datagramBytes:], cfg.StreamBuffers, StreamBytesMax, streamStride); err != nil {
		return err
	}
	if err := r.u.RegisterFiles(FixedFiles); err != nil {
		return err
	}
	for i := FixedFiles - 1; i >= 0; i-- {
		r.files = append(r.files, uint8(i))
	}
	if r.wakes, err = NewWaker(); err != nil {
		return err
	}
	_, err = r.add(socket{fd: int32(r.wakes.FD()), role: roleWaker}, true)
	return err
}

// Waker returns the waker of this engine.
func (r *Ring) Waker() *Waker { return r.wakes }

// Counters returns the engine's counters, live; worker thread only.
func (r *Ring) Counters() *Counters { return &r.counts }

// Name returns "uring".
func (r *Ring) Name() string { return "uring" }

// Shutdown closes all sockets, waits for the kernel to let go of every buffer, and unmaps the memory. Events that were not
// fetched are gone. If the kernel keeps an operation for longer than DrainTurnsMax turns the memory is left mapped, for it
// may still be written, and an error says so.
func (r *Ring) Shutdown() error {
	for h, i := r.sockets.Next(0); h != 0; h, i = r.sockets.Next(i) {
		r.Close(Handle(h))
	}
	for range DrainTurnsMax {
		if r.sockets.Len() == 0 {
			r.release()
			return nil
		}
		r.Turn(drainWait)
	}
	left := r.sockets.Len()
	_ = r.u.Close()
	return fmt.Errorf("shut ring down: operations on %d sockets never completed; their memory is kept", left)
}

// release frees what open made, in any state of completeness. Nothing may be pending but the alarm, which the kernel has copied.
func (r *Ring) release() {
	for _, b := range []*sys.BufferRing{r.datagrams, r.streams} {
		if b != nil {
			_ = b.Close()
		}
	}
	if r.wakes != nil {
		_ = r.wakes.Close()
	}
	_ = r.u.Close()
	if r.memory != nil {
		_ = sys.Unmap(r.memory)
	}
	r.memory, r.fixed, r.datagrams, r.streams = nil, nil, nil, nil
}
