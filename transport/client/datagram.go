package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"secure-dns-proxy/transport"
)

var (
	errNoAddress = errors.New("no address known")
	errNoAnswer  = errors.New("no answer")
)

// datagrams asks the addresses over UDP, one after the other, each for its share of the time.
func (c *Client) datagrams(ctx context.Context, query []byte, end int) ([]byte, error) {
	plain := *c.end
	plain.Scheme = transport.UDP // what is known of the addresses over UDP, not over TCP
	order, _ := plain.AddressOrder(transport.Now())
	err := fmt.Errorf("%s: %w", c.end.Name, errNoAddress)
	for i, address := range order {
		var msg []byte
		if msg, err = datagram(ctx, address, share(ctx, len(order)-i), query, end); err == nil {
			plain.AddressWorked(address)
			return msg, nil
		}
		err = fmt.Errorf("%s at %v: %w", c.end.Name, address, err)
		if !errors.Is(ctx.Err(), context.Canceled) {
			plain.AddressFailed(address, transport.Now(), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// datagram asks one address from a port that the kernel draws and with an id that nobody can guess, twice if need be.
func datagram(ctx context.Context, address netip.AddrPort, patience time.Duration, query []byte, end int) ([]byte, error) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(address)) // connected: only this address is heard
	if err != nil {
		return nil, err
	}
	defer socket.Close() // nothing is left to be said
	stop := context.AfterFunc(ctx, func() { socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	asked := append([]byte(nil), query...)
	rand.Read(asked[:2])
	until := time.Now().Add(patience)
	for _, wait := range []time.Time{until.Add(-patience / 2), until} {
		if _, err := socket.Write(asked); err != nil {
			return nil, err
		}
		if err := socket.SetReadDeadline(wait); err != nil {
			return nil, err
		}
		msg, err := await(socket, asked, end)
		if msg != nil {
			copy(msg, query[:2])
			return msg, nil
		}
		if err != nil {
			return nil, err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
	}
	return nil, errNoAnswer
}

// await reads until the answer to query has come: nil without an error if it did not in time.
func await(socket *net.UDPConn, query []byte, end int) ([]byte, error) {
	buf := make([]byte, datagramBytes)
	for {
		n, err := socket.Read(buf)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return nil, nil
		case err != nil:
			return nil, err // refused, by ICMP
		case n >= end && [2]byte(buf[:2]) == [2]byte(query[:2]) && transport.Answers(query, end, buf[:n]):
			return buf[:n], nil
		} // else late, or forged
	}
}
