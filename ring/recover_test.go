package ring

import (
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/ring/sys"
)

// The kernel drops completions only when it has no memory for them, which no test can bring about. So these take completions
// off the queue unseen and tell the ring that some were lost.

// openLossy opens a ring on the test's thread with one datagram socket and a client connected to it.
func openLossy(t *testing.T) (*Ring, Handle, *net.UDPConn) {
	t.Helper()
	runtime.LockOSThread()
	r, err := Open(Config{CPU: -1, DatagramBuffers: 16, StreamBuffers: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	fd, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := sys.LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.AddDatagram(fd, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	r.Turn(0)
	return r, h, client
}

// lose throws away the next completions, at least so many, and has the ring start over.
func lose(t *testing.T, r *Ring, atLeast int) {
	t.Helper()
	lost := 0
	for range 100 {
		if errno := r.u.Wait(10*time.Millisecond, false); errno != 0 && errno != syscall.ETIME && errno != syscall.EINTR {
			t.Fatal(errno)
		}
		for r.u.Ready() > 0 {
			if c := r.u.Take(); c.UserData()>>opShift<<opShift != opAlarm {
				lost++
			}
		}
		r.u.Release()
		if lost >= atLeast {
			r.recoverLost(r.lost + 1)
			r.lost = r.u.Lost()
			return
		}
	}
	t.Fatalf("%d completions came, want %d", lost, atLeast)
}

// collect turns the ring until n events have come, and some turns more for those that should not.
func collect(t *testing.T, r *Ring, n int) []Event {
	t.Helper()
	var got []Event
	for range 200 {
		for _, e := range r.Turn(5 * time.Millisecond) {
			e.Data, e.Path = append([]byte(nil), e.Data...), nil
			got = append(got, e)
		}
		if len(got) >= n {
			break
		}
	}
	for range 5 {
		if more := r.Turn(time.Millisecond); len(more) > 0 {
			t.Errorf("%d events more than wanted: %v first", len(more), more[0].Kind)
		}
	}
	if len(got) < n {
		t.Fatalf("%d events, want %d; counters %+v", len(got), n, r.counts)
	}
	return got
}

func write(t *testing.T, c net.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if _, err := c.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLostDatagramCompletions(t *testing.T) {
	cases := []struct {
		name string
		lost []string // an empty one ends the multishot: its last completion is among the lost
	}{
		{"multishot goes on", []string{"a", "b", "c", "d", "e"}},
		{"multishot ended", []string{"a", "", "b"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, h, client := openLossy(t)
			write(t, client, c.lost...)
			atLeast := len(c.lost)
			if c.name == "multishot ended" {
				atLeast = 2 // the third datagram finds nothing armed
			}
			lose(t, r, atLeast)
			collect(t, r, len(c.lost)-atLeast)
			if r.counts.BuffersLost != uint64(atLeast) {
				t.Errorf("buffers taken back = %d, want %d", r.counts.BuffersLost, atLeast)
			}
			for range 3 { // more datagrams than buffers: all of them are there again
				for range 10 {
					write(t, client, "x")
				}
				for _, e := range collect(t, r, 10) {
					if e.Kind != Datagram || e.Handle != h || string(e.Data) != "x" {
						t.Fatalf("event %+v", e)
					}
				}
			}
			if r.reclaim || r.counts.Lost != 1 || r.counts.Unexpected != 0 {
				t.Errorf("reclaim %v, lost %d, unexpected %d", r.reclaim, r.counts.Lost, r.counts.Unexpected)
			}
		})
	}
}

func TestLostWake(t *testing.T) {
	r, _, _ := openLossy(t)
	r.wakes.Arm()
	r.wakes.Wake()
	lose(t, r, 1)
	collect(t, r, 0)
	r.wakes.Arm()
	r.wakes.Wake()
	before := r.counts.Wakes
	collect(t, r, 0)
	if r.counts.Wakes != before+1 {
		t.Errorf("wakes = %d, want %d", r.counts.Wakes, before+1)
	}
}

// stream adds a listener and one connection of it.
func stream(t *testing.T, r *Ring) (Handle, net.Conn) {
	t.Helper()
	fd, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := sys.LocalAddr(fd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddListener(fd, 0); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	got := collect(t, r, 1)
	if got[0].Kind != Accepted {
		t.Fatalf("event %v, want accepted", got[0].Kind)
	}
	return got[0].Handle, client
}

func TestLostStreamCompletions(t *testing.T) {
	memory, err := sys.Map(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sys.Unmap(memory) })

	t.Run("read and write lost", func(t *testing.T) {
		r, _, _ := openLossy(t)
		h, client := stream(t, r)
		write(t, client, "gone")
		r.Recv(h)
		r.Send(h, memory[:10])
		r.runTodo()
		lose(t, r, 2)
		got := map[Kind]syscall.Errno{}
		for _, e := range collect(t, r, 2) {
			got[e.Kind] = e.Errno
		}
		if got[StreamEnd] != syscall.EBADR || got[StreamSent] != syscall.EBADR {
			t.Errorf("events %v, want end and sent with EBADR", got)
		}
		r.Close(h)
		if e := collect(t, r, 1); e[0].Kind != StreamClosed {
			t.Errorf("event %v", e[0].Kind)
		}
	})
	t.Run("read and write still pending", func(t *testing.T) {
		r, _, udp := openLossy(t)
		h, client := stream(t, r)
		r.Recv(h)
		r.Send(h, memory) // does not fit: waits
		r.Turn(0)
		write(t, udp, "lost one")
		lose(t, r, 1)
		write(t, client, "still here")
		e := collect(t, r, 1)
		if e[0].Kind != StreamData || string(e[0].Data) != "still here" {
			t.Errorf("event %v %q", e[0].Kind, e[0].Data)
		}
		go func() { // the send goes on where it was
			buf := make([]byte, 1<<20)
			for total := 0; total < len(memory); {
				n, err := client.Read(buf)
				if err != nil {
					return
				}
				total += n
			}
		}()
		if e := collect(t, r, 1); e[0].Kind != StreamSent || e[0].Errno != 0 {
			t.Errorf("event %v, errno %v, want sent", e[0].Kind, e[0].Errno)
		}
	})
	t.Run("closing", func(t *testing.T) {
		r, datagram, _ := openLossy(t)
		h, client := stream(t, r)
		write(t, client, "gone")
		r.Recv(h)
		r.runTodo()
		r.Close(h)
		r.Close(datagram)
		r.runTodo() // the cancellation of the datagram socket's receive
		lose(t, r, 2)
		if e := collect(t, r, 1); e[0].Kind != StreamClosed {
			t.Errorf("event %v", e[0].Kind)
		}
		if got := r.sockets.Len(); got != 2 { // listener and waker
			t.Errorf("%d sockets left, want 2", got)
		}
	})
}

// TestWatchdog: a socket that lost its arming by a mistake of ours hears again.
func TestWatchdog(t *testing.T) {
	r, h, client := openLossy(t)
	s := r.sockets.Get(uint32(h))
	write(t, client, "") // ends the multishot
	collect(t, r, 1)
	write(t, client, "")
	for s.pending != 0 || !s.queued {
		r.Turn(time.Millisecond)
	}
	s.todo, s.queued = 0, false // the mistake
	r.todo = r.todo[:0]
	write(t, client, "hello")
	if e := collect(t, r, 1); string(e[0].Data) != "hello" {
		t.Errorf("event %v %q", e[0].Kind, e[0].Data)
	}
	if r.counts.Unexpected != 1 {
		t.Errorf("unexpected = %d, want 1", r.counts.Unexpected)
	}
}

// TestOneAlarmCounts: an alarm that was believed lost, and goes off all the same, is not taken for the one that was set instead: each would
// set another, for as long as the worker is busy.
func TestOneAlarmCounts(t *testing.T) {
	r, _, _ := openLossy(t)
	for range 2 {
		if !r.setAlarm() {
			t.Fatal("no room for an alarm")
		}
		r.flush()
		r.alarmed = false // as recoverLost has it
	}
	r.alarmed = true // the second one
	var after []bool
	for tries := 0; len(after) < 2 && tries < 200; tries++ {
		if errno := r.u.Wait(10*time.Millisecond, false); errno != 0 && errno != syscall.ETIME && errno != syscall.EINTR {
			t.Fatal(errno)
		}
		for r.u.Ready() > 0 {
			c := r.u.Take()
			r.complete(c.UserData(), c.Result(), c.Flags())
			if c.UserData()>>opShift<<opShift == opAlarm {
				after = append(after, r.alarmed)
			}
		}
		r.u.Release()
	}
	if len(after) != 2 || !after[0] || after[1] {
		t.Errorf("set after each of two alarms: %v, want true, then false", after)
	}
}
