package enginetest

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

var resourceTests = map[string]func(*testing.T, Opener){
	"steady turns allocate nothing": testAllocations,
	"open and shut many times":      testReopen,
	"configuration is checked":      testConfig,
	"shutdown with everything busy": testShutdownBusy,
	"completion queue overflow":     testOverflow,
}

// Peer is a client of raw descriptors, for loops in which nothing may allocate.
type Peer struct {
	fd  int
	buf []byte
}

// Send sends one datagram or some stream bytes.
func (p *Peer) Send(t testing.TB, n int) {
	if _, errno := sys.Send(p.fd, sys.Address(unsafe.Pointer(&p.buf[0])), uint32(n)); errno != 0 {
		t.Fatalf("peer send: %v", errno)
	}
}

// Recv reads once, without waiting, and returns the bytes read; 0 when there is nothing.
func (p *Peer) Recv(t testing.TB) int {
	n, errno := sys.Recv(p.fd, p.buf)
	if errno == syscall.EAGAIN {
		return 0
	}
	if errno != 0 {
		t.Fatalf("peer recv: %v", errno)
	}
	return n
}

func testAllocations(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "0.0.0.0", 0) // wildcard: the longer way, with control messages
	fd, err := sys.ConnectUDP(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port()), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	peer := Peer{fd: fd, buf: buffer(t, 4096)}
	defer func() { _ = sys.CloseFD(fd) }()
	_, listen := tcp(t, e, 0)
	c, stream := connect(t, e, listen)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	tcpPeer := Peer{buf: buffer(t, 4096)}
	_ = raw.Control(func(fd uintptr) { tcpPeer.fd = int(fd) })
	out := buffer(t, 4096)
	w := e.Waker()

	const batch = 40
	lap := func() {
		for range batch {
			peer.Send(t, 50)
		}
		tcpPeer.Send(t, 100)
		e.Recv(stream)
		w.Arm()
		w.Wake()
		for echoed, sent := 0, false; echoed < batch || !sent; {
			for i, events := 0, e.Turn(ring.RawWaitMax); i < len(events); i++ {
				switch event := &events[i]; event.Kind {
				case ring.Datagram:
					reply(e, event)
					echoed++
				case ring.StreamData:
					e.Send(stream, out[:copy(out, event.Data)])
				case ring.StreamSent:
					sent = true
				}
			}
		}
		e.Turn(0)
		for got := 0; got < batch; {
			if peer.Recv(t) > 0 {
				got++
			}
		}
		for tcpPeer.Recv(t) == 0 {
		}
	}
	for range 20 { // lists reach their size
		lap()
	}
	if got := testing.AllocsPerRun(100, lap); got != 0 {
		t.Errorf("allocations per lap = %v, want 0", got)
	}
}

func testReopen(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	for range 20 {
		second, err := open(ring.Config{CPU: -1, DatagramBuffers: 16, StreamBuffers: 16})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = udp(t, second, "127.0.0.1", 0)
		_, _ = tcp(t, second, 0)
		second.Turn(0)
		if err := second.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, e, 2)
}

func testConfig(t *testing.T, open Opener) {
	for _, cfg := range []ring.Config{
		{Sockets: -1},
		{Sockets: ring.SocketsMax + 1},
		{DatagramBuffers: 100},
		{StreamBuffers: 1 << 20},
		{SQEntries: 7},
		{SQEntries: 512, CQEntries: 256},
		{Events: ring.EventsMax + 1},
		{BusyPoll: ring.BusyPollMax + time.Microsecond},
		{BusyPoll: 1500},
	} {
		cfg.CPU = -1
		if e, err := open(cfg); err == nil {
			t.Errorf("open(%+v) succeeded", cfg)
			_ = e.Shutdown()
		}
	}
}

// testShutdownBusy: reads, writes, accepts, sends and a wake-up are all outstanding.
func testShutdownBusy(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	h, addr := udp(t, e, "127.0.0.1", 0)
	_, listen := tcp(t, e, 0)
	for i := range 20 {
		_, stream := connect(t, e, listen)
		e.Recv(stream)
		if i%2 == 0 {
			e.Send(stream, buffer(t, 16<<20))
		}
	}
	e.Turn(0)
	client := dialUDP(t, addr)
	for range 100 {
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var to ring.Path
	to.SetAddr(addr)
	e.Commit(h, copy(e.Reserve(), "x"), &to)
	e.Waker().Arm()
	e.Waker().Wake()
}

// testOverflow runs datagrams and connections through a completion queue that holds four: the kernel ends multishots and
// keeps completions aside, and nothing may be lost by that.
func testOverflow(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{SQEntries: 4, CQEntries: 4, DatagramBuffers: 64, Events: 64})
	_, addr := udp(t, e, "127.0.0.1", 0)
	exchange(t, e, addr, 500)
	serveMany(t, e, 100, 0)
	if got := e.Counters().Overflows; e.Name() == "uring" && got == 0 {
		t.Error("the queue never overflowed: the test tests nothing")
	}
}
