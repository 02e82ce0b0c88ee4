package bootstrap

import (
	"crypto/tls"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// startServer answers over UDP and TCP on one loopback port.
func startServer(t *testing.T, handler dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	listener, packets := listenBoth(t)
	for _, server := range []*dns.Server{{Listener: listener, Handler: handler}, {PacketConn: packets, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// listenBoth finds a port that is free for TCP and for UDP.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 50 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err == nil {
			return listener, packets
		}
		listener.Close()
	}
	t.Fatal("no port that is free for both")
	return nil, nil
}

func records(t *testing.T, lines ...string) []dns.RR {
	t.Helper()
	var out []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rr)
	}
	return out
}

// answering gives every query the records of its type, and CNAMEs.
func answering(t *testing.T, lines ...string) dns.HandlerFunc {
	set := records(t, lines...)
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		for _, rr := range set {
			if tt := rr.Header().Rrtype; tt == query.Question[0].Qtype || tt == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		_ = w.WriteMsg(reply)
	}
}

func refusing(rcode int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(query, rcode)) }
}

// silent is an address that takes queries and never answers.
func silent(t *testing.T) netip.AddrPort {
	return startServer(t, func(dns.ResponseWriter, *dns.Msg) {})
}

// endpoints makes plain servers of addresses.
func endpoints(addrs ...netip.AddrPort) []*transport.Endpoint {
	var out []*transport.Endpoint
	for _, a := range addrs {
		e := lanetest.Endpoint(transport.UDP, a, nil, nil)
		e.Name = "udp://" + a.String()
		out = append(out, e)
	}
	return out
}

func TestLookup(t *testing.T) {
	both := answering(t, "dns.example. 100 IN A 192.0.2.1", "dns.example. 60 IN AAAA 2001:db8::1")
	truncating := func(w dns.ResponseWriter, query *dns.Msg) {
		if w.RemoteAddr().Network() == "udp" {
			reply := new(dns.Msg).SetReply(query)
			reply.Truncated = true
			_ = w.WriteMsg(reply)
			return
		}
		both(w, query)
	}
	elsewhere := func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		reply.Question[0].Name = "other.example."
		reply.Answer = records(t, "other.example. 100 IN A 192.0.2.66")
		_ = w.WriteMsg(reply)
	}
	tests := []struct {
		name    string
		servers []netip.AddrPort
		want    []string
		ttl     time.Duration
		problem string
	}{
		{"both families", []netip.AddrPort{startServer(t, both)}, []string{"192.0.2.1", "2001:db8::1"}, time.Minute, ""},
		{"one family", []netip.AddrPort{startServer(t, answering(t, "dns.example. 100 IN A 192.0.2.1"))}, []string{"192.0.2.1"}, 100 * time.Second, ""},
		{"letter case", []netip.AddrPort{startServer(t, answering(t, "DNS.Example. 100 IN A 192.0.2.1"))}, []string{"192.0.2.1"}, 100 * time.Second, ""},
		{"alias", []netip.AddrPort{startServer(t, answering(t, "dns.example. 30 IN CNAME a.example.", "a.example. 20 IN CNAME b.example.", "b.example. 100 IN A 192.0.2.1"))}, []string{"192.0.2.1"}, 20 * time.Second, ""},
		{"truncated", []netip.AddrPort{startServer(t, truncating)}, []string{"192.0.2.1", "2001:db8::1"}, time.Minute, ""},
		{"second server", []netip.AddrPort{startServer(t, refusing(dns.RcodeServerFailure)), startServer(t, both)}, []string{"192.0.2.1", "2001:db8::1"}, time.Minute, ""},
		{"first server silent", []netip.AddrPort{silent(t), startServer(t, both)}, []string{"192.0.2.1", "2001:db8::1"}, time.Minute, ""},
		{"long TTL", []netip.AddrPort{startServer(t, answering(t, "dns.example. 4000000 IN A 192.0.2.1"))}, []string{"192.0.2.1"}, ttlMax, ""},
		{"records of another name", []netip.AddrPort{startServer(t, answering(t, "other.example. 100 IN A 192.0.2.66"))}, nil, 0, "it exists, but has no address"},
		{"answer to another question", []netip.AddrPort{startServer(t, elsewhere)}, nil, 0, "no answer"},
		{"blocked", []netip.AddrPort{startServer(t, answering(t, "dns.example. 100 IN A 0.0.0.0", "dns.example. 100 IN AAAA ::", "dns.example. 100 IN AAAA ::ffff:0.0.0.0", "dns.example. 100 IN AAAA ff02::1"))}, nil, 0, "it exists, but has no address"},
		{"no such name", []netip.AddrPort{startServer(t, refusing(dns.RcodeNameError))}, nil, 0, "no such name"},
		{"refused", []netip.AddrPort{startServer(t, refusing(dns.RcodeRefused))}, nil, 0, "answered REFUSED"},
		{"alias to itself", []netip.AddrPort{startServer(t, answering(t, "dns.example. 30 IN CNAME dns.example."))}, nil, 0, "it exists, but has no address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Lookup(t.Context(), Config{Servers: endpoints(tt.servers...), Timeout: 500 * time.Millisecond}, "dns.example")
			addrs, ttl := found.Addrs, found.TTL
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("got %v, %v, want an error with %q", addrs, err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range addrs {
				got = append(got, a.String())
			}
			if !reflect.DeepEqual(got, tt.want) || ttl != tt.ttl || found.Upstream || found.Fallback != nil {
				t.Errorf("got %v for %v, want %v for %v", got, ttl, tt.want, tt.ttl)
			}
		})
	}
}

// TestThroughUpstreams: who is asked in which order, and what is said of it.
func TestThroughUpstreams(t *testing.T) {
	here := startServer(t, answering(t, "dns.example. 100 IN A 192.0.2.1"))
	there := startServer(t, answering(t, "dns.example. 100 IN A 192.0.2.2"))
	refuses, unknown := startServer(t, refusing(dns.RcodeRefused)), startServer(t, refusing(dns.RcodeNameError))
	nowhere := endpoints(here)
	nowhere[0].Addresses.Store(nil)
	tests := []struct {
		name      string
		upstreams []*transport.Endpoint
		servers   []*transport.Endpoint
		want      string
		upstream  bool
		fallback  string
		problem   string
	}{
		{"an upstream knows", endpoints(here), endpoints(there), "192.0.2.1", true, "", ""},
		{"the second one does", endpoints(refuses, here), endpoints(there), "192.0.2.1", true, "", ""},
		{"it says that there is no such name", endpoints(unknown), endpoints(there), "192.0.2.2", false, "no such name", ""},
		{"nor does another one that is asked", endpoints(unknown, here), endpoints(there), "192.0.2.1", true, "", ""},
		{"none is up", nil, endpoints(there), "192.0.2.2", false, "", ""},
		{"its own name is not resolved yet", nowhere, endpoints(there), "192.0.2.2", false, "", ""},
		{"one after the other, but not without end", endpoints(refuses, refuses, refuses, here), endpoints(there), "192.0.2.2", false, "REFUSED", ""},
		{"nobody knows", endpoints(refuses), endpoints(unknown), "", false, "", "no such name"},
		{"no server", endpoints(refuses), nil, "", false, "", "REFUSED"},
		{"nobody at all", nil, nil, "", false, "", "nobody to ask"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Servers: tt.servers, Timeout: 5 * time.Second, Upstreams: func() []*transport.Endpoint { return tt.upstreams }}
			found, err := Lookup(t.Context(), cfg, "dns.example")
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, %v, want an error with %q", found, err, tt.problem)
				}
				return
			}
			if err != nil || len(found.Addrs) != 1 || found.Addrs[0].String() != tt.want || found.Upstream != tt.upstream {
				t.Errorf("got %v, %v, want %s, from an upstream: %v", found, err, tt.want, tt.upstream)
			}
			if (found.Fallback != nil) != (tt.fallback != "") || found.Fallback != nil && !strings.Contains(found.Fallback.Error(), tt.fallback) {
				t.Errorf("the reason for asking a bootstrap server is %v, want %q", found.Fallback, tt.fallback)
			}
		})
	}
}

// TestEncryptedServer: a bootstrap server may be one that speaks TLS.
func TestEncryptedServer(t *testing.T) {
	authority := lanetest.NewAuthority(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", authority.Server(lanetest.ServerName, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: answering(t, "dns.example. 100 IN A 192.0.2.1")}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	e := lanetest.Endpoint(transport.TLS, listener.Addr().(*net.TCPAddr).AddrPort(), authority.Client(lanetest.ServerName), nil)
	cfg := Config{Servers: []*transport.Endpoint{e}, Timeout: 10 * time.Second}
	if found, err := Lookup(t.Context(), cfg, "dns.example"); err != nil || len(found.Addrs) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
	e.TLS = authority.Client("other.example")
	if found, err := Lookup(t.Context(), cfg, "dns.example"); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("with a certificate for another name: got %v, %v", found, err)
	}
}
