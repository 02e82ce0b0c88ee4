package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// Name is what the server's certificate is for.
const Name = "upstream.demo.example"

// Server answers for the demo zone until Close.
type Server struct {
	roots *x509.CertPool
	zone  *zone

	dot     *dns.Server
	dotAddr netip.AddrPort
	doq     *quic.Listener
	doqAddr netip.AddrPort
	quic    *quic.Transport
	socket  net.PacketConn

	life    context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup // accept loops, QUIC connections and streams
}

// Start makes a certificate, binds both ports and serves. Everything is released again on an error.
func Start() (*Server, error) {
	z, err := newZone()
	if err != nil {
		return nil, err
	}
	certificate, roots, err := newCertificate(Name)
	if err != nil {
		return nil, err
	}
	s := &Server{roots: roots, zone: z}
	s.life, s.stop = context.WithCancel(context.Background())
	if err := s.startDoT(certificate); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.startDoQ(certificate); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// DoT is where the server answers over TLS.
func (s *Server) DoT() netip.AddrPort { return s.dotAddr }

// DoQ is where the server answers over QUIC.
func (s *Server) DoQ() netip.AddrPort { return s.doqAddr }

// Roots trusts the server's certificate, and nothing else.
func (s *Server) Roots() *x509.CertPool { return s.roots }

// Close stops serving, cuts all connections and waits until nothing is left running.
func (s *Server) Close() error {
	var err error
	if s.doq != nil {
		err = s.doq.Close() // before stop: connections that nobody has accepted yet are still handed out, and told
	}
	s.stop()
	err = errors.Join(err, s.dot.Shutdown())
	s.running.Wait()
	if s.quic != nil {
		err = errors.Join(err, s.quic.Close(), s.socket.Close())
	}
	return err
}

func (s *Server) startDoT(certificate tls.Certificate) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("embedded DoT: %w", err)
	}
	s.dotAddr = listener.Addr().(*net.TCPAddr).AddrPort()
	started := make(chan struct{})
	s.dot = &dns.Server{
		Listener:          tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS12}),
		Net:               "tcp-tls",
		Handler:           dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { s.serveDoT(w, query) }),
		MaxTCPQueries:     -1,
		ReadTimeout:       handshakeTimeout,
		IdleTimeout:       func() time.Duration { return idleTimeout },
		NotifyStartedFunc: func() { close(started) },
	}
	failed := make(chan error, 1)
	s.running.Go(func() { failed <- s.dot.ActivateAndServe() })
	select {
	case <-started:
		return nil
	case err := <-failed:
		return errors.Join(fmt.Errorf("embedded DoT: %w", err), listener.Close())
	}
}

// serveDoT ignores what WriteMsg returns: the connection is gone then, and its reader finds out.
func (s *Server) serveDoT(w dns.ResponseWriter, query *dns.Msg) {
	if reply := s.reply(query); reply != nil {
		_ = w.WriteMsg(reply)
	}
}

// reply returns nil for what must not be answered.
func (s *Server) reply(query *dns.Msg) *dns.Msg {
	if query.Response {
		return nil
	}
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Compress = true
	reply.RecursionAvailable = true
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, opt.Do())
	}
	switch {
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1:
		reply.Rcode = dns.RcodeFormatError
	case query.Question[0].Qclass != dns.ClassINET:
		reply.Rcode = dns.RcodeRefused
	default:
		s.zone.answer(reply)
	}
	return reply
}
