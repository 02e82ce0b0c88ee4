package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Replies fit what the client said it takes, and TC sends it to TCP for the rest.
func TestTruncation(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, kind := range []upstreamKind{upstreamKinds[0], upstreamKinds[2]} {
			t.Run(kind.name, func(t *testing.T) {
				proxy := startProxy(t, engine, kind.config(p))
				for _, size := range []string{"+noedns", "+bufsize=512", "+bufsize=1232", "+bufsize=4096"} {
					got := rig.Dig(t, proxy.Addr, "+ignore", size, "big.zone.example", "TXT")
					if !got.HasFlag("tc") || len(got.Records) == 12 {
						t.Errorf("%s: got flags %v and %d records, want tc and not all 12", size, got.Flags, len(got.Records))
					}
				}
				// Without +ignore dig does what a resolver does: it asks again over TCP.
				if got := rig.Dig(t, proxy.Addr, "big.zone.example", "TXT"); got.HasFlag("tc") || len(got.Records) != 12 {
					t.Errorf("then over TCP: got flags %v and %d records, want all 12", got.Flags, len(got.Records))
				}
			})
		}
		t.Run("payload_max 4096", func(t *testing.T) {
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Backend: engine, Upstreams: []rig.Upstream{plain("udp", p)}, Settings: []string{"udp.payload_max = 4096"},
			}, nil)
			if got := rig.Dig(t, proxy.Addr, "+ignore", "+bufsize=4096", "big.zone.example", "TXT"); got.HasFlag("tc") || len(got.Records) != 12 {
				t.Errorf("got flags %v and %d records, want all 12 in one datagram", got.Flags, len(got.Records))
			}
		})
	})
}

func TestEDNS(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := startProxy(t, engine, plain("udp", p))
		for _, round := range []string{"from upstream", "from the cache"} {
			if got := rig.Dig(t, proxy.Addr, "+noedns", "www.zone.example"); got.EDNS {
				t.Errorf("%s: a query without EDNS got an OPT record", round)
			}
			if got := rig.Dig(t, proxy.Addr, "+edns=0", "www.zone.example"); !got.EDNS || got.UDPSize != 1232 {
				t.Errorf("%s: got EDNS %v with size %d, want the proxy's own 1232", round, got.EDNS, got.UDPSize)
			}
			if got := rig.Dig(t, proxy.Addr, "+dnssec", "www.zone.example"); !strings.Contains(got.Text, "flags: do;") {
				t.Errorf("%s: the DO bit was not echoed:\n%s", round, got.Text)
			}
			// RFC 6891 §6.1.3: a version that we do not have.
			if got := rig.Dig(t, proxy.Addr, "+edns=1", "+noednsnegotiation", "www.zone.example"); got.Status != "BADVERS" {
				t.Errorf("%s: EDNS version 1 got %s, want BADVERS", round, got.Status)
			}
			// An option that nobody knows is ignored.
			if got := rig.Dig(t, proxy.Addr, "+ednsopt=65001:abcd", "www.zone.example"); got.Status != "NOERROR" {
				t.Errorf("%s: an unknown option got %s, want NOERROR", round, got.Status)
			}
		}
	})
}

// The question comes back in the client's own letters (draft-vixie-dnsext-dns0x20), whoever filled the cache.
func TestQuestionCase(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := startProxy(t, engine, plain("tcp", p))
		for _, name := range []string{"wWw.ZoNe.eXaMpLe", "WWW.ZONE.EXAMPLE", "www.zone.example", "Www.zonE.example"} {
			got := rig.Dig(t, proxy.Addr, name)
			if want := name + ". IN A"; got.Question != want || got.Status != "NOERROR" {
				t.Errorf("got question %q, %s, want %q", got.Question, got.Status, want)
			}
		}
		wantFigure(t, proxy, 3, metricHits)
		wantFigure(t, proxy, 1, metricMisses)
	})
}

// On wildcard sockets the reply leaves from the address that was asked; dig takes it from no other.
func TestReplyAddress(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, c := range []struct {
			name   string
			listen []string
			asked  []string
		}{
			{"IPv4 and IPv6", []string{"0.0.0.0", "::"}, []string{"127.0.0.1", "127.0.0.5", "127.9.8.7", "::1"}},
			{"dual stack", []string{"::"}, []string{"127.0.0.1", "127.0.0.5", "::1"}},
			{"several bound", []string{"127.0.0.3", "127.0.0.4", "::1"}, []string{"127.0.0.3", "127.0.0.4", "::1"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				port := rig.FreePort(t)
				config := rig.Config{Backend: engine, Workers: 2, Upstreams: []rig.Upstream{plain("udp", p)}}
				for _, a := range c.listen {
					config.Listen = append(config.Listen, netip.AddrPortFrom(netip.MustParseAddr(a), port))
				}
				rig.StartProxy(t, proxyBinary, config, nil)
				for range 4 { // other source ports reach other workers
					for _, a := range c.asked {
						server := netip.AddrPortFrom(netip.MustParseAddr(a), port)
						for _, extra := range []string{"+notcp", "+tcp"} {
							if got := rig.Dig(t, server, extra, "www.zone.example"); got.Status != "NOERROR" || len(got.Records) != 1 {
								t.Errorf("asked at %v %s: got %s %v", server, extra, got.Status, got.Records)
							}
						}
					}
				}
			})
		}
	})
}

func TestPipelining(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := startProxy(t, engine, plain("udp", p))
		t.Run("kdig keepopen", func(t *testing.T) {
			arguments := []string{"+tcp", "+keepopen", "a.bulk.example", "b.bulk.example", "c.bulk.example", "a.bulk.example"}
			if got := strings.Count(rig.KdigText(t, proxy.Addr, arguments...), "status: NOERROR"); got != 4 {
				t.Errorf("got %d answers over one connection, want 4", got)
			}
		})
		// 200 queries, more than the default cap in flight, for any cut of the stream into segments.
		for _, segment := range []int{1 << 16, 1000, 7, 1} {
			t.Run("segments of "+itoa(segment), func(t *testing.T) {
				pipeline(t, proxy.Addr, 200, segment)
			})
		}
	})
}

// pipeline writes count queries cut into segments and wants each answered once, in any order.
func pipeline(t *testing.T, server netip.AddrPort, count, segment int) {
	t.Helper()
	connection, err := net.DialTimeout("tcp", server.String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(30 * time.Second))
	var stream []byte
	for id := range count {
		stream = append(stream, framed(t, uint16(id), "p"+itoa(id)+".bulk.example.")...)
	}
	go func() {
		for piece := range slices.Chunk(stream, segment) {
			if _, err := connection.Write(piece); err != nil {
				return // the reader below sees the end of the connection
			}
		}
	}()
	answered := make([]bool, count)
	for range count {
		reply := readFramed(t, connection)
		if int(reply.Id) >= count || answered[reply.Id] {
			t.Fatalf("reply with id %d: not asked, or twice", reply.Id)
		}
		answered[reply.Id] = true
		if want := "p" + itoa(int(reply.Id)) + ".bulk.example."; reply.Question[0].Name != want || reply.Rcode != dns.RcodeSuccess {
			t.Errorf("id %d: got %s %s, want %s NOERROR", reply.Id, reply.Question[0].Name, dns.RcodeToString[reply.Rcode], want)
		}
	}
}

// framed is an A query with its two bytes of length.
func framed(t *testing.T, id uint16, name string) []byte {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	query.Id = id
	wire, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
}

func readFramed(t *testing.T, connection net.Conn) *dns.Msg {
	t.Helper()
	var length [2]byte
	if _, err := io.ReadFull(connection, length[:]); err != nil {
		t.Fatalf("reply: %v", err)
	}
	wire := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(connection, wire); err != nil {
		t.Fatalf("reply: %v", err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(wire); err != nil {
		t.Fatalf("reply: %v", err)
	}
	return reply
}
