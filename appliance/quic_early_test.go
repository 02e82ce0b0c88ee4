//go:build !race

package appliance

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"
)

// With 0-RTT the race detector finds a race in quic-go (0.65, issue 4303; see transport/doq), now and then: not with it.
func TestQUICEarlyDataKeys(t *testing.T) {
	for _, test := range []struct {
		all, own string
		want     bool
	}{{"", "", false}, {"early_data = true", "", true}, {"early_data = true", "quic_early_data = false", false}} {
		s := startQUIC(t)
		p := askQUIC(t, s, test.all, test.own)
		<-s.seen()[0].Context().Done() // idle for a second
		if reply := p.ask(t, "udp", "again.example."); reply.Rcode != dns.RcodeSuccess {
			t.Fatal(reply)
		}
		if got := s.seen()[1].ConnectionState().Used0RTT; got != test.want {
			t.Errorf("%q, %q: 0-RTT %t, want %t", test.all, test.own, got, test.want)
		}
		want := map[bool]string{true: "1", false: "0"}[test.want]
		series := fmt.Sprintf("sdp_upstream_quic_early_data_total{upstream=%q,result=%q}", s.url, "accepted")
		await(t, series+" "+want, func() bool { return p.metric(t, series) == want })
	}
}
