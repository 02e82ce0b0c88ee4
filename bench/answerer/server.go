package answerer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// Addresses say where a Server listens. Do53 is both UDP and TCP.
type Addresses struct {
	Do53  netip.AddrPort `json:"do53"`
	TLS   netip.AddrPort `json:"tls"`
	QUIC  netip.AddrPort `json:"quic"`
	HTTPS netip.AddrPort `json:"https"`
}

// Counts are queries answered since the start.
type Counts struct {
	UDP   uint64 `json:"udp"`
	TCP   uint64 `json:"tcp"`
	TLS   uint64 `json:"tls"`
	QUIC  uint64 `json:"quic"`
	HTTPS uint64 `json:"https"`
}

// Total over all transports.
func (c Counts) Total() uint64 { return c.UDP + c.TCP + c.TLS + c.QUIC + c.HTTPS }

// Server answers until Close.
type Server struct {
	Addresses Addresses

	udp, tcp, tls, quic, https atomic.Uint64

	packets *net.UDPConn
	streams []net.Listener
	quics   *quic.Listener
	web     *http.Server
}

// Listen opens all sockets on 127.0.0.1, on ports of the kernel's choice, and serves them.
func Listen(certificate tls.Certificate) (*Server, error) {
	s := &Server{}
	if err := s.listen(certificate); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) listen(certificate tls.Certificate) error {
	secured := &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"dot"},
		// Small first records are for browsers; here they would be system calls.
		DynamicRecordSizingDisabled: true,
	}
	plain, err := s.listenTCP(&s.Addresses.Do53)
	if err != nil {
		return err
	}
	if s.packets, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.Addresses.Do53)); err != nil {
		return fmt.Errorf("listen for UDP: %w", err)
	}
	if err := enlarge(s.packets); err != nil {
		return err
	}
	dot, err := s.listenTCP(&s.Addresses.TLS)
	if err != nil {
		return err
	}
	doh, err := s.listenTCP(&s.Addresses.HTTPS)
	if err != nil {
		return err
	}
	if s.quics, err = listenQUIC(certificate); err != nil {
		return err
	}
	s.Addresses.QUIC = addrPort(s.quics.Addr())
	go s.servePackets()
	go s.serveStreams(plain, &s.tcp)
	go s.serveStreams(tls.NewListener(dot, secured), &s.tls)
	go s.serveQUIC(context.Background())
	s.serveHTTPS(doh, certificate)
	return nil
}

func (s *Server) listenTCP(at *netip.AddrPort) (net.Listener, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for TCP: %w", err)
	}
	s.streams = append(s.streams, l)
	*at = addrPort(l.Addr())
	return l, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		at = a.AddrPort()
	case *net.UDPAddr:
		at = a.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Counts are the queries answered so far. A batch is counted before its answers are sent: whoever has an answer finds its
// query counted.
func (s *Server) Counts() Counts {
	return Counts{UDP: s.udp.Load(), TCP: s.tcp.Load(), TLS: s.tls.Load(), QUIC: s.quic.Load(), HTTPS: s.https.Load()}
}

// Close closes the listeners. Open connections end with the process, or when their peer closes.
func (s *Server) Close() error {
	var errs []error
	if s.web != nil {
		errs = append(errs, s.web.Close())
	}
	for _, l := range s.streams {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.packets != nil {
		errs = append(errs, s.packets.Close())
	}
	if s.quics != nil {
		errs = append(errs, s.quics.Close())
	}
	return errors.Join(errs...)
}
