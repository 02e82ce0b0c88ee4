// Package mmsg is the engine for kernels without usable io_uring: epoll, recvmmsg and sendmmsg behind the methods and
// with the events of ring.Ring. What io_uring leaves to the kernel it does itself, so nothing is ever pending there.
//
// Datagram sockets and listeners are watched level-triggered, streams edge-triggered once and for all: whether one can be
// read or written is remembered here, and Recv and Send cost no epoll_ctl.
//
// Thread and byte rules are those of package ring.
package mmsg

import (
	"errors"
	"fmt"
	"syscall"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/slots"
	"secure-dns-proxy/ring/sys"
)

// Engine is the epoll engine. All methods belong to the OS thread that called Open, except Waker().Wake.
type Engine struct {
	_ [2 * cacheLine]byte // workers' tables may lie side by side: see worker's TestWorkersShareNoLine

	poll    *sys.Epoll
	sockets *slots.Table[socket]
	todo    []ring.Handle // sockets to look at in the next turn without asking epoll, each once
	work    []ring.Handle // the list runTodo is walking

	events []ring.Event // the slice of the current turn
	paths  []ring.Path  // events[i].Path is &paths[i] or nil
	counts ring.Counters
	wakes  *ring.Waker

	memory   []byte
	receive  receive
	streams  streamBuffers
	send     transmit
	failures []failure // of datagrams, to be reported

	alarm    int           // timerfd that ends raw waits
	alarmed  bool          // it is set
	timer    int           // timerfd for sockets at rest
	paused   []ring.Handle // sockets at rest
	resuming []ring.Handle // the list resume is walking
	turns    uint32

	_ [2 * cacheLine]byte
}

// Open makes an epoll engine on the calling thread; with cfg.CPU >= 0 the thread is pinned first.
func Open(cfg ring.Config) (*Engine, error) {
	cfg, err := cfg.WithDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.CPU >= 0 {
		if err := sys.PinThread(cfg.CPU); err != nil {
			return nil, err
		}
	}
	e := &Engine{timer: -1, alarm: -1}
	if err := e.open(cfg); err != nil {
		_ = e.release()
		return nil, fmt.Errorf("open mmsg engine: %w", err)
	}
	return e, nil
}

func (e *Engine) open(cfg ring.Config) (err error) {
	e.sockets = slots.New[socket](cfg.Sockets + 3) // three more for the waker and the timers
	e.todo = make([]ring.Handle, 0, cfg.Events)
	e.work = make([]ring.Handle, 0, cfg.Events)
	e.events = make([]ring.Event, 0, cfg.Events)
	e.paths = make([]ring.Path, cfg.Events)
	e.failures = make([]failure, 0, cfg.SendSlots)

	datagrams, streams := min(cfg.DatagramBuffers, cfg.Events), min(cfg.StreamBuffers, cfg.Events)
	sizes := [...]int{receiveBytes(datagrams), transmitBytes(cfg.SendSlots), streams * streamStride}
	if e.memory, err = sys.Map(sizes[0] + sizes[1] + sizes[2]); err != nil {
		return err
	}
	clear(e.memory) // first touch: local pages, and no fault later
	e.receive.init(e.memory[:sizes[0]], datagrams)
	e.send.init(e.memory[sizes[0]:][:sizes[1]], cfg.SendSlots)
	e.streams = streamBuffers{memory: e.memory[sizes[0]+sizes[1]:], n: streams}

	if e.poll, err = sys.OpenEpoll(cfg.Events); err != nil {
		return err
	}
	if cfg.BusyPoll > 0 {
		if err = e.poll.BusyPoll(cfg.BusyPoll); err != nil {
			return fmt.Errorf("busy polling (Linux 6.9): %w", err)
		}
	}
	if e.timer, err = sys.Timer(); err != nil {
		return err
	}
	if _, err = e.add(socket{fd: int32(e.timer), role: roleTimer}, sys.EpollIn); err != nil {
		return err
	}
	if e.alarm, err = sys.Timer(); err != nil {
		return err
	}
	if _, err = e.add(socket{fd: int32(e.alarm), role: roleAlarm}, sys.EpollIn); err != nil {
		return err
	}
	if e.wakes, err = ring.NewWaker(); err != nil {
		return err
	}
	_, err = e.add(socket{fd: int32(e.wakes.FD()), role: roleWaker}, sys.EpollIn)
	return err
}

// Waker returns the waker of this engine.
func (e *Engine) Waker() *ring.Waker { return e.wakes }

// Counters returns the engine's counters, live; worker thread only.
func (e *Engine) Counters() *ring.Counters { return &e.counts }

// Name returns "mmsg".
func (e *Engine) Name() string { return "mmsg" }

// Shutdown sends what is queued, closes all sockets and unmaps the memory. Events that were not fetched are gone.
func (e *Engine) Shutdown() error {
	e.flush()
	for h, i := e.sockets.Next(0); h != 0; h, i = e.sockets.Next(i) {
		s := e.sockets.Get(h)
		if !s.role.own() && !s.closing {
			_ = sys.CloseFD(int(s.fd)) // errors of earlier writes: nobody is left to tell
		}
		e.sockets.Release(h)
	}
	return e.release()
}

// release frees what open made, in any state of completeness.
func (e *Engine) release() error {
	var errs []error
	if e.wakes != nil {
		errs = append(errs, e.wakes.Close())
	}
	for _, fd := range [...]int{e.timer, e.alarm} {
		if fd >= 0 {
			errs = append(errs, sys.CloseFD(fd))
		}
	}
	if e.poll != nil {
		errs = append(errs, e.poll.Close())
	}
	if e.memory != nil {
		errs = append(errs, sys.Unmap(e.memory))
	}
	e.memory, e.poll, e.timer, e.alarm = nil, nil, -1, -1
	return errors.Join(errs...)
}

// errTableFull is made once: a flood of connections must not allocate an error for each.
var errTableFull = fmt.Errorf("add socket: socket table full: %w", syscall.ENOBUFS)
