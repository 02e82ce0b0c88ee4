package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
	"secure-dns-proxy/transport/lanetest"
)

// blocksTimeout is how long it may take until a block is there, or gone, on a machine with other work.
const blocksTimeout = 30 * time.Second

// blockedNow is a line of `sdpctl --json blocks`.
type blockedNow struct {
	Who, Action, By string
	Blocked         int
}

// sdpctl runs the command against a socket and returns what it printed.
func sdpctl(t *testing.T, socket string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command("../../build/sdpctl", append([]string{"--socket", socket}, args...)...).CombinedOutput()
	return string(out), err
}

// blockList returns the list.
func blockList(t *testing.T, socket string) (list []blockedNow) {
	t.Helper()
	out, err := sdpctl(t, socket, "--json", "blocks")
	if err != nil {
		t.Fatal(err, out)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err, out)
	}
	return list
}

// asks sends one query from an address, over UDP or TCP, and returns the rcode, or -1 without an answer.
func asks(t *testing.T, source, network string, server netip.AddrPort, name string) int {
	t.Helper()
	local := netip.AddrPortFrom(netip.MustParseAddr(source), 0)
	dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(local)}
	if network == "tcp" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(local)
	}
	client := dns.Client{Net: network, Dialer: &dialer, Timeout: 2 * time.Second}
	r, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), server.String())
	if err != nil {
		return -1
	}
	return r.Rcode
}

// A source that asks more than its rule allows is blocked while it does, and for a while after; a client that asks little loses nothing.
func TestBlockedSource(t *testing.T) {
	p := startPeers(t)
	socket := filepath.Join(t.TempDir(), "control.sock")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{plain("udp", p)},
		Settings: []string{
			fmt.Sprintf("control.socket = %q", socket), floodBuffer, "admission.enabled = false", // nothing else is to refuse the flood
			`blocks.rule = [{name = "greedy", threshold = 1500, window = "2s", duration = "4s"}]`,
		},
	}, nil)
	light := rig.StartSteady(t, proxy.Addr, lightRate, "before")
	flood := rig.StartFlood(t, proxy.Addr, "www.zone.example.", netip.MustParseAddr("127.0.4.1"))
	rig.Eventually(t, blocksTimeout, "127.0.4.1 is blocked", func() bool { return len(blockList(t, socket)) == 1 })
	if list := blockList(t, socket); list[0].Who != "127.0.4.1/32" || list[0].Action != "drop" || list[0].By != "greedy" {
		t.Errorf("list: %+v", list)
	}
	light.Phase("blocked")
	time.Sleep(2 * time.Second)
	light.Phase("after")
	flood.Stop()
	rig.Eventually(t, blocksTimeout, "the block ends", func() bool { return len(blockList(t, socket)) == 0 })
	if asks(t, "127.0.4.1", "udp", proxy.Addr, "www.zone.example.") != dns.RcodeSuccess {
		t.Error("not answered after the block")
	}
	m := proxy.Metrics(t)
	if m.Sum(t, "sdp_blocked_queries_total") < 1000 || m.Sum(t, `sdp_blocks_added_total`) != 1 {
		t.Errorf("metrics: %v blocked, %v added", m.Sum(t, "sdp_blocked_queries_total"), m.Sum(t, "sdp_blocks_added_total"))
	}
	for _, text := range []string{"msg=blocked", "block ended"} {
		if lines := proxy.LogLines(text, "127.0.4.1/32"); len(lines) != 1 {
			t.Errorf("%d lines %q:\n%s", len(lines), text, proxy.Log())
		}
	}
	tally := light.Stop(10 * time.Second)["blocked"]
	if share := float64(tally.Lost) / float64(tally.Sent); share >= 0.01 {
		t.Errorf("the light client lost %.4f of %d", share, tally.Sent)
	}
}

// A random-subdomain attack is found at the zone that it is on. What is cached of the zone goes on being answered, and other zones are.
func TestRandomSubdomains(t *testing.T) {
	p := startPeers(t)
	socket := filepath.Join(t.TempDir(), "control.sock")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{plain("udp", p)},
		Settings: []string{
			fmt.Sprintf("control.socket = %q", socket),
			`blocks.rule = [{name = "water-torture", of = "name", watch = "random_names", threshold = 100, window = "2s", action = "refuse", duration = "3s"}]`,
		},
	}, nil)
	if asks(t, "127.0.0.1", "udp", proxy.Addr, "www.zone.example.") != dns.RcodeSuccess {
		t.Fatal("no answer")
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		randomNames(proxy.Addr, "zone.example.", stop)
	}()
	light := rig.StartSteady(t, proxy.Addr, lightRate, "attack") // names that nobody has asked for before, and that exist
	rig.Eventually(t, blocksTimeout, "the zone is blocked", func() bool { return len(blockList(t, socket)) > 0 })
	if list := blockList(t, socket); len(list) != 1 || list[0].Who != "zone.example." {
		t.Errorf("list: %+v", list)
	}
	if got := asks(t, "127.0.0.1", "udp", proxy.Addr, "new.zone.example."); got != dns.RcodeRefused {
		t.Errorf("an unknown name of the zone: %s", dns.RcodeToString[got])
	}
	if got := asks(t, "127.0.0.1", "udp", proxy.Addr, "www.zone.example."); got != dns.RcodeSuccess {
		t.Errorf("a cached name of the zone: %s", dns.RcodeToString[got])
	}
	close(stop)
	<-ended
	tally := light.Stop(10 * time.Second)["attack"]
	if tally.Failed() > tally.Sent/100 {
		t.Errorf("%d of %d queries for another zone failed", tally.Failed(), tally.Sent)
	}
	rig.Eventually(t, blocksTimeout, "the block ends", func() bool { return len(blockList(t, socket)) == 0 })
	if got := asks(t, "127.0.0.1", "udp", proxy.Addr, "new.zone.example."); got != dns.RcodeNameError {
		t.Errorf("after the block: %s", dns.RcodeToString[got])
	}
}

// randomNames asks for some 2000 names a second that do not exist, from many addresses, until it is told to stop.
func randomNames(server netip.AddrPort, zone string, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		source := netip.AddrFrom4([4]byte{127, 1, byte(rand.Uint32()), 1 + byte(rand.Uint32N(254))})
		socket, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.UDPAddrFromAddrPort(server))
		if err != nil {
			panic(err)
		}
		for range 20 {
			packed, err := new(dns.Msg).SetQuestion(fmt.Sprintf("r%08x.%s", rand.Uint32(), zone), dns.TypeA).Pack()
			if err != nil {
				panic(err)
			}
			_, _ = socket.Write(packed)
		}
		socket.Close()
	}
}

// What an operator blocks by hand is blocked, over UDP and TCP, until it is taken off the list.
func TestBlockedByHand(t *testing.T) {
	p := startPeers(t)
	socket := filepath.Join(t.TempDir(), "control.sock")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{plain("udp", p)}, Settings: []string{fmt.Sprintf("control.socket = %q", socket)},
	}, nil)
	do := func(args ...string) {
		t.Helper()
		if out, err := sdpctl(t, socket, append([]string{"blocks"}, args...)...); err != nil {
			t.Fatal(err, out)
		}
	}
	ask := func(source, network, name string, want int) {
		t.Helper()
		rig.Eventually(t, 5*time.Second, fmt.Sprintf("%s over %s from %s: %d", name, network, source, want), func() bool {
			return asks(t, source, network, proxy.Addr, name) == want
		})
	}
	ask("127.0.4.2", "udp", "www.zone.example.", dns.RcodeSuccess)
	do("add", "127.0.4.2", "--action", "refuse")
	do("add", "127.0.5.0/24")
	do("add", "txt.zone.example", "--action", "refuse", "--for", "1h")
	ask("127.0.4.2", "udp", "www.zone.example.", dns.RcodeRefused)
	ask("127.0.4.2", "tcp", "www.zone.example.", dns.RcodeRefused)
	ask("127.0.5.77", "udp", "www.zone.example.", -1)
	ask("127.0.5.77", "tcp", "www.zone.example.", -1)
	ask("127.0.4.3", "udp", "a.txt.zone.example.", dns.RcodeRefused)
	out, err := sdpctl(t, socket, "blocks")
	if err != nil || !strings.Contains(out, "127.0.5.0/24") || !strings.Contains(out, "txt.zone.example.") || !strings.Contains(out, "operator") {
		t.Errorf("%v\n%s", err, out)
	}
	do("remove", "127.0.4.2")
	do("remove", "127.0.5.0/24")
	ask("127.0.4.2", "udp", "www.zone.example.", dns.RcodeSuccess)
	ask("127.0.5.77", "tcp", "www.zone.example.", dns.RcodeSuccess)
	for _, bad := range [][]string{{"remove", "127.0.4.2"}, {"add", "127.0.0.1", "--action", "limit"}, {"add", "a..b"}, {"add", "1.2.3.4", "--for", "soon"}} {
		if out, err := sdpctl(t, socket, append([]string{"blocks"}, bad...)...); err == nil {
			t.Errorf("%v was taken: %s", bad, out)
		}
	}
	if lines := proxy.LogLines("blocks/add", "127.0.5.0/24"); len(lines) != 1 {
		t.Errorf("%d lines say who gave the command:\n%s", len(lines), proxy.Log())
	}
}

// A blocked source is dropped by the kernel where that is wanted; the block lasts while it sends, and the program goes with the process.
func TestBlockedInKernel(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if !lanetest.Isolated(t) { // the program is on the loopback interface: not on that of everybody
		return
	}
	p := startPeers(t)
	socket := filepath.Join(t.TempDir(), "control.sock")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{plain("udp", p)},
		Settings: []string{
			fmt.Sprintf("control.socket = %q", socket), `blocks.kernel_interfaces = ["lo"]`,
			`blocks.rule = [{name = "greedy", threshold = 1500, window = "2s", duration = "3s"}]`,
		},
	}, nil)
	flood := rig.StartFlood(t, proxy.Addr, "www.zone.example.", netip.MustParseAddr("127.0.4.1"))
	rig.Eventually(t, blocksTimeout, "the kernel drops", func() bool { return proxy.Metrics(t).Sum(t, "sdp_blocks_kernel_drops_total") > 10_000 })
	before := proxy.Metrics(t)
	time.Sleep(5 * time.Second) // longer than the block's duration
	delta := proxy.Metrics(t).Delta(before)
	if received := delta.Sum(t, "sdp_queries_total"); received > 100 {
		t.Errorf("%v queries came through while the source is blocked", received)
	}
	if list := blockList(t, socket); len(list) != 1 || list[0].Blocked < 10_000 {
		t.Errorf("list: %+v", list)
	}
	if asks(t, "127.0.4.2", "udp", proxy.Addr, "www.zone.example.") != dns.RcodeSuccess {
		t.Error("another source is not answered")
	}
	flood.Stop()
	rig.Eventually(t, blocksTimeout, "the block ends", func() bool { return len(blockList(t, socket)) == 0 })
	if asks(t, "127.0.4.1", "udp", proxy.Addr, "www.zone.example.") != dns.RcodeSuccess {
		t.Error("not answered after the block")
	}
}

// Where the kernel does not let us, the log says why, and the workers block.
func TestBlockedWithoutKernel(t *testing.T) {
	p := startPeers(t)
	socket := filepath.Join(t.TempDir(), "control.sock")
	proxy := rig.StartProxy(t, proxyBinary, rig.Config{
		Upstreams: []rig.Upstream{plain("udp", p)},
		Settings:  []string{fmt.Sprintf("control.socket = %q", socket), `blocks.kernel_interfaces = ["no-such-card"]`},
	}, nil)
	if out, err := sdpctl(t, socket, "blocks", "add", "127.0.4.1"); err != nil {
		t.Fatal(err, out)
	}
	rig.Eventually(t, 5*time.Second, "blocked", func() bool { return asks(t, "127.0.4.1", "udp", proxy.Addr, "www.zone.example.") == -1 })
	if lines := proxy.LogLines("blocked sources are not dropped in the kernel", "no-such-card", "reason="); len(lines) != 1 {
		t.Errorf("%d lines:\n%s", len(lines), proxy.Log())
	}
	if n := proxy.Metrics(t).Sum(t, "sdp_blocks_kernel_interfaces"); n != 0 {
		t.Errorf("%v interfaces", n)
	}
}
