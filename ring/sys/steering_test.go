package sys

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// group binds n sockets to one new port of loopback.
func group(t *testing.T, n int, listen func(netip.AddrPort, SocketOptions) (int, error)) (fds []int, addr netip.AddrPort) {
	t.Helper()
	addr = netip.MustParseAddrPort("127.0.0.1:0")
	for range n {
		fd, err := listen(addr, SocketOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if addr, err = LocalAddr(fd); err != nil {
			t.Fatal(err)
		}
	}
	return fds, addr
}

// sendFrom sends one datagram each from so many ports on the given CPU.
func sendFrom(t *testing.T, cpu int, addr netip.AddrPort, flows int) {
	t.Helper()
	var err error
	onThread(func() {
		if err = PinThread(cpu); err != nil {
			return
		}
		for range flows {
			var c net.Conn
			if c, err = net.Dial("udp", addr.String()); err != nil {
				return
			}
			if _, err = c.Write([]byte("x")); err != nil {
				return
			}
			c.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// took returns how many datagrams lie in a socket, and takes them.
func took(fd int) int {
	n := 0
	for buf := make([]byte, 64); ; n++ {
		if _, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil {
			return n
		}
	}
}

func twoCPUs(t *testing.T) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	if !set.IsSet(0) || !set.IsSet(1) {
		t.Skip("needs CPUs 0 and 1")
	}
}

// TestDatagramsGoToTheSocketOfTheirCPU: on loopback the CPU that sends is the CPU that receives.
func TestDatagramsGoToTheSocketOfTheirCPU(t *testing.T) {
	twoCPUs(t)
	const flows = 40
	for _, tt := range []struct {
		name  string
		cpus  []int
		place [2]int // index of the socket for CPU 0 and CPU 1
	}{
		{"in a row", []int{0, 1}, [2]int{0, 1}},
		{"compared", []int{1, 0}, [2]int{1, 0}},
		{"with strangers", []int{900, 1, 901, 0}, [2]int{3, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fds, addr := group(t, len(tt.cpus), ListenUDP)
			if err := SteerByCPU(fds[len(fds)-1], tt.cpus); err != nil {
				t.Fatal(err)
			}
			for cpu, want := range tt.place {
				sendFrom(t, cpu, addr, flows)
				for i, fd := range fds {
					if n := took(fd); n != map[bool]int{true: flows}[i == want] {
						t.Errorf("from CPU %d: socket %d got %d of %d", cpu, i, n, flows)
					}
				}
			}
			for _, fd := range fds {
				_ = CloseFD(fd)
			}
		})
	}
}

// TestOtherCPUsAreSpreadByHash: so nothing is lost when a CPU without a worker receives, nor when a socket of the group is closed.
func TestOtherCPUsAreSpreadByHash(t *testing.T) {
	const flows = 200
	for _, cpus := range [][]int{{700, 701}, {700, 900}} { // in a row, compared
		fds, addr := group(t, 2, ListenUDP)
		if err := SteerByCPU(fds[0], cpus); err != nil {
			t.Fatal(err)
		}
		sendFrom(t, 0, addr, flows)
		a, b := took(fds[0]), took(fds[1])
		if a+b != flows || a < flows/10 || b < flows/10 {
			t.Errorf("CPUs %v: %d and %d of %d, want all, spread over both", cpus, a, b, flows)
		}
		_ = CloseFD(fds[0])
		sendFrom(t, 0, addr, flows)
		if n := took(fds[1]); n != flows {
			t.Errorf("CPUs %v: the socket that is left got %d of %d", cpus, n, flows)
		}
		_ = CloseFD(fds[1])
	}
}

// TestClosingASocketMovesTheLast shows why a group must be steered again after one of its sockets was closed.
func TestClosingASocketMovesTheLast(t *testing.T) {
	twoCPUs(t)
	fds, addr := group(t, 3, ListenUDP)
	if err := SteerByCPU(fds[0], []int{800, 0, 1}); err != nil {
		t.Fatal(err)
	}
	_ = CloseFD(fds[0]) // the last, number 2, becomes number 0
	sendFrom(t, 0, addr, 20)
	if n := took(fds[1]); n != 20 {
		t.Errorf("CPU 0: %d of 20 at its socket", n)
	}
	if err := SteerByCPU(fds[2], []int{1, 0}); err != nil {
		t.Fatal(err)
	}
	sendFrom(t, 1, addr, 20)
	if n := took(fds[2]); n != 20 {
		t.Errorf("CPU 1 after steering again: %d of 20 at its socket", n)
	}
	for _, fd := range fds[1:] {
		_ = CloseFD(fd)
	}
}

func TestConnectionsGoToTheListenerOfTheirCPU(t *testing.T) {
	twoCPUs(t)
	fds, addr := group(t, 2, ListenTCP)
	if err := SteerByCPU(fds[0], []int{1, 0}); err != nil {
		t.Fatal(err)
	}
	for cpu, want := range []int{1, 0} {
		var err error
		onThread(func() {
			if err = PinThread(cpu); err != nil {
				return
			}
			for range 10 {
				fd, e := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if e == nil {
					defer unix.Close(fd)
					e = unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()})
				}
				if e != nil {
					err = e
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, fd := range fds {
			n := 0
			for { // all are established already
				c, _, e := unix.Accept4(fd, unix.SOCK_CLOEXEC)
				if e != nil {
					break
				}
				_ = unix.Close(c)
				n++
			}
			if n != map[bool]int{true: 10}[i == want] {
				t.Errorf("from CPU %d: listener %d got %d of 10", cpu, i, n)
			}
		}
	}
	for _, fd := range fds {
		_ = CloseFD(fd)
	}
}

func TestSteeringIsRefusedOnOtherSockets(t *testing.T) {
	fd, err := Eventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer CloseFD(fd)
	if err := SteerByCPU(fd, []int{0}); err == nil {
		t.Error("an eventfd was steered")
	}
}
