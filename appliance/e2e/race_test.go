package e2e

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// The whole program, built with the race detector, through its life: every kind of upstream under load, reloads, an outage,
// the drain. The detector does not see what the kernel writes, only goroutines and threads among themselves.
func TestRaceDetector(t *testing.T) {
	p := startPeers(t)
	file := rig.BulkNames(t, 50_000)
	forEachEngine(t, func(t *testing.T, engine string) {
		config := rig.Config{Backend: engine, Workers: 2}
		for _, kind := range upstreamKinds {
			config.Upstreams = append(config.Upstreams, kind.config(p))
		}
		proxy := rig.StartProxy(t, raceBinary, config, func(path string, arguments ...string) *exec.Cmd {
			command := exec.Command(path, arguments...)
			command.Env = append(command.Environ(), "GORACE=halt_on_error=1 exitcode=66")
			return command
		})
		wait := rig.Load{Server: proxy.Addr, NamesFile: file, Seconds: 5, QPS: 2000, Clients: 20, Timeout: 10}.Start(t)
		overTCP := rig.Load{Server: proxy.Addr, Mode: "tcp", NamesFile: file, Seconds: 5, QPS: 500, Clients: 20, Timeout: 10}.Start(t)
		for i := range 4 {
			time.Sleep(500 * time.Millisecond)
			next := proxy.Config
			next.Upstreams = config.Upstreams[i:]
			proxy.WriteConfig(t, next.Text())
			proxy.Signal(syscall.SIGHUP)
			proxy.Metrics(t)
		}
		p.dnsproxy.Kill()
		p.unbound.Kill()
		time.Sleep(500 * time.Millisecond)
		p.unbound.Start()
		p.dnsproxy.Start()
		for _, result := range []rig.Result{wait(), overTCP()} {
			if result.Lost != 0 {
				t.Errorf("dnsperf sent %d and lost %d", result.Sent, result.Lost)
			}
		}
		wantExit(t, proxy, 0)
		if races := proxy.LogLines("DATA RACE"); len(races) > 0 {
			t.Errorf("the race detector found something:\n%s", proxy.Log())
		}
	})
}
