package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// originalText is a file in the form of the original secure-dns-proxy, as TOML and as JSON with comments, with the upstreams of one list.
func originalText(p peers, port uint16, list, url string) (toml, json string) {
	toml = fmt.Sprintf(`# for the original
bind_address = "127.0.0.1"
port = %d

[upstreams]
%s = [%q]

[hosts]
%q = ["127.0.0.1"]

[timeouts]
upstream = "8s"

[metrics]
enabled = false
`, port, list, url, rig.ServerName)
	json = fmt.Sprintf(`{ // for the original
  "bind_address": "127.0.0.1", "port": %d,
  "upstreams": {%q: [%q]}, /* one */
  "hosts": {%q: "127.0.0.1"},
  "timeouts": {"upstream": 8000000000},
  "metrics": {"enabled": false},
}`, port, list, url, rig.ServerName)
	return toml, json
}

// migrate runs --migrate and returns the new file.
func migrate(t *testing.T, file string) string {
	t.Helper()
	var out, problems bytes.Buffer
	command := exec.Command(proxyBinary, "--migrate", file)
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		t.Fatalf("--migrate %s: %v\n%s", file, err, problems.String())
	}
	return rig.WriteFile(t, "new.toml", out.String())
}

// A file of the original gives the answers of its upstream, as it is and migrated, in TOML and JSON, over each kind of upstream.
func TestFilesOfTheOriginal(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	name := rig.ServerName
	for _, kind := range []struct{ list, url string }{
		{"dns", p.unbound.Do53.String()},
		{"doh", fmt.Sprintf("https://%s:%d%s", name, p.unbound.HTTPS.Port(), rig.HTTPSPath)},
		{"dot", fmt.Sprintf("tls://%s:%d", name, p.unbound.TLS.Port())},
		{"doq", fmt.Sprintf("quic://%s:%d", name, p.dnsproxy.QUIC.Port())},
	} {
		t.Run(kind.list, func(t *testing.T) {
			addr := rig.FreeAddr(t)
			toml, json := originalText(p, addr.Port(), kind.list, kind.url)
			old := rig.WriteFile(t, "old.toml", toml)
			files := []string{old, migrate(t, old), rig.WriteFile(t, "old.jsonc", json)}
			for _, file := range files {
				proxy := rig.StartFile(t, proxyBinary, file, addr, p.authority.CAFile)
				for _, question := range [][]string{{"www.zone.example", "A"}, {"zone.example", "MX"}, {"nowhere.zone.example", "A"}, {"+tcp", "big.zone.example", "TXT"}} {
					want := rig.Dig(t, p.unbound.Do53, append([]string{"+tcp"}, question...)...)
					for range 2 { // from upstream, then from the cache
						got := rig.Dig(t, addr, question...)
						if got.Status != want.Status || !slices.Equal(got.Data(), want.Data()) {
							t.Errorf("%s, %v: got %s %v, want %s %v", file, question, got.Status, got.Data(), want.Status, want.Data())
						}
					}
				}
				if file != files[1] && len(proxy.LogLines("level=WARN", "timeouts.upstream")) == 0 {
					t.Errorf("%s: no warning in the log about timeouts.upstream", file)
				}
				proxy.Stop()
			}
		})
	}
	if _, tls, https := p.unbound.Queries(); tls == 0 || https == 0 {
		t.Errorf("unbound's own counters: got %d queries over TLS and %d over HTTPS, want some of each", tls, https)
	}
}

// What the original's files say of trust holds: a certificate that nobody vouches for is refused, unless insecure_tls says not to look.
func TestTrustOfTheOriginal(t *testing.T) {
	p := startPeers(t)
	for _, c := range []struct{ insecure, want string }{{"false", "SERVFAIL"}, {"true", "NOERROR"}} {
		addr := rig.FreeAddr(t)
		toml, _ := originalText(p, addr.Port(), "dot", fmt.Sprintf("tls://%s:%d", rig.ServerName, p.unbound.TLS.Port()))
		file := rig.WriteFile(t, "old.toml", "insecure_tls = "+c.insecure+"\n"+strings.ReplaceAll(toml, `"8s"`, `"1s"`))
		rig.StartFile(t, proxyBinary, file, addr, "")
		if got := rig.Dig(t, addr, "www.zone.example"); got.Status != c.want {
			t.Errorf("insecure_tls = %s: got %s, want %s", c.insecure, got.Status, c.want)
		}
	}
}

// The three policies of the original: how many of the questions go to the second of two upstreams, the one over TLS.
func TestPoliciesOfTheOriginal(t *testing.T) {
	t.Parallel()
	p := startPeers(t)
	const questions = 20
	for _, c := range []struct {
		policy      string
		least, most int
	}{
		{"sequential", 0, 0},
		{"round_robin", questions/2 - 3, questions/2 + 3}, // on a busy machine one is asked again now and then
		{"race", questions - 5, questions + 5},            // the loser may be called off before it was sent, or that of the proxy before counted late
	} {
		addr := rig.FreeAddr(t)
		file := rig.WriteFile(t, "old.toml", fmt.Sprintf(`
bind_address = "127.0.0.1"
port = %d
upstream_policy = %q
upstreams = { dns = [%q], dot = ["tls://%s:%d"] }
hosts = { %q = "127.0.0.1" }
metrics.enabled = false
health_checks.enabled = false
`, addr.Port(), c.policy, p.unbound.Do53, rig.ServerName, p.unbound.TLS.Port(), rig.ServerName))
		for _, file := range []string{file, migrate(t, file)} {
			proxy := rig.StartFile(t, proxyBinary, file, addr, p.authority.CAFile)
			_, before, _ := p.unbound.Queries()
			for range questions {
				if got := rig.Dig(t, addr, freshName()); got.Status != "NOERROR" {
					t.Fatalf("%s: got %s", c.policy, got.Status)
				}
			}
			_, after, _ := p.unbound.Queries()
			if got := after - before; got < c.least || got > c.most {
				t.Errorf("%s, %s: %d of %d questions went over TLS, want %d to %d", c.policy, file, got, questions, c.least, c.most)
			}
			proxy.Stop()
		}
	}
}
