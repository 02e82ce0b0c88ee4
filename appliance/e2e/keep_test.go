package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
)

// keptProxy starts a proxy that keeps its cache in file, and has a control socket.
func keptProxy(t *testing.T, p peers, file, socket string, settings ...string) *rig.Proxy {
	t.Helper()
	return rig.StartProxy(t, proxyBinary, rig.Config{
		Workers: 2, Upstreams: []rig.Upstream{plain("udp", p)},
		Settings: append([]string{fmt.Sprintf("cache.persist = %q", file), fmt.Sprintf("control.socket = %q", socket)}, settings...),
	}, nil)
}

// fillCache asks for all names of a file, rounds times.
func fillCache(t *testing.T, proxy *rig.Proxy, file string, rounds int) {
	t.Helper()
	if r := (rig.Load{Server: proxy.Addr, NamesFile: file, Rounds: rounds, Clients: 20}).Run(t); r.Lost != 0 {
		t.Fatalf("lost %d:\n%s", r.Lost, r.Text)
	}
}

// After a restart the hot set is there although unbound answers no more, with TTLs less the time away; a stop and a start take no query along.
func TestRestartKeepsTheCache(t *testing.T) {
	t.Parallel()
	const count = 2000
	p := startPeers(t)
	folder := t.TempDir()
	file, socket, hot := filepath.Join(folder, "cache"), filepath.Join(folder, "control.sock"), rig.BulkNames(t, count)
	first := keptProxy(t, p, file, socket)
	fillCache(t, first, hot, 6) // each by both workers, and again
	ttl := rig.Dig(t, first.Addr, "www.zone.example").TTL()
	asked := time.Now()
	first.Stop()
	if len(first.LogLines("cache written", "file="+file)) != 1 {
		t.Fatalf("not written:\n%s", first.Log())
	}
	p.unbound.Freeze()
	defer p.unbound.Thaw()
	time.Sleep(2 * time.Second)
	second := keptProxy(t, p, file, socket)
	rig.Eventually(t, 10*time.Second, "the file is loaded", func() bool { return len(second.LogLines("cache loaded")) == 1 })
	after := rig.Dig(t, second.Addr, "www.zone.example")
	away := int(time.Since(asked).Seconds())
	if gone := ttl - after.TTL(); after.Status != "NOERROR" || gone < 2 || gone > away+4 {
		t.Errorf("TTL %d before, %d after %d s: %s", ttl, after.TTL(), away, after.Status)
	}
	result := rig.Load{Server: second.Addr, NamesFile: hot, Rounds: 1, Clients: 20, Timeout: 2}.Run(t)
	if share := float64(result.RCodes["NOERROR"]) / count; share < 0.99 {
		t.Errorf("%.1f %% of the hot set are there: %v, lost %d", 100*share, result.RCodes, result.Lost)
	}
	t.Logf("%s; %d of %d names", strings.TrimSpace(second.LogLines("cache loaded")[0]), result.RCodes["NOERROR"], count)
}

// A kill -9 in the middle of a dump leaves the file of before as it was, whole, and the next start uses it.
func TestKillDuringDump(t *testing.T) {
	const count = 20_000
	p := startPeers(t)
	folder := t.TempDir()
	file, socket, hot := filepath.Join(folder, "cache"), filepath.Join(folder, "control.sock"), rig.BulkNames(t, count)
	draft := file + ".new"
	caught := 0
	for round := 0; caught < 3; round++ {
		if round == 12 {
			t.Fatalf("of %d kills, %d came in the middle of a dump", round, caught)
		}
		proxy := keptProxy(t, p, file, socket, `cache.persist_interval = "0s"`)
		if round == 0 {
			fillCache(t, proxy, hot, 2)
			if out, err := sdpctl(t, socket, "cache", "dump"); err != nil {
				t.Fatal(err, out)
			}
		} else {
			rig.Eventually(t, 10*time.Second, "the file is loaded", func() bool { return len(proxy.LogLines("cache loaded")) == 1 })
			if len(proxy.LogLines("level=WARN", "cache")) != 0 {
				t.Fatalf("round %d:\n%s", round, proxy.Log())
			}
		}
		before, err := os.ReadFile(file)
		if err != nil || len(before) < count*50 {
			t.Fatalf("%d bytes, %v", len(before), err)
		}
		dumping := make(chan error, 1)
		go func() {
			_, err := sdpctl(t, socket, "cache", "dump")
			dumping <- err
		}()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
			if _, err := os.Stat(draft); err == nil {
				break
			}
		}
		proxy.Kill()
		failed := <-dumping
		if _, err := os.Stat(draft); errors.Is(err, fs.ErrNotExist) {
			continue // it was too late, or too early
		}
		caught++
		now, err := os.ReadFile(file)
		if err != nil || failed == nil || string(now) != string(before) {
			t.Fatalf("round %d: the old file has changed (%d bytes, before %d, %v), or sdpctl was content", round, len(now), len(before), err)
		}
	}
	proxy := keptProxy(t, p, file, socket)
	rig.Eventually(t, 10*time.Second, "the file is loaded", func() bool { return len(proxy.LogLines("cache loaded")) == 1 })
	if n := proxy.Metrics(t).Sum(t, "sdp_cache_loads_total", `result="loaded"`); n < count {
		t.Errorf("%v answers are loaded, want %d and more", n, count)
	}
}

// A damaged file is a warning; what comes before the damage is used, and the start goes on.
func TestDamagedCache(t *testing.T) {
	p := startPeers(t)
	folder := t.TempDir()
	file, socket := filepath.Join(folder, "cache"), filepath.Join(folder, "control.sock")
	proxy := keptProxy(t, p, file, socket)
	fillCache(t, proxy, rig.BulkNames(t, 500), 1)
	proxy.Stop()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	proxy = keptProxy(t, p, file, socket)
	rig.Eventually(t, 10*time.Second, "a warning", func() bool { return len(proxy.LogLines("level=WARN", "the kept cache was not read")) == 1 })
	if n := proxy.Metrics(t).Sum(t, "sdp_cache_loads_total", `result="loaded"`); n < 100 || n > 400 {
		t.Errorf("%v answers are loaded, want about half of 500", n)
	}
	if got := rig.Dig(t, proxy.Addr, "www.zone.example"); got.Status != "NOERROR" {
		t.Errorf("got %s", got.Status)
	}
}

// Over the control socket: what is cached is looked at, flushed, refreshed.
func TestCacheByHand(t *testing.T) {
	p := startPeers(t)
	folder := t.TempDir()
	file, socket := filepath.Join(folder, "cache"), filepath.Join(folder, "control.sock")
	proxy := keptProxy(t, p, file, socket)
	do := func(args ...string) string {
		t.Helper()
		out, err := sdpctl(t, socket, append([]string{"cache"}, args...)...)
		if err != nil {
			t.Fatal(err, out)
		}
		return out
	}
	p.unbound.Tell("hand.zone.example. 3600 IN A 192.0.2.1")
	if got := rig.Dig(t, proxy.Addr, "hand.zone.example"); len(got.Records) != 1 {
		t.Fatal(got.Text)
	}
	p.unbound.Forget("hand.zone.example")
	p.unbound.Tell("hand.zone.example. 3600 IN A 192.0.2.2")
	if out := do("look", "hand.zone.example"); !strings.Contains(out, "hand.zone.example.") || !strings.Contains(out, "NOERROR") {
		t.Errorf("look:\n%s", out)
	}
	if out := do("refresh", "hand.zone.example"); !strings.Contains(out, "1 cached answer") {
		t.Errorf("refresh: %s", out)
	}
	rig.Eventually(t, 10*time.Second, "the new answer", func() bool {
		return strings.Contains(rig.Dig(t, proxy.Addr, "hand.zone.example").Text, "192.0.2.2")
	})
	p.unbound.Forget("hand.zone.example")
	p.unbound.Tell("hand.zone.example. 3600 IN A 192.0.2.3")
	if out := do("flush", "zone.example", "--suffix", "--type", "A"); !strings.Contains(out, "removed ") {
		t.Errorf("flush: %s", out)
	}
	if got := rig.Dig(t, proxy.Addr, "hand.zone.example"); !strings.Contains(got.Text, "192.0.2.3") {
		t.Errorf("after the flush:\n%s", got.Text)
	}
	if len(proxy.LogLines("control: command", "/v1/cache/flush", "uid 0")) != 1 && os.Getuid() == 0 {
		t.Errorf("not in the log:\n%s", proxy.Log())
	}
}
