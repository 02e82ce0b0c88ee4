package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// bystander asks little, beside the flood's address.
var bystander = netip.MustParseAddr("127.0.3.1")

const (
	// floodQPS of names that are not cached; twice as many as a worker's table holds come up in the time that a query may wait.
	floodQPS = 10_000
	// floodSlots is what the in-flight table may hold: workers.in_flight.
	floodSlots = 16384
	// holeGrowthMax is what the process may grow by while nobody answers: the in-flight table's slots and waiters (10 MiB), lanes and sockets.
	holeGrowthMax = 96 << 20
)

// Every upstream falls silent at once, connections left open, while clients ask for new names as fast as the proxy takes them: memory and
// queries under way stay bounded, cached names are answered as before, and who asks little is well again as soon as the upstreams are, the flood
// as soon as they have shown that they can deal with it (worker/admission's TestReturnFromOutage, in virtual time). The outage lasts
// as long as E2E_SECONDS says, the issue's own figure is 60.
func TestAllUpstreamsBlackHoled(t *testing.T) {
	p := startPeers(t)
	proxy := startProxy(t, "", upstreamKinds[0].config(p), upstreamKinds[2].config(p), upstreamKinds[3].config(p))
	cached := rig.BulkNames(t, 500)
	rig.Load{Server: proxy.Addr, NamesFile: cached, Rounds: 1}.Run(t)

	hits := func(phase string) float64 {
		t.Helper()
		result := rig.Load{Server: proxy.Addr, NamesFile: cached, Seconds: max(2, loadSeconds/2), Outstanding: 50, Timeout: 10}.Run(t)
		if result.Lost != 0 || result.RCodes["NOERROR"] != result.Sent {
			t.Errorf("%s: of %d queries for cached names %d were lost, got %v", phase, result.Sent, result.Lost, result.RCodes)
		}
		return result.QPS
	}
	flood := func(prefix string, seconds int) func() rig.Result {
		return rig.Load{
			Server: proxy.Addr, NamesFile: newNames(t, prefix, floodQPS*(seconds+1)), Seconds: seconds, QPS: floodQPS,
			Outstanding: 60_000, Clients: 8, Timeout: 10,
		}.Start(t)
	}
	phase := max(2, loadSeconds/2) + 2
	wait := flood("well", phase)
	time.Sleep(500 * time.Millisecond)
	well := hits("all well")
	wait()

	before := proxy.RSS(t)
	p.unbound.Freeze()
	p.dnsproxy.Freeze()
	wait = flood("hole", loadSeconds+phase)
	time.Sleep(time.Duration(loadSeconds) * time.Second)
	hole := hits("nobody answers")
	most := proxy.Metrics(t).Sum(t, "sdp_in_flight")
	after := proxy.RSS(t)
	p.unbound.Thaw()
	p.dnsproxy.Thaw()
	back := time.Now()
	if !rig.Holds(recoveryMax, func() bool {
		reply, err := rig.AskFrom(bystander, proxy.Addr, freshName(), recoveryMax)
		return err == nil && reply.Rcode == dns.RcodeSuccess
	}) {
		t.Errorf("no answer for a client that asks little within %v of the upstreams' return", recoveryMax)
	}
	recovered := time.Since(back)
	result := wait()
	if result.Lost != 0 || result.RCodes["NOERROR"]+result.RCodes["SERVFAIL"] != result.Sent || result.RCodes["SERVFAIL"] == 0 {
		t.Errorf("sent %d, lost %d, got %v: want every query answered, most by SERVFAIL", result.Sent, result.Lost, result.RCodes)
	}
	if most > floodSlots {
		t.Errorf("%v queries under way, the table has %d places", most, floodSlots)
	}
	if after-before > holeGrowthMax {
		t.Errorf("grew from %d to %d MiB", before>>20, after>>20)
	}
	if hole < well/2 {
		t.Errorf("cached names: %.0f answers a second with the upstreams, %.0f without", well, hole)
	}
	t.Logf("nobody answered for %d s and more: cached names %.0f/s before, %.0f/s meanwhile; RSS %d to %d MiB; %v under way; %d new names: %v; back after %v",
		loadSeconds, well, hole, before>>20, after>>20, most, result.Sent, result.RCodes, recovered.Round(time.Millisecond))
}

// newNames writes a dnsperf file of names that nobody asked for before, all of them Unbound's.
func newNames(t *testing.T, prefix string, count int) string {
	t.Helper()
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "%s%d.bulk.example A\n", prefix, i)
	}
	path := filepath.Join(t.TempDir(), prefix)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
