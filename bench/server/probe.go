package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// probeName is asked until it is answered. It is none of the names that load is made of.
const probeName = "\x05ready\x05bench\x07example\x00"

// awaitAnswer probes until the program answers NOERROR, and returns the time since begun.
func (p *Process) awaitAnswer(ctx context.Context, begun time.Time) (time.Duration, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.Setup.Listen))
	if err != nil {
		return 0, fmt.Errorf("probe: %w", err)
	}
	defer conn.Close() // nothing is waiting in it
	for id := uint16(1); time.Since(begun) < readyTimeout; id++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := p.Check(); err != nil {
			return 0, errors.New("ended before its first answer")
		}
		if ask(conn, id) {
			return time.Since(begun), nil
		}
	}
	return 0, fmt.Errorf("no answer within %v of its start", readyTimeout)
}

// ask sends one probe and waits a moment for its answer.
func ask(conn *net.UDPConn, id uint16) bool {
	query := binary.BigEndian.AppendUint16(nil, id)
	query = append(query, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0) // RD, one question
	query = append(query, probeName+"\x00\x01\x00\x01"...)
	if _, err := conn.Write(query); err != nil {
		time.Sleep(probePause)
		return false
	}
	answer := make([]byte, 512)
	for deadline := time.Now().Add(probeTimeout); ; {
		if conn.SetReadDeadline(deadline) != nil {
			return false
		}
		n, err := conn.Read(answer)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false
		}
		if err != nil { // refused: nobody listens yet
			time.Sleep(probePause)
			return false
		}
		if n >= 12 && binary.BigEndian.Uint16(answer) <= id && answer[2]&0x80 != 0 {
			return answer[3]&0x0f == 0
		}
	}
}

// FreeAddr returns a loopback address whose port is free over UDP and TCP now; the kernel does not give the same again soon.
func FreeAddr() (netip.AddrPort, error) {
	var errs []error
	for range 20 {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
		}
		at := udp.LocalAddr().(*net.UDPAddr).AddrPort()
		tcp, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		if err == nil {
			err = tcp.Close()
		}
		if err = errors.Join(err, udp.Close()); err == nil {
			return at, nil
		}
		errs = append(errs, err)
	}
	return netip.AddrPort{}, fmt.Errorf("find a free port: %w", errors.Join(errs...))
}
