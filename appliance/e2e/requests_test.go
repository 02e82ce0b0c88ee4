package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// forwarding is [requests] before authoritative servers.
var forwarding = []string{
	`requests.notify = "forward"`, `requests.update = "pool:default"`, `requests.opcodes = "forward"`, `requests.transfers = "forward"`, `requests.signed = "forward"`,
}

// bulk is n records with a text of so many bytes.
func bulk(n, length int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "host%d TXT %q\n", i, strings.Repeat("x", length))
	}
	return b.String()
}

// outcomes are how requests of a kind have ended.
func outcomes(t *testing.T, proxy *rig.Proxy, kind, result string) int {
	return int(proxy.Metrics(t).Sum(t, "sdp_requests_total", fmt.Sprintf("kind=%q", kind), fmt.Sprintf("result=%q", result)))
}

// TestRequestsForwarded: real nsupdate and dig talk through the proxy with a real named, over each transport that it has, with and without TSIG, as if it were not there.
func TestRequestsForwarded(t *testing.T) {
	authority := rig.NewAuthority(t)
	nsd := rig.NewNSD(t, map[string]string{"second.test": policyText(1, "")}, rig.TSIG{}, netip.AddrPort{})
	bind := rig.NewBIND(t, authority.Issue(rig.Leaf{}), bulk(3000, 100), nsd.Addr)
	none := rig.TSIG{}
	serial := 1
	for _, upstream := range []rig.Upstream{
		{URL: "udp://" + bind.Do53.String()},
		{URL: "tls://" + bind.TLS.String(), TLSName: rig.ServerName, CAFile: authority.CAFile},
		{URL: "https://" + bind.HTTPS.String() + "/dns-query", TLSName: rig.ServerName, CAFile: authority.CAFile},
	} {
		scheme, _, _ := strings.Cut(upstream.URL, ":")
		t.Run(scheme, func(t *testing.T) {
			settings, transfers := forwarding, scheme != "https"
			if !transfers {
				settings = append([]string{`requests.transfers = "refused"`}, without(forwarding, "requests.transfers")...)
			}
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{upstream}, Settings: settings}, nil)

			// UPDATE, RFC 2136: over UDP and TCP, signed and not, and one of many records.
			for zone, key := range map[string]rig.TSIG{"keyed.test": bind.Key, "open.test": none} {
				for _, tcp := range []bool{false, true} {
					name := fmt.Sprintf("%s-%v.%s.", scheme, tcp, zone)
					if err := rig.Nsupdate(t, proxy.Addr, key, tcp, "zone "+zone, "update add "+name+" 60 A 192.0.2.7"); err != nil {
						t.Errorf("update of %s: %v", name, err)
					}
					if got := rig.Dig(t, bind.Do53, name, "A").Records; len(got) != 1 {
						t.Errorf("%s is %q", name, got)
					}
				}
			}
			count := 400
			if scheme == "https" {
				count = 100 // named closes connections that POST 50 kB
			}
			var many []string
			for i := range count {
				many = append(many, fmt.Sprintf("update add many%d-%s.keyed.test. 60 TXT %q", i, scheme, strings.Repeat("y", 100)))
			}
			if err := rig.Nsupdate(t, proxy.Addr, bind.Key, true, append([]string{"zone keyed.test"}, many...)...); err != nil {
				t.Error(err)
			}
			if got := rig.Dig(t, bind.Do53, fmt.Sprintf("many%d-", count-1)+scheme+".keyed.test.", "TXT").Records; len(got) != 1 {
				t.Errorf("the last of many is %q", got)
			}
			// What the server refuses is refused through the proxy too.
			if err := rig.Nsupdate(t, proxy.Addr, none, false, "zone keyed.test", "update add evil.keyed.test. 60 A 192.0.2.7"); err == nil || !strings.Contains(err.Error(), "REFUSED") {
				t.Errorf("unsigned: %v", err)
			}
			wrong := rig.TSIG{Name: bind.Key.Name, Secret: "YW5vdGhlcg=="}
			if err := rig.Nsupdate(t, proxy.Addr, wrong, false, "zone keyed.test", "update add evil.keyed.test. 60 A 192.0.2.7"); err == nil || !strings.Contains(err.Error(), "BADSIG") {
				t.Errorf("with another key: %v", err)
			}

			// A signed query, as a secondary asks for the SOA: dig checks the signature of the answer.
			got := rig.Dig(t, proxy.Addr, "-y", "hmac-sha256:"+bind.Key.Name+":"+bind.Key.Secret, "keyed.test.", "SOA")
			if got.Status != "NOERROR" || !strings.Contains(got.Text, "ns.keyed.test. hostmaster") || !strings.Contains(got.Text, "TSIG") || strings.Contains(got.Text, "verify") {
				t.Errorf("signed SOA:\n%s", got.Text)
			}

			// NOTIFY, RFC 1996: the secondary fetches what is new.
			serial++
			nsd.Change("second.test", policyText(serial, ""))
			has := func(server netip.AddrPort) func() bool {
				return func() bool {
					soa := rig.Dig(t, server, "second.test.", "SOA").Records
					return len(soa) == 1 && strings.Fields(soa[0])[6] == fmt.Sprint(serial)
				}
			}
			rig.Eventually(t, 20*time.Second, "the primary has the new zone", has(nsd.Addr))
			m := new(dns.Msg).SetNotify("second.test.")
			r, _, err := (&dns.Client{Timeout: 20 * time.Second}).Exchange(m, proxy.Addr.String())
			if err != nil || r.Rcode != dns.RcodeSuccess || r.Opcode != dns.OpcodeNotify || r.Id != m.Id {
				t.Errorf("NOTIFY: %v, %v", r, err)
			}
			rig.Eventually(t, 20*time.Second, "the secondary has the new zone", has(bind.Do53))

			// Transfers, RFC 5936 and RFC 1995.
			if !transfers {
				if got := rig.Transfer(t, proxy.Addr, none, "open.test.", "AXFR"); !strings.Contains(got, "failed") {
					t.Errorf("refused:\n%s", got)
				}
				return
			}
			for zone, key := range map[string]rig.TSIG{"keyed.test": bind.Key, "open.test": none} {
				for _, kind := range []string{"AXFR", "IXFR=1", "IXFR=4000"} {
					straight, through := rig.Transfer(t, bind.Do53, key, zone, kind), rig.Transfer(t, proxy.Addr, key, zone, kind)
					if straight != through || strings.Contains(through, "failed") || strings.Contains(through, "verify") || kind == "AXFR" && strings.Count(through, "\n") < 3000 {
						t.Errorf("%s of %s: %d bytes straight, %d through the proxy", kind, zone, len(straight), len(through))
					}
				}
			}
			if got := rig.Transfer(t, proxy.Addr, none, "keyed.test.", "AXFR"); !strings.Contains(got, "failed") {
				t.Errorf("unsigned:\n%s", got)
			}
			rig.Eventually(t, 20*time.Second, "seven transfers and seven updates are counted", func() bool {
				return outcomes(t, proxy, "transfer", "relayed") == 7 && outcomes(t, proxy, "update", "relayed") == 7
			})
		})
	}
}

// without leaves out the settings of a key.
func without(settings []string, key string) (rest []string) {
	for _, s := range settings {
		if !strings.HasPrefix(s, key) {
			rest = append(rest, s)
		}
	}
	return rest
}

// TestRequestsHostile: garbage, clients that do not read and an upstream that dies in the middle leave nothing behind.
func TestRequestsHostile(t *testing.T) {
	bind := rig.NewBIND(t, rig.NewAuthority(t).Issue(rig.Leaf{}), bulk(30_000, 250), netip.AddrPort{})
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + bind.Do53.String()}},
		Settings:  append([]string{`timeouts.query = "4s"`, `local.nonexistent = []`}, forwarding...),
	}, nil)
	idle := func() bool { return proxy.Metrics(t).Sum(t, "sdp_requests_in_flight") == 0 }
	rig.Dig(t, proxy.Addr, "ns.open.test.", "A")
	goroutines, descriptors := proxy.Goroutines(t), proxy.Descriptors(t)

	// Garbage behind the header of an UPDATE, of a NOTIFY, of opcodes that are none.
	random := rand.New(rand.NewPCG(1, 2))
	socket, err := net.Dial("udp", proxy.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	const garbage = 300
	for i := range garbage {
		msg := make([]byte, 12+random.IntN(400))
		for j := range msg {
			msg[j] = byte(random.IntN(256))
		}
		msg[2] = byte(1+i%15) << 3
		if i%3 == 0 {
			msg[2], msg[4], msg[5] = 5<<3, 0, 1
		}
		if _, err := socket.Write(msg); err != nil {
			t.Fatal(err)
		}
	}
	rig.Eventually(t, 30*time.Second, "all garbage has been dealt with", func() bool {
		return proxy.Metrics(t).Sum(t, "sdp_requests_total") == garbage && idle()
	})

	// Transfers whose clients do not read, then an upstream that dies: those that read learn of it.
	transfer := func() net.Conn {
		conn, err := net.Dial("tcp", proxy.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conn.(*net.TCPConn).SetReadBuffer(64 << 10) // all buffers on the way together are smaller than the zone
		query, err := new(dns.Msg).SetAxfr("open.test.").Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(append([]byte{0, byte(len(query))}, query...)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	var clients []net.Conn
	for range 10 {
		conn := transfer()
		defer conn.Close()
		clients = append(clients, conn)
	}
	rig.Eventually(t, 20*time.Second, "the transfers have begun", func() bool {
		m := proxy.Metrics(t)
		return m.Sum(t, "sdp_requests_in_flight") == 10 && m.Sum(t, "sdp_transfer_messages_total") >= 10
	})
	if got := rig.Dig(t, proxy.Addr, "host7.open.test.", "TXT"); got.Status != "NOERROR" {
		t.Errorf("beside them: %s", got.Text)
	}
	for _, conn := range clients[:5] {
		conn.Close()
	}
	rig.Eventually(t, 20*time.Second, "those that have gone are forgotten", func() bool { return outcomes(t, proxy, "transfer", "left") == 5 })
	bind.Kill()
	for _, conn := range clients[5:] {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		failed := false
		for stream := (&dns.Conn{Conn: conn}); !failed; {
			raw, err := stream.ReadMsgHeader(nil)
			if err != nil {
				t.Errorf("no word of the failure: %v", err)
				break
			}
			failed = raw[3]&0xF == dns.RcodeServerFailure
		}
	}
	rig.Eventually(t, 20*time.Second, "five transfers have failed", func() bool { return outcomes(t, proxy, "transfer", "failed") == 5 })
	update := new(dns.Msg).SetUpdate("open.test.")
	update.Insert([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: "a.open.test.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"a"}}})
	update.SetEdns0(1232, false)
	r, _, err := (&dns.Client{Timeout: 20 * time.Second}).Exchange(update, proxy.Addr.String())
	if err != nil || r.Rcode != dns.RcodeServerFailure || r.IsEdns0() == nil || len(r.IsEdns0().Option) != 1 {
		t.Errorf("an update while nobody is there: %v, %v", r, err)
	}
	for _, conn := range clients[5:] {
		conn.Close()
	}
	rig.Eventually(t, 30*time.Second, "nothing is left", func() bool {
		return idle() && proxy.Goroutines(t) <= goroutines+2 && proxy.Descriptors(t) <= descriptors+2
	})
}
