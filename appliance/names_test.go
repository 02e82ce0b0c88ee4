package appliance

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// located answers with the address that *where holds, over IPv4 only, with a TTL of 1 s.
func located(where *atomic.Value, asked *atomic.Int64) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		asked.Add(1)
		reply := new(dns.Msg).SetReply(query)
		if q := query.Question[0]; q.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Name + " 1 IN A " + where.Load().(string))
			reply.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNamesAreRefreshedThroughUpstreams: once the proxy serves, names are looked up through its upstreams, unless
// bootstrap.through_upstreams is off; and a new address is used.
func TestNamesAreRefreshedThroughUpstreams(t *testing.T) {
	for _, through := range []bool{true, false} {
		t.Run(fmt.Sprint(through), func(t *testing.T) {
			var inUpstream, inBootstrap atomic.Value
			var askedUpstream, askedBootstrap atomic.Int64
			inUpstream.Store("127.0.0.1")
			inBootstrap.Store("127.0.0.1")
			upstream, bootstrap := startDNS(t, located(&inUpstream, &askedUpstream)), startDNS(t, located(&inBootstrap, &askedBootstrap))
			p := start(t, fmt.Sprintf(head+"upstream = [\"udp://%s\", \"udp://moves.example:%d\"]\n"+
				"bootstrap = {servers = %q, through_upstreams = %v, min_ttl = \"1s\", refresh_threshold = \"0s\", jitter_percent = 0}\n",
				upstream, upstream.Port(), bootstrap, through))
			lookups := func(result string) int {
				return number(t, p.metric(t, fmt.Sprintf("sdp_name_lookups_total{result=%q}", result)))
			}
			if got := lookups("upstream"); got != 0 {
				t.Errorf("%d look-ups through upstreams before they served", got)
			}
			by, other := "upstream", "bootstrap"
			if !through {
				by, other = other, by
			}
			await(t, "refreshed", func() bool { return lookups(by) >= 2 })
			if got, want := lookups(other), map[bool]int{true: 1, false: 0}[through]; got != want { // the first one, at the start
				t.Errorf("%d look-ups by %s, want %d", got, other, want)
			}
			inUpstream.Store("127.0.0.2")
			inBootstrap.Store("127.0.0.3")
			want := map[bool]string{true: "addresses=[127.0.0.2]", false: "addresses=[127.0.0.3]"}[through]
			await(t, "the new address is known", func() bool { return p.book.count(want) == 1 })
			moved := p.roster.entries[1].endpoints[0].Addresses.Load()
			if len(moved) != 1 || !strings.Contains(want, moved[0].Addr().String()) {
				t.Errorf("the upstream's addresses are %v, want %s", moved, want)
			}
		})
	}
}

// TestReloadKeepsAddresses: an upstream whose settings change keeps the addresses of its name until it was looked up again, even if nobody
// can be asked.
func TestReloadKeepsAddresses(t *testing.T) {
	var where atomic.Value
	var asked atomic.Int64
	where.Store("127.0.0.1")
	upstream, bootstrap := startDNS(t, located(&where, &asked)), startDNS(t, located(&where, &asked))
	text := "upstream = \"udp://stays.example:%d\"\nbootstrap = {servers = %q, through_upstreams = false}\n"
	p := start(t, head+fmt.Sprintf(text, upstream.Port(), bootstrap))
	before := p.roster.entries[0].endpoints[0]
	writeConfig(t, p.file, head+fmt.Sprintf(text, upstream.Port(), "127.0.0.1:9")+"timeouts.dial = \"1s\"\n")
	p.reload()
	after := p.roster.entries[0].endpoints[0]
	if after == before || len(after.Addresses.Load()) != 1 {
		t.Errorf("a new endpoint: %v; its addresses: %v, want those from before", after != before, after.Addresses.Load())
	}
	if got := p.ask(t, "udp", "www.example.").Rcode; got != dns.RcodeSuccess {
		t.Errorf("got %s", dns.RcodeToString[got])
	}
}
