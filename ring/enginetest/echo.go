package enginetest

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Shape of the echo benchmark: small datagrams, a queue that is never empty.
const (
	echoOutstanding = 1024
	echoBytes       = 60
	echoBatch       = 64
)

// Echo measures the CPU time one echoed datagram costs the engine's thread (cpu-ns/op); ns/op is wall time and includes
// waiting for the generator, which runs on another core. Non-goal: latency. Compare only within one run, in turns with
// EchoCeiling: absolute times drift by 30 %.
func Echo(b *testing.B, open Opener) {
	runtime.LockOSThread()
	e, err := open(ring.Config{CPU: serverCPU()})
	if err != nil {
		b.Fatal(err)
	}
	_, addr := udp(b, e, "127.0.0.1", 0)
	echoed := 0
	measure(b, addr, func() {
		for echoed < b.N {
			events := e.Turn(time.Millisecond)
			for i := range events {
				reply(e, &events[i])
			}
			echoed += len(events)
		}
		e.Turn(0)
	})
	c := e.Counters()
	b.ReportMetric(float64(c.Enters)/float64(b.N), "syscalls/op")
	if err := e.Shutdown(); err != nil {
		b.Error(err)
	}
}

// EchoCeiling is the same with nothing but recvmmsg and sendmmsg on one set of headers: what kernel sockets allow.
func EchoCeiling(b *testing.B) {
	runtime.LockOSThread()
	if err := sys.PinThread(max(serverCPU(), 0)); err != nil {
		b.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freeUDP(b))
	fd, err := sys.ListenUDP(addr, sys.SocketOptions{RecvBufferBytes: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	poll, err := sys.OpenEpoll(1)
	if err != nil {
		b.Fatal(err)
	}
	if err := poll.Add(fd, sys.EpollIn, 0); err != nil {
		b.Fatal(err)
	}
	batch := newBatch(b, true)
	echoed := 0
	measure(b, addr, func() {
		for echoed < b.N {
			n, errno := sys.RecvMany(fd, &batch.headers[0], echoBatch)
			if errno != 0 {
				_, _ = poll.Wait(time.Millisecond, true)
				continue
			}
			for i := range n {
				batch.vectors[i].Len = uint64(batch.headers[i].Len)
			}
			for done := 0; done < n; {
				m, errno := sys.SendMany(fd, &batch.headers[done], n-done)
				if errno != 0 {
					b.Fatalf("sendmmsg: %v", errno)
				}
				done += m
			}
			for i := range n {
				batch.vectors[i].Len = 512
			}
			echoed += n
		}
	})
	_ = poll.Close()
	_ = sys.CloseFD(fd)
}

// serverCPU is the core of the thread under test; the generator takes another. Without a second core nothing is pinned.
func serverCPU() int {
	if runtime.NumCPU() < 2 {
		return -1
	}
	return 0
}

// measure runs the server loop against a generator and reports its thread's CPU time.
func measure(b *testing.B, addr netip.AddrPort, serve func()) {
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		generate(b, addr, &stop)
	}()
	user, system := threadTime()
	b.ResetTimer()
	serve()
	b.StopTimer()
	userAfter, systemAfter := threadTime()
	user, system = userAfter-user, systemAfter-system
	b.ReportMetric(float64(user+system)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(user)/float64(b.N), "user-ns/op")
	stop.Store(true)
	<-done
}

// generate keeps echoOutstanding datagrams under way until told to stop; what is lost is sent anew after a silence.
func generate(b *testing.B, addr netip.AddrPort, stop *atomic.Bool) {
	runtime.LockOSThread()
	if runtime.NumCPU() > 1 {
		if err := sys.PinThread(1); err != nil {
			b.Error(err)
			return
		}
	}
	fd, err := sys.ConnectUDP(addr, sys.SocketOptions{RecvBufferBytes: 4 << 20})
	if err != nil {
		b.Error(err)
		return
	}
	in, out := newBatch(b, false), newBatch(b, false)
	for i := range out.vectors {
		out.vectors[i].Len = echoBytes
	}
	for !stop.Load() {
		owed := echoOutstanding
		for last := time.Now(); !stop.Load() && time.Since(last) < 20*time.Millisecond; {
			if owed >= echoBatch {
				if n, errno := sys.SendMany(fd, &out.headers[0], echoBatch); errno == 0 {
					owed -= n
				}
			}
			if n, errno := sys.RecvMany(fd, &in.headers[0], echoBatch); errno == 0 {
				owed += n
				last = time.Now()
			}
		}
	}
	_ = sys.CloseFD(fd)
}

// batch is a set of message headers with buffers of 512 bytes, off the heap.
type batch struct {
	headers []sys.Mmsghdr
	vectors []sys.Iovec
}

func newBatch(b *testing.B, names bool) batch {
	const stride = 512 + 64 + 64
	memory, err := sys.Map(echoBatch * (int(unsafe.Sizeof(sys.Mmsghdr{})+unsafe.Sizeof(sys.Iovec{})) + stride))
	if err != nil {
		b.Fatal(err)
	}
	first := unsafe.Pointer(&memory[0])
	set := batch{headers: unsafe.Slice((*sys.Mmsghdr)(first), echoBatch)}
	first = unsafe.Add(first, echoBatch*unsafe.Sizeof(sys.Mmsghdr{}))
	set.vectors = unsafe.Slice((*sys.Iovec)(first), echoBatch)
	first = unsafe.Add(first, echoBatch*unsafe.Sizeof(sys.Iovec{}))
	for i := range echoBatch {
		slot := unsafe.Add(first, i*stride)
		set.vectors[i] = sys.Iovec{Base: sys.Address(unsafe.Add(slot, 64)), Len: 512}
		h := &set.headers[i].Header
		h.Iov, h.IovLen = sys.Address(unsafe.Pointer(&set.vectors[i])), 1
		if names {
			h.Name, h.NameLen = sys.Address(slot), 28
		}
	}
	return set
}

// threadTime is the CPU time of the calling thread, in user mode and in the kernel.
func threadTime() (user, system time.Duration) {
	const rusageThread = 1
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0, 0
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}
