package enginetest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/ring"
)

var streamTests = map[string]func(*testing.T, Opener){
	"echo":                          testStreamEcho,
	"reading stops until Recv":      testBackPressure,
	"half close":                    testHalfClose,
	"reset":                         testReset,
	"reset with a send outstanding": testResetSending,
	"close with operations pending": testClosePending,
	"slow reader":                   testSlowReader,
	"stale handles":                 testStaleHandles,
	"many connections":              testManyConnections,
	"buffers fewer than streams":    testFewBuffers,
	"peer gone before accept":       testGoneBeforeAccept,
	"listener close":                testListenerClose,
	"descriptors exhausted":         testAcceptPause,
}

func testStreamEcho(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 5)
	c, h := connect(t, e, addr)
	e.SetTag(h, 77)
	out := buffer(t, 4096)
	for i := range 100 {
		message := fmt.Sprintf("message %d", i)
		if _, err := c.Write([]byte(message)); err != nil {
			t.Fatal(err)
		}
		e.Recv(h)
		e.Recv(h) // one read all the same
		got := ""
		until(t, e, "data", func(event *ring.Event) bool {
			switch event.Kind {
			case ring.StreamData:
				if got += string(event.Data); len(got) < len(message) {
					e.Recv(h)
					break
				}
				e.Send(h, out[:copy(out, got)])
			case ring.StreamSent:
				if event.Errno != 0 {
					t.Errorf("sent: %v", event.Errno)
				}
				return true
			default:
				t.Errorf("unexpected %v", event.Kind)
			}
			if event.Tag != 77 || event.Handle != h {
				t.Errorf("tag %d, handle %#x, want 77, %#x", event.Tag, event.Handle, h)
			}
			return false
		})
		back := make([]byte, len(message))
		if _, err := io.ReadFull(c, back); err != nil || string(back) != message {
			t.Fatalf("echo = %q, %v, want %q", back, err, message)
		}
	}
	_ = c.Close()
	e.Recv(h)
	until(t, e, "end", func(event *ring.Event) bool {
		if event.Kind != ring.StreamEnd || event.Errno != 0 {
			t.Errorf("event %+v, want a clean end", *event)
		}
		return true
	})
	e.Recv(h) // after the end: nothing
	settle(t, e, 2)
	closeStream(t, e, h)
}

// closeStream closes and expects StreamClosed, once, and nothing else.
func closeStream(t testing.TB, e Engine, h ring.Handle) {
	t.Helper()
	e.Close(h)
	e.Close(h)
	until(t, e, "stream closed", func(event *ring.Event) bool {
		if event.Kind != ring.StreamClosed || event.Handle != h {
			t.Errorf("after Close: %+v, want StreamClosed of %#x", *event, h)
		}
		return true
	})
	settle(t, e, 2)
}

func testBackPressure(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	c, h := connect(t, e, addr)
	message := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	settle(t, e, 3) // nothing is read unasked
	var got []byte
	for len(got) < len(message) {
		e.Recv(h)
		until(t, e, "data", func(event *ring.Event) bool {
			if event.Kind != ring.StreamData || len(event.Data) == 0 || len(event.Data) > ring.StreamBytesMax {
				t.Fatalf("event %v with %d bytes", event.Kind, len(event.Data))
			}
			got = append(got, event.Data...)
			return true
		})
		settle(t, e, 1) // one event per Recv
	}
	if !bytes.Equal(got, message) {
		t.Error("data differs from what was sent")
	}
}

func testHalfClose(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	c, h := connect(t, e, addr)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out := buffer(t, 4096)
	e.Recv(h)
	var order []ring.Kind
	until(t, e, "data, end, sent", func(event *ring.Event) bool {
		order = append(order, event.Kind)
		switch event.Kind {
		case ring.StreamData:
			e.Recv(h)
		case ring.StreamEnd:
			if event.Errno != 0 {
				t.Errorf("end: %v", event.Errno)
			}
			e.Send(h, out[:copy(out, "answer")])
		}
		return event.Kind == ring.StreamSent
	})
	if want := []ring.Kind{ring.StreamData, ring.StreamEnd, ring.StreamSent}; fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("events %v, want %v", order, want)
	}
	closeStream(t, e, h)
	if got, err := io.ReadAll(c); err != nil || string(got) != "answer" {
		t.Errorf("answer = %q, %v", got, err)
	}
}

func testReset(t *testing.T, open Opener) {
	for _, armed := range []bool{true, false} {
		e := start(t, open, ring.Config{})
		_, addr := tcp(t, e, 0)
		c, h := connect(t, e, addr)
		if armed {
			e.Recv(h)
		}
		settle(t, e, 1)
		reset(t, c)
		settleReset(t, e, h, armed)
		closeStream(t, e, h)
	}
}

func settleReset(t *testing.T, e Engine, h ring.Handle, armed bool) {
	t.Helper()
	if !armed {
		settle(t, e, 3) // seen only when asked for
		e.Recv(h)
	}
	until(t, e, "end by reset", func(event *ring.Event) bool {
		if event.Kind != ring.StreamEnd || event.Errno != syscall.ECONNRESET {
			t.Errorf("armed %v: %+v, want StreamEnd with ECONNRESET", armed, *event)
		}
		return true
	})
}

func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// testResetSending: a send that can never finish ends with an error once the peer is gone.
func testResetSending(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	c, h := connect(t, e, addr)
	out := buffer(t, 16<<20) // more than any socket buffer
	e.Send(h, out)
	settle(t, e, 3)
	reset(t, c)
	until(t, e, "failed send", func(event *ring.Event) bool {
		if event.Kind != ring.StreamSent || !is(event.Errno, syscall.ECONNRESET, syscall.EPIPE) {
			t.Errorf("event %+v, want StreamSent with ECONNRESET or EPIPE", *event)
		}
		return true
	})
	closeStream(t, e, h)
}

// testClosePending: Close ends a read and a write in flight; the last event says that the buffer is free.
func testClosePending(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	for _, pending := range []string{"", "r", "w", "rw", "fresh rw"} {
		_, h := connect(t, e, addr)
		if bytes.Contains([]byte(pending), []byte("r")) {
			e.Recv(h)
		}
		if bytes.Contains([]byte(pending), []byte("w")) {
			e.Send(h, buffer(t, 16<<20))
		}
		if len(pending) < 3 {
			settle(t, e, 3)
		}
		closeStream(t, e, h)
	}
}

func testSlowReader(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	c, h := connect(t, e, addr)
	const rounds, size = 40, 64 << 10
	out := buffer(t, size)
	done := make(chan error, 1)
	go func() {
		got := make([]byte, size)
		for i := range rounds {
			if i%8 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if _, err := io.ReadFull(c, got); err != nil {
				done <- err
				return
			}
			if want := bytes.Repeat([]byte{byte(i)}, size); !bytes.Equal(got, want) {
				done <- fmt.Errorf("round %d: data differs", i)
				return
			}
		}
		done <- nil
	}()
	for i := range rounds {
		for j := range out {
			out[j] = byte(i)
		}
		e.Send(h, out)
		until(t, e, "sent", func(event *ring.Event) bool {
			if event.Kind != ring.StreamSent || event.Errno != 0 {
				t.Fatalf("event %+v, want StreamSent", *event)
			}
			return true
		})
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	closeStream(t, e, h)
}

func testStaleHandles(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{Sockets: 4})
	_, addr := tcp(t, e, 0)
	seen := map[ring.Handle]bool{}
	out := buffer(t, 4096)
	for i := range 30 {
		c, h := connect(t, e, addr)
		if seen[h] {
			t.Fatalf("handle %#x given out twice", h)
		}
		for old := range seen { // must touch nobody
			e.Recv(old)
			e.Send(old, out)
			e.SetTag(old, 99)
			e.Close(old)
		}
		seen[h] = true
		settle(t, e, 1)
		e.Send(h, out[:copy(out, "alive")])
		until(t, e, "sent", func(event *ring.Event) bool {
			if event.Kind != ring.StreamSent || event.Handle != h || event.Tag == 99 {
				t.Errorf("round %d: %+v", i, *event)
			}
			return true
		})
		closeStream(t, e, h)
		if got, err := io.ReadAll(c); err != nil || string(got) != "alive" {
			t.Errorf("round %d: client read %q, %v", i, got, err)
		}
		_ = c.Close()
	}
}

// testManyConnections: each connection asks, is answered, ends and is closed, all at the same time.
func testManyConnections(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{Events: 16, StreamBuffers: 8, SQEntries: 16, SendSlots: 8, CQEntries: 1024})
	serveMany(t, e, 200, 0)
}

// testFewBuffers: reads that find no buffer are taken up again.
func testFewBuffers(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{Events: 2, StreamBuffers: 2})
	serveMany(t, e, 100, 20000)
}

func serveMany(t *testing.T, e Engine, n, padding int) {
	t.Helper()
	_, addr := tcp(t, e, 0)
	errs := make(chan error, n)
	for i := range n {
		c := dialTCP(t, addr)
		go func() {
			message := append(fmt.Appendf(nil, "client %d", i), bytes.Repeat([]byte{'.'}, padding)...)
			if _, err := c.Write(message); err != nil {
				errs <- err
				return
			}
			_ = c.CloseWrite()
			got, err := io.ReadAll(c)
			if err == nil && !bytes.Equal(got, message) {
				err = fmt.Errorf("client %d: read %d bytes, want %d", i, len(got), len(message))
			}
			errs <- err
		}()
	}
	type state struct {
		data []byte
		out  []byte
	}
	streams := map[ring.Handle]*state{}
	closed := 0
	until(t, e, "all streams closed", func(event *ring.Event) bool {
		s := streams[event.Handle]
		switch event.Kind {
		case ring.Accepted:
			streams[event.Handle] = &state{}
			e.Recv(event.Handle)
		case ring.StreamData:
			s.data = append(s.data, event.Data...)
			e.Recv(event.Handle)
		case ring.StreamEnd:
			s.out = buffer(t, len(s.data))
			e.Send(event.Handle, s.out[:copy(s.out, s.data)])
		case ring.StreamSent:
			e.Close(event.Handle)
		case ring.StreamClosed:
			delete(streams, event.Handle)
			closed++
		default:
			t.Errorf("unexpected %v", event.Kind)
		}
		return closed == n
	})
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// testGoneBeforeAccept: connections that were reset while they waited do no harm.
func testGoneBeforeAccept(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	for range 5 {
		reset(t, dialTCP(t, addr))
	}
	c := dialTCP(t, addr)
	until(t, e, "the live connection", func(event *ring.Event) bool {
		if event.Kind != ring.Accepted {
			t.Errorf("unexpected %v", event.Kind)
			return false
		}
		return event.Path.Addr() == c.LocalAddr().(*net.TCPAddr).AddrPort()
	})
}

func testListenerClose(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	l, addr := tcp(t, e, 0)
	c, h := connect(t, e, addr)
	e.Close(l)
	settle(t, e, 3)
	if late, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr)); err == nil {
		_ = late.Close()
		t.Error("connected to a closed listener")
	}
	out := buffer(t, 4096)
	e.Send(h, out[:copy(out, "still here")])
	until(t, e, "sent", func(event *ring.Event) bool { return event.Kind == ring.StreamSent })
	got := make([]byte, 10)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "still here" {
		t.Errorf("read %q, %v", got, err)
	}
	closeStream(t, e, h)
}

// testAcceptPause: without descriptors a listener rests instead of spinning, and takes the connection afterwards.
func testAcceptPause(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := tcp(t, e, 0)
	c := dialTCP(t, addr) // waits in the backlog
	// The limit must be in force before the first turn: io_uring looks at it when the accept is armed.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3 // below everything that is open: no new descriptor
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	failures, turns := 0, 0
	for failures < 3 && turns < 1000 {
		turns++
		for _, event := range e.Turn(patience) {
			if event.Kind != ring.AcceptFailed || event.Errno != syscall.EMFILE {
				t.Errorf("event %+v, want AcceptFailed EMFILE", event)
			}
			failures++
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// A turn for the failure, one for the end of the rest, and some that signals cut short.
	if failures < 3 || turns > 100 {
		t.Errorf("%d failures in %d turns: want 3 with a rest between them", failures, turns)
	}
	until(t, e, "accept", func(event *ring.Event) bool {
		return event.Kind == ring.Accepted && event.Path.Addr() == c.LocalAddr().(*net.TCPAddr).AddrPort()
	})
}
