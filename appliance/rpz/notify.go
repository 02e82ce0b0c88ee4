package rpz

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
)

// notifier receives NOTIFYs (RFC 1996) over UDP and TCP. What is none is not answered.
type notifier struct {
	servers []*dns.Server
	serving sync.WaitGroup
	address netip.AddrPort
	refused atomic.Uint64 // NOTIFYs of strangers, about other zones, or without the key's signature
}

// listenNotify binds both sockets; nothing is answered before serve.
func listenNotify(at netip.AddrPort) (*notifier, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	bound := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(bound))
	if err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	return &notifier{address: bound, servers: []*dns.Server{{PacketConn: udp}, {Listener: netutil.LimitListener(tcp, notifyConnsMax)}}}, nil
}

// serve answers until close. entry finds a zone by its name.
func (n *notifier) serve(entry func(name string) *entry, keys func(name string) *Key) {
	for _, s := range n.servers {
		s.MsgAcceptFunc = func(h dns.Header) dns.MsgAcceptAction {
			if h.Bits>>11&0x1F != dns.OpcodeNotify || h.Qdcount != 1 { // a response has bit 4 set
				return dns.MsgIgnore
			}
			return dns.MsgAccept
		}
		s.TsigProvider = keyring(keys)
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { n.answer(w, m, entry(dns.CanonicalName(m.Question[0].Name))) })
		s.ReadTimeout, s.WriteTimeout = notifyTimeout, notifyTimeout
		s.IdleTimeout = func() time.Duration { return notifyTimeout }
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		n.serving.Go(func() { _ = s.ActivateAndServe() }) // ends with close, or with the socket's end, and there is nothing to be done
		<-started
	}
}

// answer acts on one NOTIFY; e is the zone's, nil if there is none.
func (n *notifier) answer(w dns.ResponseWriter, m *dns.Msg, e *entry) {
	reply := new(dns.Msg).SetReply(m)
	reply.Authoritative = true
	t := m.IsTsig()
	signed := t != nil && w.TsigStatus() == nil
	if e == nil || !e.mayNotify(addressOf(w.RemoteAddr()), signed, t) {
		n.refused.Add(1)
		reply.Rcode = dns.RcodeRefused
		if t != nil && !signed {
			reply.Rcode = dns.RcodeNotAuth
		}
	} else {
		e.counters.Notified.Add(1)
		e.askSoon()
	}
	if signed {
		reply.SetTsig(t.Hdr.Name, t.Algorithm, 300, time.Now().Unix())
	}
	_ = w.WriteMsg(reply) // the sender asks again if it is lost
}

func addressOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// mayNotify reports whether a NOTIFY is one of a primary: from its address, and signed if there is a key.
func (e *entry) mayNotify(from netip.Addr, signed bool, t *dns.TSIG) bool {
	if e.spec.Key.Name != "" && (!signed || dns.CanonicalName(t.Hdr.Name) != e.spec.Key.Name) {
		return false
	}
	return slices.ContainsFunc(e.spec.Primaries, func(p netip.AddrPort) bool { return p.Addr().Unmap() == from })
}

func (n *notifier) close() error {
	var errs []error
	for _, s := range n.servers {
		if s.Handler == nil { // never served
			if s.PacketConn != nil {
				errs = append(errs, s.PacketConn.Close())
			} else {
				errs = append(errs, s.Listener.Close())
			}
			continue
		}
		errs = append(errs, s.Shutdown())
	}
	n.serving.Wait()
	return errors.Join(errs...)
}

// keyring is a dns.TsigProvider that finds keys by name.
type keyring func(name string) *Key

func (k keyring) mac(msg []byte, t *dns.TSIG) ([]byte, error) {
	key := k(dns.CanonicalName(t.Hdr.Name))
	if key == nil {
		return nil, fmt.Errorf("key %s is not known", t.Hdr.Name)
	}
	return (&signer{key: *key}).mac(msg, t)
}

// Generate is dns.TsigProvider's.
func (k keyring) Generate(msg []byte, t *dns.TSIG) ([]byte, error) { return k.mac(msg, t) }

// Verify is dns.TsigProvider's.
func (k keyring) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.mac(msg, t)
	if err != nil {
		return err
	}
	return sameMAC(t.MAC, want)
}
