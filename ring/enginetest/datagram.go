package enginetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

var datagramTests = map[string]func(*testing.T, Opener){
	"echo leaves from the address asked":  testEcho,
	"burst beyond a batch":                testBurst,
	"buffer exhaustion":                   testBufferExhaustion,
	"zero-length datagrams":               testZeroLength,
	"truncated datagram":                  testTruncated,
	"send arena overflow":                 testSendOverflow,
	"send failure":                        testSendFailure,
	"equal lengths on a connected socket": testTrains,
	"a send does not wait":                testSendsBeforeWaiting,
	"connected socket refused":            testRefused,
	"close and stale handles":             testDatagramClose,
	"send then close":                     testSendThenClose,
	"more sockets than fixed files":       testManySockets,
	"socket table full":                   testTableFull,
}

// testSendsBeforeWaiting: a Turn that waits without bound has sent what was queued before: the peer's answer to that is what ends it. Would the
// engine keep sends back for company, or wait for more than one event, this would hang until the peer gives up.
func testSendsBeforeWaiting(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	h, addr := udp(t, e, "127.0.0.1", 0)
	c := dialUDP(t, addr)
	peer := new(ring.Path)
	peer.SetAddr(c.LocalAddr().(*net.UDPAddr).AddrPort())
	answered := make(chan error, 1)
	go func() {
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		answered <- err
	}()
	e.Commit(h, copy(e.Reserve(), "alone"), peer)
	for range 100 { // it may return early with nothing
		events := e.Turn(patience)
		if len(events) > 0 {
			if string(events[0].Data) != "alone" {
				t.Errorf("event %v %q", events[0].Kind, events[0].Data)
			}
			break
		}
	}
	if err := <-answered; err != nil {
		t.Errorf("the peer got nothing while the engine waited: %v", err)
	}
}

func testEcho(t *testing.T, open Opener) {
	cases := []struct {
		name, bind, ask string
		local           bool
	}{
		{"v4", "127.0.0.1", "127.0.0.1", false},
		{"v6", "::1", "::1", false},
		{"v4 wildcard", "0.0.0.0", "127.0.0.5", true},
		{"v6 wildcard asked by v6", "::", "::1", true},
		{"v6 wildcard asked by v4", "::", "127.0.0.5", true},
	}
	e := start(t, open, ring.Config{})
	for i, c := range cases {
		h, local := udp(t, e, c.bind, uint32(i))
		ask := netip.MustParseAddr(c.ask)
		client := dialUDP(t, netip.AddrPortFrom(ask, local.Port()))
		message := []byte("who is " + c.name)
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		until(t, e, c.name, func(event *ring.Event) bool {
			want := netip.MustParseAddrPort(client.LocalAddr().String())
			if event.Kind != ring.Datagram || event.Handle != h || event.Tag != uint32(i) || event.Truncated {
				t.Errorf("%s: event %+v, want a datagram on %#x with tag %d", c.name, *event, h, i)
			}
			if got := event.Path.Addr(); got != want {
				t.Errorf("%s: sender = %v, want %v", c.name, got, want)
			}
			if got := event.Path.HasLocal; got != c.local {
				t.Errorf("%s: has local = %v, want %v", c.name, got, c.local)
			}
			if got := netip.AddrFrom16(event.Path.Local).Unmap(); c.local && got != ask {
				t.Errorf("%s: local = %v, want %v", c.name, got, ask)
			}
			if !bytes.Equal(event.Data, message) {
				t.Errorf("%s: data = %q, want %q", c.name, event.Data, message)
			}
			reply(e, event)
			return true
		})
		e.Turn(0)
		got := make([]byte, 100)
		n, err := client.Read(got) // connected: takes it only from the address asked
		if err != nil || !bytes.Equal(got[:n], message) {
			t.Errorf("%s: reply = %q, %v, want %q", c.name, got[:n], err, message)
		}
		// The same through an address built by SetAddr, as an upstream's is.
		var to ring.Path
		to.SetAddr(netip.MustParseAddrPort(client.LocalAddr().String()))
		if !c.local {
			n = copy(e.Reserve(), "again")
			e.Commit(h, n, &to)
			e.Turn(0)
			if n, err := client.Read(got); err != nil || string(got[:n]) != "again" {
				t.Errorf("%s: second reply = %q, %v", c.name, got[:n], err)
			}
		}
		e.Close(h)
	}
}

func testBurst(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "127.0.0.1", 0)
	exchange(t, e, addr, 700)
}

func testBufferExhaustion(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{DatagramBuffers: 4, Events: 4})
	_, addr := udp(t, e, "127.0.0.1", 0)
	exchange(t, e, addr, 300)
	if got := e.Counters().BuffersExhausted; e.Name() == "uring" && got == 0 {
		t.Error("buffers were never exhausted: the test tests nothing")
	}
}

// exchange sends n numbered datagrams at once and expects all of them echoed.
func exchange(t *testing.T, e Engine, addr netip.AddrPort, n int) {
	t.Helper()
	client := dialUDP(t, addr)
	for i := range n {
		if _, err := client.Write(fmt.Appendf(nil, "query %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	until(t, e, fmt.Sprintf("%d datagrams", n), func(event *ring.Event) bool {
		if want := fmt.Sprintf("query %d", seen); event.Kind != ring.Datagram || string(event.Data) != want {
			t.Fatalf("event %v %q, want datagram %q", event.Kind, event.Data, want)
		}
		seen++
		reply(e, event)
		return seen == n
	})
	e.Turn(0)
	got := make([]byte, 100)
	for i := range n {
		m, err := client.Read(got)
		if want := fmt.Sprintf("query %d", i); err != nil || string(got[:m]) != want {
			t.Fatalf("reply %d = %q, %v, want %q", i, got[:m], err, want)
		}
	}
	if c := e.Counters(); c.Datagrams != uint64(n) || c.DatagramsSent != uint64(n) || c.SendFailures != 0 {
		t.Errorf("counters: %d in, %d out, %d failed, want %d, %d, 0", c.Datagrams, c.DatagramsSent, c.SendFailures, n, n)
	}
}

// testZeroLength: an empty datagram ends a multishot receive; the socket must hear the next one all the same.
func testZeroLength(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "127.0.0.1", 0)
	client := dialUDP(t, addr)
	var want, got []int
	for round := range 50 {
		for _, n := range []int{0, 3, 0, 0, round} {
			if _, err := client.Write(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			want = append(want, n)
		}
		if round%10 == 0 { // also with the queue run dry in between
			e.Turn(0)
		}
	}
	got = got[:0]
	// The turns above may have delivered some already; their lengths were not looked at, so count on the counters.
	until(t, e, "datagrams", func(event *ring.Event) bool {
		got = append(got, len(event.Data))
		return e.Counters().Datagrams == uint64(len(want)) && event.Kind == ring.Datagram
	})
	for i := range got {
		if w := want[len(want)-len(got)+i]; got[i] != w {
			t.Fatalf("lengths from the end: got %v, want %v", got, want)
		}
	}
	if got, want := e.Counters().Empty, uint64(151); got != want { // three a round, and round 0
		t.Errorf("Empty = %d, want %d", got, want)
	}
	settle(t, e, 3)
}

func testTruncated(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, addr := udp(t, e, "127.0.0.1", 0)
	client := dialUDP(t, addr)
	sizes := []struct {
		sent, want int
		truncated  bool
	}{{ring.DatagramBytesMax, ring.DatagramBytesMax, false}, {ring.DatagramBytesMax + 1, ring.DatagramBytesMax, true}, {9000, ring.DatagramBytesMax, true}, {12, 12, false}}
	for _, s := range sizes {
		message := bytes.Repeat([]byte{byte(s.sent)}, s.sent)
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		until(t, e, "datagram", func(event *ring.Event) bool {
			if event.Truncated != s.truncated || !bytes.Equal(event.Data, message[:s.want]) {
				t.Errorf("sent %d: got %d bytes, truncated %v, want %d, %v", s.sent, len(event.Data), event.Truncated, s.want, s.truncated)
			}
			return true
		})
	}
}

// testSendOverflow commits more datagrams than there are slots within one turn.
func testSendOverflow(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{SendSlots: 8, SQEntries: 16, CQEntries: 64})
	h, _ := udp(t, e, "127.0.0.1", 0)
	_, target := udp(t, e, "127.0.0.1", 1)
	client := dialUDP(t, target)
	var to ring.Path
	to.SetAddr(netip.MustParseAddrPort(client.LocalAddr().String()))
	const n = 100
	// The client is connected to target, so answer through a path that really is its peer: target echoes to itself.
	to.SetAddr(target)
	for i := range n {
		b := e.Reserve()
		if len(b) != ring.DatagramBytesMax {
			t.Fatalf("Reserve() gave %d bytes, want %d", len(b), ring.DatagramBytesMax)
		}
		binary.BigEndian.PutUint32(b, uint32(i))
		if i%10 == 9 {
			e.Reserve() // abandons the slot
			binary.BigEndian.PutUint32(e.Reserve(), uint32(i))
		}
		e.Commit(h, 4+i, &to)
	}
	seen := 0
	until(t, e, "datagrams", func(event *ring.Event) bool {
		if event.Kind != ring.Datagram || event.Tag != 1 || len(event.Data) != 4+seen || binary.BigEndian.Uint32(event.Data) != uint32(seen) {
			t.Fatalf("datagram %d: %v, %d bytes %x", seen, event.Kind, len(event.Data), event.Data[:4])
		}
		seen++
		return seen == n
	})
	if c := e.Counters(); c.SendsDropped != 0 || c.SendFailures != 0 {
		t.Errorf("dropped %d, failed %d, want none", c.SendsDropped, c.SendFailures)
	}
}

// testTrains: datagrams of equal length that leave for one peer in one turn, from connected sockets and from one that names the peer and its own address, are
// datagrams all the same, in order, however the engine hands them to the kernel.
func testTrains(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, target := udp(t, e, "127.0.0.1", 9)
	var handles [3]ring.Handle
	var to ring.Path
	to.SetAddr(target)
	to.HasLocal, to.Local = true, netip.MustParseAddr("127.0.0.9").As16()
	fd, err := sys.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if handles[2], err = e.AddDatagram(fd, 2, true); err != nil {
		t.Fatal(err)
	}
	for i := range handles[:2] {
		fd, err := sys.ConnectUDP(target, sys.SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if handles[i], err = e.AddDatagram(fd, uint32(i), false); err != nil {
			t.Fatal(err)
		}
	}
	lengths := []int{40, 41, 40 + 64, 512, 513, 4096} // 40 and 104 contend for one place; the last ones are long
	const rounds, each = 3, 70                        // a train has room for 64
	type sender struct{ socket, length int }
	sent, got := map[sender]uint32{}, map[sender]uint32{}
	for range rounds {
		total := 0
		for k := range each {
			for _, n := range lengths {
				if n > 512 && k >= 4 {
					continue
				}
				for i, h := range handles {
					from := sender{i, n}
					b := e.Reserve()
					for at := range n {
						b[at] = byte(n + at)
					}
					b[0] = byte(i)
					binary.BigEndian.PutUint32(b[1:], sent[from])
					sent[from]++
					total++
					if i < 2 {
						e.Commit(h, n, nil)
					} else {
						e.Commit(h, n, &to)
					}
				}
			}
		}
		until(t, e, "datagrams", func(event *ring.Event) bool {
			n := len(event.Data)
			if event.Kind != ring.Datagram || event.Tag != 9 || n < 40 {
				t.Fatalf("event %v of %d bytes, errno %v", event.Kind, n, event.Errno)
			}
			from := sender{int(event.Data[0]), n}
			if k := binary.BigEndian.Uint32(event.Data[1:]); k != got[from] {
				t.Fatalf("datagram %d of %+v, want %d", k, from, got[from])
			}
			for at := 5; at < n; at++ {
				if event.Data[at] != byte(n+at) {
					t.Fatalf("%+v: byte %d is %#x, want %#x", from, at, event.Data[at], byte(n+at))
				}
			}
			if from.socket == 2 && event.Path.Addr().Addr() != netip.MustParseAddr("127.0.0.9") {
				t.Fatalf("%+v came from %v", from, event.Path.Addr())
			}
			got[from]++
			total--
			return total == 0
		})
	}
	if c := e.Counters(); c.SendFailures != 0 || c.SendsDropped != 0 {
		t.Errorf("dropped %d, failed %d, want none", c.SendsDropped, c.SendFailures)
	}
	// Of a socket's 70 datagrams of 41 bytes two messages, of 512 bytes nine; those of 40 and 104 bytes are alone, and the 4 long ones. The third socket's
	// trains depend on the peer's port. Each time that all slots are in use all trains end.
	const trained, alone = 2 + 9 + 2*each + 4, 4*each + 4
	if n := e.Counters().MessagesSent; n < rounds*3*trained || n > rounds*(2*trained+alone)+rounds*40 {
		t.Errorf("%d datagrams in %d messages, want %d to %d and some for full queues", e.Counters().DatagramsSent, n, rounds*3*trained, rounds*(2*trained+alone))
	}
	for from, n := range sent {
		if got[from] != n {
			t.Errorf("%+v: %d datagrams arrived, want %d", from, got[from], n)
		}
	}
}

// testSendFailure: a datagram that cannot be sent is reported, those around it leave.
func testSendFailure(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	h, _ := udp(t, e, "127.0.0.1", 7)
	_, target := udp(t, e, "127.0.0.1", 1)
	for _, port := range []uint16{target.Port(), 0, target.Port()} {
		var to ring.Path
		to.SetAddr(netip.AddrPortFrom(target.Addr(), port))
		e.Commit(h, copy(e.Reserve(), "x"), &to)
	}
	failed, arrived := 0, 0
	until(t, e, "failure and two datagrams", func(event *ring.Event) bool {
		switch event.Kind {
		case ring.SendFailed:
			failed++
			if event.Errno != syscall.EINVAL || event.Handle != h || event.Tag != 7 {
				t.Errorf("failure: %+v, want EINVAL on %#x", *event, h)
			}
		case ring.Datagram:
			arrived++
		default:
			t.Errorf("unexpected %v", event.Kind)
		}
		return failed == 1 && arrived == 2
	})
	e.Commit(h, 3, nil) // no Reserve before: nothing happens
	settle(t, e, 3)
}

// testRefused: a connected socket reports the ICMP error of a closed port and hears again once the port is open.
func testRefused(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	closed, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	remote, err := sys.LocalAddr(closed)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.ConnectUDP(remote, sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.CloseFD(closed); err != nil {
		t.Fatal(err)
	}
	h, err := e.AddDatagram(fd, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // more than ErrorsInRowMax: errors from the network must not put the socket to rest
		e.Commit(h, copy(e.Reserve(), "anyone?"), nil)
		until(t, e, "refusal", func(event *ring.Event) bool {
			if event.Kind != ring.DatagramError && event.Kind != ring.SendFailed || event.Errno != syscall.ECONNREFUSED || event.Handle != h || event.Tag != 3 {
				t.Errorf("event %+v, want ECONNREFUSED on %#x", *event, h)
			}
			return true
		})
	}
	settle(t, e, 2)
	opened, err := sys.ListenUDP(remote, sys.SocketOptions{})
	if err != nil {
		t.Skipf("port was taken by somebody else: %v", err)
	}
	if _, err := e.AddDatagram(opened, 4, false); err != nil {
		t.Fatal(err)
	}
	e.Commit(h, copy(e.Reserve(), "hello"), nil)
	until(t, e, "answer", func(event *ring.Event) bool {
		switch {
		case event.Kind == ring.Datagram && event.Tag == 4:
			reply(e, event)
		case event.Kind == ring.Datagram && event.Tag == 3:
			return true
		default:
			t.Errorf("event %+v", *event)
		}
		return false
	})
	if got := e.Counters().AcceptPauses; got != 0 {
		t.Errorf("rests = %d, want 0", got)
	}
}

func testDatagramClose(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	h, addr := udp(t, e, "127.0.0.1", 1)
	other, otherAddr := udp(t, e, "127.0.0.1", 2)
	client, otherClient := dialUDP(t, addr), dialUDP(t, otherAddr)
	e.Turn(0)
	if _, err := client.Write([]byte("too late")); err != nil {
		t.Fatal(err)
	}
	e.Close(h)
	e.Close(h)
	e.SetTag(h, 9)
	var to ring.Path
	to.SetAddr(addr)
	e.Commit(h, copy(e.Reserve(), "stale"), &to)
	settle(t, e, 5)
	fd, err := sys.ListenUDP(addr, sys.SocketOptions{})
	if err != nil {
		t.Fatalf("bind again: %v", err)
	}
	again, err := e.AddDatagram(fd, 3, false)
	if err != nil || again == h || again == 0 {
		t.Fatalf("AddDatagram = %#x, %v, want a handle other than %#x", again, err, h)
	}
	e.SetTag(other, 22)
	for _, c := range []interface{ Write([]byte) (int, error) }{client, otherClient} {
		if _, err := c.Write([]byte("hello")); err != nil {
			// The first client may see the refusal of its late datagram; the next one goes.
			if _, err = c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
		}
	}
	tags := map[uint32]ring.Handle{}
	until(t, e, "both datagrams", func(event *ring.Event) bool {
		tags[event.Tag] = event.Handle
		return len(tags) == 2
	})
	if tags[3] != again || tags[22] != other {
		t.Errorf("tags = %v, want 3: %#x, 22: %#x", tags, again, other)
	}
}

// testSendThenClose: what was committed before Close still leaves.
func testSendThenClose(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	_, target := udp(t, e, "127.0.0.1", 1)
	var to ring.Path
	to.SetAddr(target)
	for range 20 {
		h, _ := udp(t, e, "127.0.0.1", 2)
		e.Commit(h, copy(e.Reserve(), "last words"), &to)
		e.Close(h)
		until(t, e, "datagram", func(event *ring.Event) bool {
			if event.Kind != ring.Datagram || event.Tag != 1 {
				t.Errorf("event %+v", *event)
			}
			return true
		})
	}
}

func testManySockets(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{})
	const n = ring.FixedFiles + 20
	addrs := make([]netip.AddrPort, n)
	for round := range 2 {
		handles := make([]ring.Handle, n)
		for i := range n {
			handles[i], addrs[i] = udp(t, e, "127.0.0.1", uint32(i))
		}
		e.Turn(0)
		client := dialUDP(t, netip.MustParseAddrPort("127.0.0.1:9")) // only to have a port of its own
		raw, err := client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			for i := range n {
				to := syscall.SockaddrInet4{Port: int(addrs[i].Port()), Addr: addrs[i].Addr().As4()}
				if err := syscall.Sendto(int(fd), []byte{1}, 0, &to); err != nil {
					t.Error(err)
				}
			}
		})
		seen := map[uint32]bool{}
		until(t, e, "a datagram on every socket", func(event *ring.Event) bool {
			if event.Handle != handles[event.Tag] {
				t.Errorf("round %d: handle %#x for tag %d, want %#x", round, event.Handle, event.Tag, handles[event.Tag])
			}
			seen[event.Tag] = true
			return len(seen) == n
		})
		for _, h := range handles {
			e.Close(h)
		}
		settle(t, e, 3)
	}
}

func testTableFull(t *testing.T, open Opener) {
	e := start(t, open, ring.Config{Sockets: 3})
	_, addr := tcp(t, e, 1)
	h, _ := udp(t, e, "127.0.0.1", 1)
	_, _ = udp(t, e, "127.0.0.1", 1)
	fd, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), sys.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := e.AddDatagram(fd, 0, false); err == nil {
		t.Errorf("AddDatagram on a full table = %#x, want an error", h)
	}
	client := dialTCP(t, addr)
	until(t, e, "refusal", func(event *ring.Event) bool {
		if event.Kind != ring.AcceptFailed || event.Errno != syscall.ENOBUFS {
			t.Errorf("event %+v, want AcceptFailed ENOBUFS", *event)
		}
		return true
	})
	if n, err := client.Read(make([]byte, 1)); err == nil {
		t.Errorf("read from a refused connection = %d, want an error", n)
	}
	e.Close(h)
	e.Turn(0)
	e.Turn(0)
	connect(t, e, addr)
}
