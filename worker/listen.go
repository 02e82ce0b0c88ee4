package worker

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"secure-dns-proxy/ring/sys"
)

// Listeners are the bound sockets of all workers: for every address one UDP and one TCP socket per worker, in one SO_REUSEPORT group.
// They are bound before privileges are dropped and before any worker starts.
type Listeners struct {
	workers [][]listener // [worker][address]
	addrs   []netip.AddrPort
}

// listener is the pair of sockets of one worker on one address. A descriptor of -1 was handed to an engine.
type listener struct {
	udp, tcp int
	wildcard bool // replies need the local address of the query
}

// Listen binds every address for every worker. A port of 0 is chosen by the kernel once per address and then shared by all its sockets.
// recvBufferBytes is asked for each UDP socket; 0 leaves the kernel's default. On an error nothing stays open.
func Listen(addrs []netip.AddrPort, workers int, recvBufferBytes int) (*Listeners, error) {
	if len(addrs) == 0 || workers < 1 {
		return nil, errors.New("listen: no address or no worker")
	}
	l := &Listeners{addrs: append([]netip.AddrPort(nil), addrs...)}
	for range workers {
		row := make([]listener, 0, len(addrs))
		for i := range l.addrs {
			pair, err := l.bind(i, recvBufferBytes)
			for range portsTried { // the port that the kernel chose for TCP may be taken for UDP
				if addrs[i].Port() != 0 || len(l.workers) != 0 || !errors.Is(err, syscall.EADDRINUSE) {
					break
				}
				l.addrs[i] = addrs[i]
				pair, err = l.bind(i, recvBufferBytes)
			}
			if err != nil {
				l.workers = append(l.workers, row)
				return nil, errors.Join(err, l.Close())
			}
			row = append(row, pair)
		}
		l.workers = append(l.workers, row)
	}
	return l, nil
}

// bind opens one pair on address i and notes the port that the kernel chose.
func (l *Listeners) bind(i, recvBufferBytes int) (listener, error) {
	addr := l.addrs[i]
	options := sys.SocketOptions{RecvBufferBytes: recvBufferBytes, V6Only: l.v4Beside(addr)}
	tcp, err := sys.ListenTCP(addr, options)
	if err != nil {
		return listener{}, fmt.Errorf("listen tcp %v: %w", addr, err)
	}
	if addr.Port() == 0 {
		if addr, err = sys.LocalAddr(tcp); err != nil {
			return listener{}, errors.Join(err, sys.CloseFD(tcp))
		}
		l.addrs[i] = addr
	}
	udp, err := sys.ListenUDP(addr, options)
	if err != nil {
		return listener{}, errors.Join(fmt.Errorf("listen udp %v: %w", addr, err), sys.CloseFD(tcp))
	}
	return listener{udp: udp, tcp: tcp, wildcard: addr.Addr().IsUnspecified()}, nil
}

// v4Beside reports whether addr is [::] and 0.0.0.0 is listened on as well: then [::] must leave IPv4 to it.
func (l *Listeners) v4Beside(addr netip.AddrPort) bool {
	if addr.Addr() != netip.IPv6Unspecified() {
		return false
	}
	for _, other := range l.addrs {
		if other.Addr() == netip.IPv4Unspecified() && other.Port() == addr.Port() {
			return true
		}
	}
	return false
}

// BusyPoll lets reads of every socket poll its network card for up to limit, whole microseconds. It takes CAP_NET_ADMIN, so it comes before
// privileges are dropped; Config.BusyPoll is the engines' part of the same.
func (l *Listeners) BusyPoll(limit time.Duration) error {
	for _, row := range l.workers {
		for i := range row {
			for _, fd := range []int{row[i].udp, row[i].tcp} {
				if err := sys.BusyPoll(fd, limit); err != nil {
					return fmt.Errorf("%v: %w", l.addrs[i], err)
				}
			}
		}
	}
	return nil
}

// Addrs returns the bound addresses with their real ports, in the order given.
func (l *Listeners) Addrs() []netip.AddrPort { return l.addrs }

// Close closes every socket that no engine has taken over.
func (l *Listeners) Close() error {
	var errs []error
	for _, row := range l.workers {
		for i := range row {
			for _, fd := range []*int{&row[i].udp, &row[i].tcp} {
				if *fd >= 0 {
					errs = append(errs, sys.CloseFD(*fd))
					*fd = -1
				}
			}
		}
	}
	return errors.Join(errs...)
}
