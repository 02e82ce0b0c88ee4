package e2e

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/e2e/rig"
)

// reloadsUnderLoad is how often everything is replaced, and suffixesUnderLoad how large the set is.
const reloadsUnderLoad, suffixesUnderLoad = 2, 1_000_000

// TestReloadUnderLoad replaces 100 rules, a set of a million suffixes and a policy zone while clients ask: none loses a query.
func TestReloadUnderLoad(t *testing.T) {
	dir := rig.SharedDir(t)
	set, zone := filepath.Join(dir, "set"), filepath.Join(dir, "rpz.zone")
	writeZone := func(serial int) {
		text := fmt.Sprintf("$ORIGIN rpz.test.\n@ 300 SOA ns h %d 3600 600 86400 60\n@ 300 NS ns\nblocked.bulk.example 300 A 192.0.2.%d\n", serial, 100+serial)
		for i := range 20_000 {
			text += fmt.Sprintf("n%d.invalid 300 CNAME .\n", i)
		}
		if err := os.WriteFile(ready(zone, serial), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for round := range reloadsUnderLoad + 1 { // all of them before the load: writing takes as long as reading
		writeZone(round)
		writeSuffixes(t, ready(set, round))
	}
	swap := func(round int) {
		for _, path := range []string{zone, set} {
			if err := os.Rename(ready(path, round), path); err != nil {
				t.Fatal(err)
			}
		}
	}
	swap(0)
	rules := func(round int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "\n[[rule]]\nname = \"round\"\nmatch.qname = [\"round.bulk.example\"]\naction = { type = \"answer\", records = [\"A 192.0.2.%d\"] }\n", 200+round)
		fmt.Fprintf(&b, "\n[[rule]]\nname = \"set\"\nmatch.set = [\"many\"]\naction = { type = \"refuse\" }\n")
		for i := range 98 {
			fmt.Fprintf(&b, "\n[[rule]]\nname = \"r%d\"\nmatch.suffix = [\"s%d-%d.example\"]\naction = { type = \"refuse\" }\n", i, i, round)
		}
		return b.String()
	}
	config := rig.Config{
		Upstreams: []rig.Upstream{{URL: "udp://" + rig.NewActor(t).Addr.String(), Settings: []string{rules(0)}}},
		Settings:  []string{fmt.Sprintf("set.many.file = %q", set), fmt.Sprintf("rpz.zone = [{name = \"rpz.test\", file = %q}]", zone)},
	}
	proxy := rig.StartProxy(t, proxyBinary, config, nil)
	answer := func(name, address string) {
		t.Helper()
		rig.Eventually(t, 30*time.Second, name+" is "+address, func() bool {
			reply, err := rig.Ask(proxy.Addr, "udp", name, time.Second)
			if err != nil || len(reply.Answer) != 1 {
				return false
			}
			a, ok := reply.Answer[0].(*dns.A)
			return ok && a.A.String() == address
		})
	}
	answer("round.bulk.example", "192.0.2.200")
	answer("blocked.bulk.example", "192.0.2.100")
	if got := rig.Dig(t, proxy.Addr, "x.s999999.many.example"); got.Status != "REFUSED" {
		t.Fatalf("a name of the set: %s", got.Status)
	}
	hits := rig.StartSteadyAt(t, proxy.Addr, rig.Pace{PerSecond: 1000, Names: 1000, Source: netip.MustParseAddr("127.0.1.1")}, "warm")
	fresh := rig.StartSteadyAt(t, proxy.Addr, rig.Pace{PerSecond: 100, Source: netip.MustParseAddr("127.0.1.2")}, "warm")
	phase := func(name string, length time.Duration) {
		hits.Phase(name)
		fresh.Phase(name)
		time.Sleep(length)
	}
	phase("warm", time.Second)
	phase("calm", 3*time.Second)
	before := proxy.Metrics(t)
	phase("reloads", 0)
	for round := 1; round <= reloadsUnderLoad; round++ {
		next := proxy.Config
		next.Upstreams = []rig.Upstream{{URL: config.Upstreams[0].URL, Settings: []string{rules(round)}}}
		swap(round)
		proxy.WriteConfig(t, next.Text())
		proxy.Signal(syscall.SIGHUP)
		answer("round.bulk.example", fmt.Sprintf("192.0.2.%d", 200+round))
		answer("blocked.bulk.example", fmt.Sprintf("192.0.2.%d", 100+round))
	}
	phase("after", 0)
	if n := proxy.Metrics(t).Delta(before).Sum(t, "sdp_socket_drops_total"); n != 0 {
		t.Errorf("%v datagrams found no room in the proxy's sockets", n)
	}
	for i, tallies := range []map[string]*rig.Tally{hits.Stop(5 * time.Second), fresh.Stop(5 * time.Second)} {
		calm, reloads := tallies["calm"], tallies["reloads"]
		t.Logf("%s: calm %d sent, p50 %v, p99.9 %v, slowest %v; over %d reloads %d sent, %d without a good answer, p50 %v, p99.9 %v, slowest %v",
			[]string{"hits", "new names"}[i], calm.Sent, calm.Percentile(50), calm.Percentile(99.9), calm.Slowest,
			reloadsUnderLoad, reloads.Sent, reloads.Failed(), reloads.Percentile(50), reloads.Percentile(99.9), reloads.Slowest)
		if reloads.Failed() != 0 || reloads.Sent == 0 {
			t.Errorf("%d of %d queries were not answered well while everything was reloaded: %v", reloads.Failed(), reloads.Sent, reloads.RCodes)
		}
		if p := reloads.Percentile(99.9); p > 20*calm.Percentile(99.9)+500*time.Millisecond {
			t.Errorf("the slowest in a thousand took %v, %v without reloads", p, calm.Percentile(99.9))
		}
	}
}

// ready is where the file of a round waits for its turn.
func ready(path string, round int) string { return fmt.Sprintf("%s.%d", path, round) }

// writeSuffixes writes a set.
func writeSuffixes(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriter(file)
	for i := range suffixesUnderLoad {
		fmt.Fprintf(b, "s%d.many.example\n", i)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
