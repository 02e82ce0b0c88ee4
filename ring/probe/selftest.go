package probe

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
)

// Bounds of the self-test: a turn waits turnWait at most, and a datagram on loopback that is not there after turnsMax turns is lost.
const (
	turnWait = 10 * time.Millisecond
	turnsMax = 50
)

// stage is a ring with a server socket on it and a client socket beside it.
type stage struct {
	ring   *ring.Ring
	server ring.Handle
	client int // descriptor
}

// selfTest opens a ring and exchanges datagrams over it, with every feature that the engine stands on: multishot receives into provided
// buffers with their layout, the rearm after an empty datagram, truncation, and sends that leave a completion only if they fail.
func selfTest() (err error) {
	r, err := ring.Open(smallRing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Shutdown()) }()
	s := stage{ring: r}
	if err := s.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.CloseFD(s.client)) }()
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"receive and answer", s.answer},
		{"receive after an empty datagram", s.afterEmpty},
		{"receive a datagram that is too long", s.tooLong},
		{"receive and answer again", s.answer},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// open binds the server, connects the client and hands the server to the ring.
func (s *stage) open() error {
	fd, err := sys.ListenUDP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), sys.SocketOptions{})
	if err != nil {
		return err
	}
	addr, err := sys.LocalAddr(fd)
	if err == nil {
		s.client, err = sys.ConnectUDP(addr, sys.SocketOptions{})
	}
	if err != nil {
		return errors.Join(err, sys.CloseFD(fd))
	}
	if s.server, err = s.ring.AddDatagram(fd, 1, false); err != nil {
		return errors.Join(err, sys.CloseFD(s.client))
	}
	return nil
}

// write sends a datagram from the client.
func (s *stage) write(b []byte) error {
	if _, err := syscall.SendmsgN(s.client, b, nil, nil, 0); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// next turns the ring until it brings a datagram.
func (s *stage) next() (ring.Event, error) {
	for range turnsMax {
		for _, ev := range s.ring.Turn(turnWait) {
			switch ev.Kind {
			case ring.Datagram:
				return ev, nil
			case ring.DatagramError, ring.SendFailed:
				return ev, fmt.Errorf("%v: %w", ev.Kind, ev.Errno)
			}
		}
	}
	return ring.Event{}, errors.New("a datagram got lost")
}

// answer has the ring receive a datagram and send it back.
func (s *stage) answer() error {
	sent := []byte("question")
	if err := s.write(sent); err != nil {
		return err
	}
	ev, err := s.next()
	if err != nil {
		return err
	}
	if !bytes.Equal(ev.Data, sent) || ev.Truncated || ev.Path == nil || ev.Handle != s.server {
		return fmt.Errorf("received %q, truncated %v", ev.Data, ev.Truncated)
	}
	s.ring.Commit(s.server, copy(s.ring.Reserve(), "answer"), ev.Path)
	got := make([]byte, 64)
	for range turnsMax {
		for _, ev := range s.ring.Turn(0) {
			return fmt.Errorf("%v: %w", ev.Kind, ev.Errno)
		}
		if n, errno := sys.Recv(s.client, got); errno == 0 {
			if string(got[:n]) != "answer" {
				return fmt.Errorf("answered %q", got[:n])
			}
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the answer got lost")
}

// afterEmpty sends an empty datagram, which ends a multishot receive, and another one.
func (s *stage) afterEmpty() error {
	if err := errors.Join(s.write(nil), s.write([]byte("after"))); err != nil {
		return err
	}
	for _, want := range []string{"", "after"} {
		ev, err := s.next()
		if err != nil {
			return err
		}
		if string(ev.Data) != want {
			return fmt.Errorf("received %q, want %q", ev.Data, want)
		}
	}
	return nil
}

// tooLong sends more than a receive buffer holds.
func (s *stage) tooLong() error {
	if err := s.write(make([]byte, ring.DatagramBytesMax+1)); err != nil {
		return err
	}
	ev, err := s.next()
	if err != nil {
		return err
	}
	if !ev.Truncated || len(ev.Data) != ring.DatagramBytesMax {
		return fmt.Errorf("received %d bytes, truncated %v", len(ev.Data), ev.Truncated)
	}
	return nil
}
