package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// An upstream that forwards to us through a real resolver is found by the question that comes back, kept out of use, and comes into use
// again when it forwards to somebody else. Meanwhile the other upstream answers.
func TestForwardingLoop(t *testing.T) {
	actor := rig.NewActor(t)
	listen := rig.FreeAddr(t)
	forwarder := rig.NewForwarder(t, listen)
	loops, good := "udp://"+forwarder.Addr.String(), "udp://"+actor.Addr.String()
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Listen:    []netip.AddrPort{listen},
		Upstreams: []rig.Upstream{{URL: loops}, {URL: good}},
		Settings:  []string{`requests.loop_interval = "1s"`, `upstream_policy = "sequential"`},
	}, nil)
	barred := fmt.Sprintf(`sdp_upstream_state{upstream=%q,state="forced_down"}`, loops)
	rig.Eventually(t, time.Minute, "the loop is found", func() bool { return proxy.Metrics(t)[barred] == 1 })
	rig.Eventually(t, settleTimeout, "what came back is counted", func() bool { return proxy.Metrics(t).Sum(t, "sdp_loop_queries_total") >= 1 })
	before := actor.Queries()
	if got := rig.Dig(t, proxy.Addr, "a.bulk.example"); got.Status != "NOERROR" || actor.Queries() == before {
		t.Errorf("got %s from the other upstream, which was asked %d times", got.Status, actor.Queries()-before)
	}
	rig.Eventually(t, time.Minute, "one line in the log", func() bool {
		return len(proxy.LogLines("forced_down", "upstream="+loops, "comes back to this proxy")) == 1
	})
	forwarder.Forward(actor.Addr)
	rig.Eventually(t, time.Minute, "the loop is gone", func() bool { return proxy.Metrics(t)[barred] == 0 })
	rig.Eventually(t, time.Minute, "one line in the log", func() bool { return len(proxy.LogLines("upstream="+loops, "is gone")) == 1 })
	asked := func() float64 {
		return proxy.Metrics(t)[fmt.Sprintf("sdp_upstream_exchanges_total{upstream=%q}", loops)]
	}
	first := asked()
	if got := rig.Dig(t, proxy.Addr, "b.bulk.example"); got.Status != "NOERROR" || asked() == first {
		t.Errorf("got %s, from the other upstream", got.Status)
	}
}
