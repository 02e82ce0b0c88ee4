package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sockets opens an echo's socket and a client's, which is connected to it.
func sockets(t *testing.T, at string) (fd int, client *net.UDPConn) {
	t.Helper()
	fd, err := listen(netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	addr, err := boundTo(fd)
	if err != nil {
		t.Fatal(err)
	}
	client, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetReadBuffer(receiveBufferBytes); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // fail rather than hang
		t.Fatal(err)
	}
	return fd, client
}

func TestTurn(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		fd, client := sockets(t, at)
		b, err := newBatch()
		if err != nil {
			t.Fatal(err)
		}
		// Short ones among the others, more than a batch, lengths that vary: a slot must not keep the length of the one before.
		var want [][]byte
		total := 0
		for i := range 3 * batchMax {
			if i%7 == 3 {
				short := bytes.Repeat([]byte{1}, i%headerBytes)
				if _, err := client.Write(short); err != nil {
					t.Fatal(err)
				}
				total++
			}
			q := fmt.Appendf([]byte{0, byte(i), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "%s", strings.Repeat("x", i*13%1200))
			if _, err := client.Write(q); err != nil {
				t.Fatal(err)
			}
			total++
			q[2], q[3] = 0x81, 0x80
			want = append(want, q)
		}
		for range (total + batchMax - 1) / batchMax {
			if err := turn(fd, b); err != nil {
				t.Fatal(err)
			}
		}
		buffer := make([]byte, 4096)
		for i, w := range want {
			n, err := client.Read(buffer)
			if err != nil || !bytes.Equal(buffer[:n], w) {
				t.Fatalf("%s, answer %d: got % x, %v, want % x", at, i, buffer[:n], err, w)
			}
		}
	}
}

func TestTurnDoesNotAllocate(t *testing.T) {
	fd, client := sockets(t, "127.0.0.1:0")
	b, err := newBatch()
	if err != nil {
		t.Fatal(err)
	}
	query, buffer := make([]byte, 40), make([]byte, 4096)
	if n := testing.AllocsPerRun(200, func() {
		_, werr := client.Write(query)
		terr := turn(fd, b)
		_, rerr := client.Read(buffer)
		if werr != nil || terr != nil || rerr != nil {
			t.Fatal(werr, terr, rerr)
		}
	}); n != 0 {
		t.Errorf("got %v allocations per turn, want 0", n)
	}
}

func TestRefusals(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ECONNREFUSED} {
		if err := refused(errno); err != nil {
			t.Errorf("%v: got %v, want another try", errno, err)
		}
	}
	if err := refused(unix.EBADF); err == nil {
		t.Error("EBADF: got another try, want an error")
	}
}

func TestRunRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-listen 0.0.0.0:5301", "loopback"},
		{"-listen 192.0.2.1:5301", "loopback"},
		{"-listen nonsense", "-listen"},
		{"-cpu x", "-cpu"},
		{"-cpu -1", "-cpu"},
		{"extra", "unexpected"},
	} {
		if err := run(strings.Fields(c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.args, err, c.want)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string]string{"": "[-1]", "0": "[0]", "0, 2,5": "[0 2 5]"} {
		if got, err := parseCPUs(list); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: got %v, %v, want %s", list, got, err, want)
		}
	}
	if _, err := parseCPUs(strings.Repeat("0,", workersMax) + "0"); err == nil {
		t.Error("too many workers: got no error")
	}
}
