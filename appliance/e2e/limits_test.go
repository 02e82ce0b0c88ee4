package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// limitsTime is how long the light client is watched under a flood.
const limitsTime = 2 * time.Second

// What a flood of forged queries does to a light client, with and without cookies. The flood is one that the machine can well answer; only the limits
// hold it back.
func TestLimits(t *testing.T) {
	var others []netip.Addr
	for i := range 60 {
		others = append(others, netip.AddrFrom4([4]byte{127, byte(10 + i), byte(7 * i), 9}))
	}
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1")} // the light client's
	const flood = 6000                                    // queries a second, in all
	limits := []string{`admission.enabled = false`, `limits = {ipv4_32_rate = 300, ipv4_24_rate = 600, cookie_rate = 3000, slip = 0, cookie_required_over = true}`}
	for _, tt := range []struct {
		name    string
		sources []netip.Addr
		each    int // queries a second
		limits  []string
		cookie  bool // the light client has one
		suffers bool
	}{
		{"many sources", others, flood / len(others), limits, false, false},
		{"heavy sources", others[:2], flood / 2, limits, false, false},
		{"in its name, it has a cookie", own, flood, limits, true, false},
		{"in its name, it has none", own, flood, limits, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy := rig.StartProxy(t, proxyBinary, rig.Config{Upstreams: []rig.Upstream{{URL: "udp://" + rig.NewActor(t).Addr.String()}}, Settings: tt.limits}, nil)
			light := rig.StartSteady(t, proxy.Addr, lightRate, "before")
			if tt.cookie {
				light.Cookie(rig.Dig(t, proxy.Addr, "+cookie="+clientCookie, "a.bulk.example").Cookie)
			}
			before := proxy.Metrics(t)
			running := rig.StartFloodOf(t, proxy.Addr, new(dns.Msg).SetQuestion("flood.bulk.example.", dns.TypeA), tt.each, tt.sources...)
			time.Sleep(time.Second) // bursts are used up
			light.Phase("flood")
			time.Sleep(limitsTime)
			if tt.cookie || tt.suffers { // an ordinary client that is told BADCOOKIE asks again with what it was given
				if got := rig.Dig(t, proxy.Addr, "+cookie", "a.bulk.example"); got.Status != "NOERROR" || len(got.Records) == 0 {
					t.Errorf("dig +cookie under the flood:\n%s", got.Text)
				}
			}
			light.Phase("after")
			sent := running.Stop()
			tally := light.Stop(3 * time.Second)["flood"]
			delta := proxy.Metrics(t).Delta(before)
			held := delta.Sum(t, "sdp_limited_total")
			loss := float64(tally.Lost) / float64(tally.Sent)
			t.Logf("flood: %d sent, %.0f held back; light client: %d of %d lost (%.4f), slowest %v", sent, held, tally.Lost, tally.Sent, loss, tally.Slowest.Round(time.Millisecond))
			if tt.suffers && loss < 0.1 {
				t.Errorf("lost %.4f: the flood proves nothing", loss)
			}
			if !tt.suffers && loss >= 0.01 {
				t.Errorf("lost %.4f", loss)
			}
			if floodIsHeavy := tt.each > 300; (held > float64(sent)/2) != floodIsHeavy {
				t.Errorf("%.0f of %d were held back", held, sent)
			}
			if !tt.suffers && tt.each > 300 && !tt.cookie {
				rig.Eventually(t, 10*time.Second, "the log says who it is, once", func() bool {
					return len(proxy.LogLines("over its limit: queries", "127.10.0.9")) == 1
				})
			}
		})
	}
}

// A victim is not told the same without end, and a client that exists follows TC to TCP, where it has a quota of its own.
func TestResponseRateLimiting(t *testing.T) {
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + rig.NewActor(t).Addr.String()}},
		Settings:  []string{`limits = {action = "refuse", tcp_rate = 5, rrl = {answers = 5, nxdomains = 5, slip = 1, window = "5s"}}`},
	}, nil)
	rig.Dig(t, proxy.Addr, "a.bulk.example")
	before := proxy.Metrics(t)
	var names []*dns.Msg
	for i := range 100 {
		names = append(names, new(dns.Msg).SetQuestion("a.bulk.example.", dns.TypeA), new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.invalid.", i), dns.TypeA))
	}
	truncated := 0
	for _, query := range names {
		reply, err := dns.Exchange(query, proxy.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if reply.Truncated && len(reply.Answer) == 0 && reply.Rcode == dns.RcodeSuccess {
			truncated++
		}
	}
	var answers, nxdomains float64
	rig.Eventually(t, 10*time.Second, "the figures agree with what was seen", func() bool {
		delta := proxy.Metrics(t).Delta(before)
		answers = delta.Sum(t, "sdp_limited_total", `limit="answers"`, `outcome="truncated"`)
		nxdomains = delta.Sum(t, "sdp_limited_total", `limit="nxdomains"`, `outcome="truncated"`)
		return int(answers+nxdomains) == truncated
	})
	if answers < 50 || nxdomains < 50 {
		t.Errorf("of 100 answers %.0f were held back, of 100 names that do not exist %.0f; %d times TC was seen", answers, nxdomains, truncated)
	}
	if got := rig.Dig(t, proxy.Addr, "a.bulk.example"); got.Status != "NOERROR" || len(got.Records) != 1 {
		t.Errorf("dig, which follows TC:\n%s", got.Text)
	}
	conn, err := dns.Dial("tcp", proxy.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	refused := 0
	for range 50 {
		reply, _, err := new(dns.Client).ExchangeWithConn(names[0], conn)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Rcode == dns.RcodeRefused {
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("over TCP %d of 50 were refused", refused)
	}
}
