package e2e

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

func puppetProxy(t *testing.T, engine string, puppet *rig.Puppet, settings ...string) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{
		Backend: engine, Upstreams: []rig.Upstream{{URL: fmt.Sprintf("udp://%v", puppet.Addr)}}, Settings: settings,
	}, nil)
}

// asking asks in the background; the channel gets the reply, or nil.
func asking(proxy *rig.Proxy, name string) <-chan *dns.Msg {
	reply := make(chan *dns.Msg, 1)
	go func() {
		answer, err := rig.Ask(proxy.Addr, "udp", name, 20*time.Second)
		if err != nil {
			answer = nil
		}
		reply <- answer
	}()
	return reply
}

// Many clients that ask the same thing at the same time cost one exchange.
func TestCoalescing(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		puppet := rig.NewPuppet(t)
		proxy := puppetProxy(t, engine, puppet, `timeouts.query = "20s"`, `timeouts.upstream = "20s"`)
		before := proxy.Metrics(t)
		const clients = 50
		var replies []<-chan *dns.Msg
		for range clients {
			replies = append(replies, asking(proxy, "same.bulk.example"))
		}
		rig.Eventually(t, settleTimeout, "all queries counted", func() bool {
			return proxy.Metrics(t).Delta(before).Sum(t, metricQueries) == clients
		})
		puppet.AnswerAll()
		for i, reply := range replies {
			if got := <-reply; got == nil || got.Rcode != dns.RcodeSuccess {
				t.Errorf("client %d: got %v, want the answer", i, got)
			}
		}
		if got := len(puppet.Received()); got != 1 {
			t.Errorf("the upstream was asked %d times, want once", got)
		}
		if c := settled(t, proxy, before, clients); c.coalesced != clients-1 || c.misses != 1 {
			t.Errorf("got %d coalesced and %d misses, want %d and 1", c.coalesced, c.misses, clients-1)
		}
	})
}

// Answers that somebody made up are not taken (RFC 5452 §9.1): wrong id, question, address or port. The true one, later, is.
func TestForgedAnswers(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		puppet := rig.NewPuppet(t)
		proxy := puppetProxy(t, engine, puppet, `timeouts.query = "20s"`, `timeouts.upstream = "20s"`)
		reply := asking(proxy, "target.bulk.example")
		rig.Eventually(t, settleTimeout, "the query is at the upstream", puppet.Asked)
		received := puppet.Received()[0]

		wrongID := puppet.Forged(received)
		wrongID.Id ^= 0x5555
		wrongName := puppet.Forged(received)
		wrongName.Question[0].Name = "other.bulk.example."
		wrongType := puppet.Forged(received)
		wrongType.Question[0].Qtype = dns.TypeAAAA
		noQuestion := puppet.Forged(received)
		noQuestion.Question = nil
		query := puppet.Forged(received)
		query.Response = false
		for _, forged := range []*dns.Msg{wrongID, wrongName, wrongType, noQuestion, query} {
			puppet.Send(forged, received.From)
		}
		elsewhere, err := net.ListenUDP("udp", &net.UDPAddr{IP: rig.Loopback.AsSlice()})
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		puppet.SendFrom(elsewhere, puppet.Forged(received), received.From)

		puppet.Send(puppet.Good(received), received.From)
		got := <-reply
		if got == nil || len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != "192.0.2.9" {
			t.Errorf("got %v, want the upstream's own answer, 192.0.2.9", got)
		}
	})
}

// Ids and source ports towards a plain upstream must not be guessable (RFC 5452): many of both, in no order.
func TestExchangesAreHardToGuess(t *testing.T) {
	forEachEngine(t, func(t *testing.T, engine string) {
		puppet := rig.NewPuppet(t)
		proxy := puppetProxy(t, engine, puppet, `timeouts.query = "200ms"`, `timeouts.upstream = "200ms"`)
		rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 400), Rounds: 1, Timeout: 10}.Run(t)
		ports, ids, successive := map[uint16]bool{}, map[uint16]bool{}, 0
		var last uint16
		for _, r := range puppet.Received() {
			if r.Query.Id == last+1 {
				successive++
			}
			last = r.Query.Id
			ports[r.From.Port()], ids[r.Query.Id] = true, true
		}
		if len(ids) < 390 || len(ports) < 4 || successive > 5 {
			t.Errorf("got %d ids, %d ports, %d ids that follow the one before; want nearly 400, several, hardly any", len(ids), len(ports), successive)
		}
	})
}

// With one upstream dead every query is still answered, by the other one.
func TestRetryElsewhere(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		for _, dead := range []string{"udp", "tls", "quic"} {
			t.Run(dead+" dead", func(t *testing.T) {
				live := upstreamKinds[2].config(p)
				proxy := startProxy(t, engine, rig.Upstream{URL: fmt.Sprintf("%s://%v", dead, rig.FreeAddr(t))}, live)
				result := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 1000), Rounds: 1, Timeout: 10}.Run(t)
				checkLoad(t, result)
			})
		}
		t.Run("silent", func(t *testing.T) {
			puppet := rig.NewPuppet(t)
			proxy := startProxy(t, engine, rig.Upstream{URL: fmt.Sprintf("udp://%v", puppet.Addr)}, upstreamKinds[2].config(p))
			result := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 1000), Rounds: 1, Timeout: 10}.Run(t)
			checkLoad(t, result)
		})
	})
}

// round_robin shares the exchanges out, sequential gives all to the first that works.
func TestPolicy(t *testing.T) {
	p := startPeers(t)
	file := rig.BulkNames(t, 1000)
	for _, c := range []struct {
		policy    string
		low, high int // exchanges with the second upstream
	}{{"round_robin", 400, 600}, {"sequential", 0, 0}} {
		t.Run(c.policy, func(t *testing.T) {
			second := upstreamKinds[4].config(p)
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{
				Upstreams: []rig.Upstream{upstreamKinds[2].config(p), second}, Settings: []string{fmt.Sprintf("upstream_policy = %q", c.policy)},
			}, nil)
			before := proxy.Metrics(t)
			result := rig.Load{Server: proxy.Addr, NamesFile: file, Rounds: 1}.Run(t)
			checkLoad(t, result)
			settled(t, proxy, before, 1000)
			got := proxy.Metrics(t).Delta(before).Values(metricExchanges)[`upstream="`+second.URL+`"`]
			wantBetween(t, "exchanges with the second upstream", int(got), c.low, c.high)
		})
	}
}

// Names in upstream URLs are looked up in [hosts], or at a bootstrap server.
func TestUpstreamNames(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	for _, c := range []struct {
		name     string
		settings []string
	}{
		{"hosts", []string{fmt.Sprintf("hosts.%q = %q", rig.ServerName, "127.0.0.1")}},
		{"bootstrap", []string{fmt.Sprintf("bootstrap.servers = [%q]", p.unbound.Do53)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, scheme := range []string{"tls", "quic", "https"} {
				t.Run(scheme, func(t *testing.T) {
					port := map[string]uint16{"tls": p.unbound.TLS.Port(), "quic": p.dnsproxy.QUIC.Port(), "https": p.unbound.HTTPS.Port()}[scheme]
					url := fmt.Sprintf("%s://%s:%d", scheme, rig.ServerName, port)
					proxy := rig.StartProxy(t, proxyBinary, rig.Config{
						Upstreams: []rig.Upstream{{URL: url, CAFile: p.authority.CAFile}}, Settings: c.settings,
					}, nil)
					if got := rig.Dig(t, proxy.Addr, "www.zone.example"); got.Status != "NOERROR" {
						t.Errorf("got %s, want an answer", got.Status)
					}
				})
			}
		})
	}
}

// A connection that was idle and is opened again resumes its TLS session.
func TestTLSSessionIsResumed(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{upstreamKinds[2].config(p)}, Settings: []string{`timeouts.idle = "1s"`, "prewarm_pools = false"},
	}, nil)
	for i := range 3 {
		if got := rig.Dig(t, proxy.Addr, "resume"+itoa(i)+".bulk.example"); got.Status != "NOERROR" {
			t.Fatalf("got %s, want an answer", got.Status)
		}
		time.Sleep(2500 * time.Millisecond) // beyond timeouts.idle, so that the next query needs a new connection
	}
	if got := p.unbound.Resumed(); got == 0 {
		t.Errorf("unbound counts no resumed session in three connections")
	}
}

// Negative answers are kept for their SOA's time (RFC 2308), and the cache stays within its bytes.
func TestCache(t *testing.T) {
	p := startPeers(t)
	forEachEngine(t, func(t *testing.T, engine string) {
		proxy := rig.StartProxy(t, proxyBinary, rig.Config{
			Backend: engine, Upstreams: []rig.Upstream{plain("tcp", p)}, Settings: []string{`cache.bytes = "2MiB"`},
		}, nil)
		for _, arguments := range [][]string{{"nowhere.zone.example"}, {"www.zone.example", "TXT"}} {
			before := proxy.Metrics(t)
			first := rig.Dig(t, proxy.Addr, arguments...)
			time.Sleep(1100 * time.Millisecond)
			again := rig.Dig(t, proxy.Addr, arguments...)
			if again.Status != first.Status || again.AuthorityTTL() >= first.AuthorityTTL() {
				t.Errorf("%v: got %s with SOA TTL %d, want %s with less than %d", arguments, again.Status, again.AuthorityTTL(), first.Status, first.AuthorityTTL())
			}
			if c := settled(t, proxy, before, 2); c.hits != 1 || c.misses != 1 {
				t.Errorf("%v: got %d hits and %d misses, want 1 and 1", arguments, c.hits, c.misses)
			}
		}
		resident := proxy.RSS(t)
		result := rig.Load{Server: proxy.Addr, NamesFile: rig.BulkNames(t, 40_000), Rounds: 1}.Run(t)
		checkLoad(t, result)
		if used := proxy.Metrics(t).Sum(t, metricCacheBytes); used > 2<<20 {
			t.Errorf("the cache holds %.0f bytes, want at most 2 MiB", used)
		}
		if got := proxy.Metrics(t).Sum(t, metricEvictions); got == 0 {
			t.Errorf("no evictions after 40,000 names into 2 MiB")
		}
		if growth := proxy.RSS(t) - resident; growth > growthMax {
			t.Errorf("resident memory grew by %d MiB, want at most %d", growth>>20, growthMax>>20)
		}
	})
}
