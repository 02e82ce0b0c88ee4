package e2e

import (
	"strconv"
	"strings"
	"testing"

	"secure-dns-proxy/appliance/e2e/rig"
)

// Real dig asks from several networks, and with +subnet, through the proxy to a real unbound, over UDP and over TLS, that asks a real knotd which has an
// answer for each network. Everybody gets the one of their own network, with its scope where they have asked for it, and each of them is asked for once.
func TestClientSubnet(t *testing.T) {
	authority := rig.NewAuthority(t)
	server := rig.NewTailored(t, authority.Issue(rig.Leaf{}))
	const add = "edns.client_subnet = \"add\"\nedns.client_subnet_private = true"
	for i, upstream := range []rig.Upstream{
		{URL: "udp://" + server.Do53.String()},
		{URL: "tls://" + server.TLS.String(), TLSName: rig.ServerName, CAFile: authority.CAFile},
	} {
		t.Run(upstream.URL[:3], func(t *testing.T) {
			name := func(n int) string { return strconv.Itoa(4*i+n) + ".cdn.example" } // of each step's own: unbound caches, too
			start := func(settings string) *rig.Proxy {
				return rig.StartProxy(t, proxyBinary, rig.Config{
					Upstreams: []rig.Upstream{upstream}, Settings: []string{settings, `health.mode = "passive"`, `cache.prefetch = 0`},
				}, nil)
			}
			ask(t, server, start(add), []step{
				{"from a network of its own", "-b 127.1.1.7 " + name(0), "198.51.100.1", "", 1},
				{"another client of that network", "-b 127.1.1.8 " + name(0), "198.51.100.1", "", 0},
				{"from a larger one", "-b 127.2.3.4 " + name(0), "198.51.100.2", "", 1},
				{"from another part of that", "-b 127.2.9.9 " + name(0), "198.51.100.2", "", 0},
				{"over TCP", "-b 127.2.9.9 +tcp " + name(0), "198.51.100.2", "", 0},
				{"from elsewhere", "-b 127.3.0.1 " + name(0), "198.51.100.3", "", 1},
				{"saying where", "-b 127.3.0.1 +subnet=127.1.1.0/24 " + name(0), "198.51.100.1", "127.1.1.0/24/24", 0},
				{"saying where it has not been", "-b 127.3.0.1 +subnet=127.2.77.0/24 " + name(0), "198.51.100.2", "127.2.77.0/24/16", 0},
				{"saying it for everybody's name", "-b 127.3.0.1 +subnet=127.2.77.0/24 all.cdn.example", "198.51.100.9", "127.2.77.0/24/0", 1},
				{"everybody's name", "-b 127.1.1.7 all.cdn.example", "198.51.100.9", "", 0},
				{"opting out", "-b 127.1.1.7 +subnet=0 " + name(0), "198.51.100.10", "0.0.0.0/0/0", 1},
			})
			ask(t, server, start(strings.Replace(add, "add", "pass", 1)), []step{
				{"saying nothing", "-b 127.1.1.7 " + name(1), "198.51.100.10", "", 1},
				{"saying where", "-b 127.1.1.7 +subnet=127.1.1.0/24 " + name(1), "198.51.100.1", "127.1.1.0/24/24", 1},
			})
			ask(t, server, start(strings.Replace(add, "add", "override", 1)), []step{
				{"saying where", "-b 127.1.1.7 +subnet=127.2.0.0/24 " + name(2), "198.51.100.1", "127.2.0.0/24/0", 1},
			})
			ask(t, server, start(""), []step{
				{"saying where to one that strips", "-b 127.1.1.7 +subnet=127.1.1.0/24 " + name(3), "198.51.100.10", "", 1},
			})
		})
	}
}

// step is what dig asks, and what it gets: an address, an ECS option, and how many queries that costs unbound.
type step struct {
	what, arguments, address, subnet string
	queries                          int
}

func ask(t *testing.T, server *rig.Tailored, proxy *rig.Proxy, steps []step) {
	t.Helper()
	for _, s := range steps {
		before := server.Queries()
		got := rig.Dig(t, proxy.Addr, strings.Fields(s.arguments)...)
		if data := got.Data(); len(data) != 1 || !strings.HasSuffix(data[0], " A "+s.address) {
			t.Errorf("%s: got %v, want %s\n%s", s.what, data, s.address, got.Text)
		}
		if told := strings.Contains(got.Text, "CLIENT-SUBNET"); told != (s.subnet != "") || told && !strings.Contains(got.Text, "CLIENT-SUBNET: "+s.subnet) {
			t.Errorf("%s: want the option %q\n%s", s.what, s.subnet, got.Text)
		}
		if n := server.Queries() - before; n != s.queries {
			t.Errorf("%s: %d queries to unbound, want %d", s.what, n, s.queries)
		}
	}
}
