package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/e2e/rig"
	"secure-dns-proxy/transport/tier/tiertest"
)

const (
	metricRemoteStored  = "sdp_remote_cache_stored_total"
	metricRemoteResults = "sdp_remote_cache_results_total"
)

// remoteProxies starts two instances before one actor, which share a cache.
func remoteProxies(t *testing.T, actor *rig.Actor, remote string) (first, second *rig.Proxy) {
	t.Helper()
	settings := `cache.remote = {budget = "100ms", breaker_percent = 100, ` + remote + `}`
	return actorProxy(t, actor, settings), actorProxy(t, actor, settings)
}

// What one instance has asked for, the other one has from the cache that they share: with every kind of server, and without asking the upstream.
func TestRemoteCacheIsShared(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T) (remote string)
	}{
		{"redis", func(t *testing.T) string {
			return fmt.Sprintf(`kind = "redis", addresses = %q`, tiertest.Redis(t).Addr)
		}},
		{"redis with TLS and password", func(t *testing.T) string {
			authority := rig.NewAuthority(t)
			server, client := authority.Issue(rig.Leaf{}), authority.Issue(rig.Leaf{Client: true})
			s := tiertest.RedisTLS(t, server.ChainFile, server.KeyFile, authority.CAFile, "--requirepass", remotePassword)
			return fmt.Sprintf(`kind = "redis", addresses = %q, password = %q, tls = true, ca_file = %q, tls_name = %q, client_cert_file = %q, client_key_file = %q`,
				s.Addr, remotePassword, authority.CAFile, rig.ServerName, client.ChainFile, client.KeyFile)
		}},
		{"redis cluster", func(t *testing.T) string {
			nodes := tiertest.Cluster(t)
			return fmt.Sprintf(`kind = "redis", mode = "cluster", addresses = [%q, %q]`, nodes[0].Addr, nodes[1].Addr)
		}},
		{"redis sentinel with users", func(t *testing.T) string {
			_, _, sentinel := tiertest.GuardedSentinel(t)
			file := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(file, []byte(tiertest.WatcherPassword+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf(`kind = "redis", mode = "sentinel", master_name = %q, addresses = %q, username = %q, password = %q, sentinel_username = %q, sentinel_password_file = %q`,
				tiertest.MasterName, sentinel.Addr, tiertest.ProxyUser, tiertest.ProxyPassword, tiertest.WatcherUser, file)
		}},
		{"memcached", func(t *testing.T) string {
			return fmt.Sprintf(`kind = "memcached", addresses = [%q, %q]`, tiertest.Memcached(t).Addr, tiertest.Memcached(t).Addr)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			remote := c.start(t)
			actor := rig.NewActor(t)
			first, second := remoteProxies(t, actor, remote)
			for _, p := range []*rig.Proxy{first, second} {
				rig.Eventually(t, time.Minute, "the servers are found", func() bool { return p.Metrics(t).Sum(t, "sdp_remote_cache_connects_total") > 0 })
			}
			const names = 10
			spared := 0
			for n := range names {
				name := fmt.Sprintf("name%d.bulk.example", n)
				stored := first.Metrics(t).Sum(t, metricRemoteStored)
				one := rig.Dig(t, first.Addr, name)
				rig.Eventually(t, time.Minute, "the answer is stored", func() bool { return first.Metrics(t).Sum(t, metricRemoteStored) > stored })
				before := actor.Queries()
				two := rig.Dig(t, second.Addr, name)
				if two.Status != "NOERROR" || strings.Join(two.Data(), " ") != strings.Join(one.Data(), " ") || two.TTL() > one.TTL() {
					t.Errorf("%s: the second instance says %s %v, the first one %v", name, two.Status, two.Records, one.Records)
				}
				if actor.Queries() == before {
					spared++
				}
			}
			// On a machine that is busy an answer may be later than any budget; most are not.
			if hits := second.Metrics(t).Sum(t, metricRemoteResults, `result="hit"`); spared < names*7/10 || int(hits) < spared {
				t.Errorf("%d of %d names without asking the upstream, %v hits", spared, names, hits)
			}
			for _, p := range []*rig.Proxy{first, second} {
				for _, password := range []string{remotePassword, tiertest.ProxyPassword, tiertest.WatcherPassword} {
					if strings.Contains(p.Log(), password) {
						t.Error("the password is in the log")
					}
				}
			}
		})
	}
}

const remotePassword = "open-sesame"

// Whatever becomes of the shared cache, no query is lost and none waits for it: while it sleeps, is full, is stopped, is killed and comes back.
func TestRemoteCacheFaults(t *testing.T) {
	const asleep = 4 * time.Second
	server := tiertest.Redis(t, "--maxmemory-policy", "noeviction")
	actor := rig.NewActor(t)
	patient := []string{`timeouts = {query = "30s", upstream = "30s"}`, `health.mode = "passive"`, `pool.default.adaptive_limit = false`} // a busy machine is no fault of the upstream
	proxy := actorProxy(t, actor, append(patient, fmt.Sprintf(`cache.remote = {kind = "redis", addresses = %q, timeout = "500ms", breaker_max_rest = "1s"}`, server.Addr))...)
	without := actorProxy(t, actor, patient...)
	rig.Eventually(t, time.Minute, "the server is found", func() bool { return proxy.Metrics(t).Sum(t, "sdp_remote_cache_connects_total") > 0 })
	steady, beside := rig.StartSteady(t, proxy.Addr, 200, "well"), rig.StartSteady(t, without.Addr, 200, "well")
	phase := func(name string) {
		steady.Phase(name)
		beside.Phase(name)
	}
	logged := func(text string, times int) func() bool {
		return func() bool { return strings.Count(proxy.Log(), text) >= times }
	}
	const out, back = "second-tier cache taken out", "second-tier cache is back"
	stored := func() float64 { return proxy.Metrics(t).Sum(t, metricRemoteStored) }
	rig.Eventually(t, time.Minute, "answers are stored", func() bool { return stored() > 100 })

	phase("asleep")
	slept := make(chan struct{})
	go func() {
		defer close(slept)
		server.CLI("debug", "sleep", strconv.Itoa(int(asleep.Seconds())))
	}()
	outs := strings.Count(proxy.Log(), out)
	rig.Eventually(t, time.Minute, "it is taken out", logged(out, outs+1))
	<-slept
	rig.Eventually(t, time.Minute, "it is back", logged(back, outs+1))

	phase("full")
	server.CLI("config", "set", "maxmemory", "1")
	rig.Eventually(t, time.Minute, "it takes nothing", logged("takes no answers", 1))
	server.CLI("config", "set", "maxmemory", "0")
	rig.Eventually(t, time.Minute, "it takes answers again", logged("takes answers again", 1))

	for _, end := range []struct {
		phase string
		do    func()
	}{{"stopped", server.Stop}, {"killed", server.Kill}} {
		phase(end.phase)
		outs = strings.Count(proxy.Log(), out)
		end.do()
		rig.Eventually(t, time.Minute, "it is taken out", logged(out, outs+1))
		server.Start()
		rig.Eventually(t, time.Minute, "it is back", logged(back, outs+1))
		before := stored()
		rig.Eventually(t, time.Minute, "answers are stored again", func() bool { return stored() > before+20 })
	}

	with, other := steady.Stop(10*time.Second), beside.Stop(10*time.Second)
	for name, tally := range with {
		t.Logf("%s: %d queries, slowest %v; without the shared cache %d, slowest %v", name, tally.Sent, tally.Slowest, other[name].Sent, other[name].Slowest)
		if tally.Failed() != 0 || tally.Lost != 0 {
			t.Errorf("%s: %d of %d queries failed, %d lost", name, tally.Failed(), tally.Sent, tally.Lost)
		}
		// Nobody waited for the server: not while it slept, nor for a connection to be given up.
		if tally.Slowest > asleep/2+other[name].Slowest {
			t.Errorf("%s: the slowest query took %v, %v without the shared cache", name, tally.Slowest, other[name].Slowest)
		}
	}
	m := proxy.Metrics(t)
	if m.Sum(t, metricRemoteResults, `result="late"`) == 0 || m.Sum(t, metricRemoteResults, `result="miss"`) == 0 {
		t.Error("nothing was late while the server slept, or nothing was asked at all")
	}
}
