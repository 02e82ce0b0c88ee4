package config

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
)

// originalFile has every key of the original, none with its default but those that would have no effect otherwise.
const originalFile = "testdata/original/every-key.toml"

func readOriginal(t *testing.T, path string) *File {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, problems := Parse(path, text)
	if f == nil {
		t.Fatal(problems)
	}
	return f
}

// TestEveryKeyOfTheOriginal: each key of the original does here what it did there, or a warning says what is done instead.
func TestEveryKeyOfTheOriginal(t *testing.T) {
	f := readOriginal(t, originalFile)
	checked, problems := checkOn(f, testMachine) // two workers
	if checked == nil {
		t.Fatal(problems)
	}
	ip := netip.MustParseAddr
	of := func(scheme string) Upstream {
		i := slices.IndexFunc(checked.Upstreams, func(u Upstream) bool { return u.Scheme == scheme })
		return checked.Upstreams[i]
	}
	warned := func(key string) bool {
		return slices.ContainsFunc(problems, func(p Problem) bool { return p.Warning && p.Key == key && p.Line == f.lines[key] && p.Line > 0 })
	}
	tests := []struct {
		key       string
		got, want any
	}{
		{"bind_address", checked.Listen[0].Addr(), ip("127.0.0.9")},
		{"port", checked.Listen[0].Port(), uint16(5353)},
		{"insecure_tls", []bool{of("udp").InsecureTLS, of("https").InsecureTLS, of("tls").InsecureTLS, of("quic").InsecureTLS}, []bool{false, true, true, true}},
		{"upstream_policy", checked.Policy.String(), "sequential"},
		{"upstream_race_fanout", warned("upstream_race_fanout"), true},
		{"prewarm_pools", checked.Prewarm, false},
		{"bootstrap.servers", identities(checked.Bootstrap.Servers), []string{"udp://192.0.2.53:53", "udp://192.0.2.54:53"}},
		{"upstreams.dns", []string{checked.Upstreams[0].identity(), checked.Upstreams[1].identity()}, []string{"udp://192.0.2.1:53", "udp://192.0.2.2:5300"}},
		{"upstreams.doh", checked.Upstreams[2].identity(), "https://doh.example:443/dns-query"},
		{"upstreams.dot", checked.Upstreams[3].identity(), "tls://dot.example:853"},
		{"upstreams.doq", []string{checked.Upstreams[4].identity(), checked.Upstreams[5].identity()}, []string{"quic://doq.example:853", "quic://doq.example:784"}},
		{"hosts", of("tls").Addresses, []netip.Addr{ip("192.0.2.71"), ip("192.0.2.72")}},
		{"upstream_refresh.refresh_threshold", checked.Bootstrap.RefreshThreshold, 20 * time.Second},
		{"upstream_refresh.min_ttl", checked.Bootstrap.MinTTL, 40 * time.Second},
		{"upstream_refresh.failure_retry", checked.Bootstrap.FailureRetry, 5 * time.Second},
		{"upstream_refresh.enabled", !checked.Bootstrap.ThroughUpstreams && warned("upstream_refresh.enabled"), true},
		{"upstream_refresh.jitter_percent", checked.Bootstrap.JitterPercent, 30},
		{"cache.enabled", checked.Cache.Enabled, true},
		{"cache.capacity", checked.Cache.Bytes, int64(200_000) << 10},
		{"cache.default_ttl", []time.Duration{checked.Cache.MinTTL, checked.Cache.MaxTTL}, []time.Duration{25 * time.Second, 25 * time.Second}},
		{"cache.negative_ttl", warned("cache.negative_ttl"), true},
		{"cache.respect_record_ttl", warned("cache.respect_record_ttl"), true},
		{"pools.tls.size", of("tls").Connections, 6},
		{"pools.quic.size", of("quic").Connections, 3},
		{"pools.http_transport.max_idle_conns", of("https").Connections, 5},
		{"pools.http_transport.max_idle_conns_per_host", of("https").Connections, 5},
		{"pools.tls.idle_timeout", *of("tls").IdleTimeout, time.Minute},
		{"pools.quic.idle_timeout", *of("quic").IdleTimeout, 70 * time.Second},
		{"pools.http_transport.idle_conn_timeout", *of("https").IdleTimeout, 80 * time.Second},
		{"pools.http_transport.tls_handshake_timeout", *of("https").DialTimeout, 5500 * time.Millisecond}, // TCP and TLS
		{"timeouts.upstream", checked.Timeouts.Query, 4 * time.Second},
		{"timeouts.dial", checked.Timeouts.Dial, 1500 * time.Millisecond},
		{"timeouts.read", checked.Bootstrap.Timeout, 2500 * time.Millisecond},
		{"rate_limit.max_in_flight", checked.Pools[0].MaxOutstanding, 2001},
		{"health_checks.enabled", []health.Mode{checked.Health.Mode, of("tls").Health.Mode}, []health.Mode{health.Active, health.Active}},
		{"health_checks.interval", of("tls").Health.Interval, 45 * time.Second},
		{"health_checks.query", []any{of("tls").Health.Name, of("tls").Health.Type}, []any{"probe.example", dns.TypeA}},
		{"logging.level", checked.Logging.Level, slog.LevelWarn},
		{"metrics.enabled", checked.Metrics.Listen.IsValid(), false},
	}
	for _, tt := range tests {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.key, tt.got, tt.want)
		}
		if _, known := originalKeyOf(tt.key); !known {
			t.Errorf("%s is not a key of the original", tt.key)
		}
	}
	for _, k := range originalKeys {
		if _, given := find(f.tree, k.name); !given {
			t.Errorf("%s is not in %s", k.name, originalFile)
		}
		if !slices.ContainsFunc(tests, func(tt struct {
			key       string
			got, want any
		},
		) bool {
			return tt.key == k.name
		}) {
			t.Errorf("no row for %s", k.name)
		}
	}
	if t.Failed() {
		t.Log(problems)
	}
}

func identities(upstreams []Upstream) []string {
	var list []string
	for _, u := range upstreams {
		list = append(list, u.identity())
	}
	return list
}

// TestOriginalDefaults: what a file does not say is as the original had it.
func TestOriginalDefaults(t *testing.T) {
	checked, problems := checkText("[upstreams]\ndot = [\"tls://dns.example\"]\n")
	if checked == nil {
		t.Fatal(problems)
	}
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"listen", checked.Listen, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.35:53")}},
		{"bootstrap", identities(checked.Bootstrap.Servers), []string{"udp://1.1.1.1:53", "udp://1.0.0.1:53"}},
		{"refresh", checked.Bootstrap.ThroughUpstreams, true},
		{"jitter", checked.Bootstrap.JitterPercent, 20},
		{"policy", checked.Policy.String(), "round_robin"},
		{"bootstrap timeout", checked.Bootstrap.Timeout, 3 * time.Second},
		{"connections", checked.Upstreams[0].Connections, 8}, // 16 for two workers
		{"idle", *checked.Upstreams[0].IdleTimeout, 90 * time.Second},
		{"query", checked.Timeouts.Query, 5 * time.Second},
		{"dial", checked.Timeouts.Dial, 2 * time.Second},
		{"in flight", checked.Pools[0].MaxOutstanding, 1024},
		{"metrics", checked.Metrics.Listen, netip.MustParseAddrPort("127.0.0.1:9153")},
		{"probes", []any{checked.Health.Mode, checked.Health.Interval, checked.Health.Name}, []any{health.Active, 2 * time.Minute, ""}},
		{"through upstreams", checked.Bootstrap.ThroughUpstreams, true},
		{"prewarm", checked.Prewarm, true},
		{"verification", checked.Upstreams[0].InsecureTLS, false},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

// TestRaceOfTheOriginal: how many upstreams a race asks at once, and that the limit of queries is one of queries still.
func TestRaceOfTheOriginal(t *testing.T) {
	three := `["192.0.2.1", "192.0.2.2", "192.0.2.3"]`
	ten := `["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10"]`
	for _, tt := range []struct {
		fanout, dns  string
		want, limit  int
		wantsWarning bool
	}{
		{"", three, 2, 200, false},
		{"upstream_race_fanout = 1", three, 1, 100, false},
		{"upstream_race_fanout = 3", three, 3, 300, false},
		{"upstream_race_fanout = 0", three, 3, 300, false},
		{"upstream_race_fanout = -1", three, 3, 300, false},
		{"upstream_race_fanout = 9", three, 3, 300, false},
		{"upstream_race_fanout = 9", ten, 8, 800, true},
	} {
		checked, problems := checkText("upstream_policy = \"race\"\n" + tt.fanout + "\n[upstreams]\ndns = " + tt.dns + "\n[rate_limit]\nmax_in_flight = 100\n")
		if checked == nil {
			t.Fatal(problems)
		}
		pool := checked.Pools[0]
		if pool.Policy != balance.Race || pool.Fanout != tt.want || pool.MaxOutstanding != tt.limit {
			t.Errorf("%s of %s: got %v of %d, at most %d, want race of %d, at most %d", tt.fanout, tt.dns, pool.Policy, pool.Fanout, pool.MaxOutstanding, tt.want, tt.limit)
		}
		warned := slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == "upstream_race_fanout" })
		if warned != tt.wantsWarning {
			t.Errorf("%s of %s: warned %v, want %v", tt.fanout, tt.dns, warned, tt.wantsWarning)
		}
	}
}

// originalTexts are files in the original's form that are good.
var originalTexts = map[string]string{
	"little":      "[upstreams]\ndns = [\"192.0.2.1\"]\n",
	"default TTL": "[upstreams]\ndns = [\"192.0.2.1\"]\n[cache]\nrespect_record_ttl = false\n",
	"no cache":    "[upstreams]\ndns = [\"192.0.2.1\"]\n[cache]\nenabled = false\ncapacity = 0\n",
	"no hosts":    "[upstreams]\ndns = [\"192.0.2.1\"]\n[hosts]\n",
	"no probes":   "[upstreams]\ndns = [\"192.0.2.1\"]\n[health_checks]\nenabled = false\n",
	"no limit":    "[upstreams]\ndns = [\"192.0.2.1\"]\n[rate_limit]\nmax_in_flight = 0\n",
	"high limit":  "[upstreams]\ndns = [\"192.0.2.1\"]\n[rate_limit]\nmax_in_flight = 400000\n",
	"race":        "upstream_policy = \"race\"\n[upstreams]\ndns = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]\n",
	"race of all": "upstream_policy = \"race\"\nupstream_race_fanout = 0\n[upstreams]\ndns = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\"]\n",
	"everywhere":  "bind_address = \"\"\n[upstreams]\ndns = [\"2001:db8::1\", \"[2001:db8::2]:5353\", \"dns://192.0.2.1\"]\n",
	"JSON": `{ // with comments
		"port": 5353, "upstreams": {"doh": ["https://dns.example/q"], "doq": ["quic://dns.example:853",],},
		/* and */ "hosts": {"dns.example": "192.0.2.1"}, "timeouts": {"upstream": 500000000},
	} // to the end`,
}

// TestMigrationMeansTheSame: the new file is good, and is to the program what the old one is.
func TestMigrationMeansTheSame(t *testing.T) {
	files := map[string]*File{"every key": readOriginal(t, originalFile)}
	for name, text := range originalTexts {
		f, problems := Parse(name, []byte(text))
		if f == nil {
			t.Fatal(problems)
		}
		files[name] = f
	}
	for name, f := range files {
		t.Run(name, func(t *testing.T) { compareMigrated(t, f, testMachine) })
	}
}

// compareMigrated migrates a good file and compares all that Check makes of it and of the original.
func compareMigrated(t *testing.T, f *File, m machine) {
	t.Helper()
	old, problems := checkOn(f, m)
	if old == nil {
		t.Fatal(problems)
	}
	text, problems := migrateOn(f, m)
	if text == nil {
		t.Fatal(problems)
	}
	file, problems := Parse("new.toml", text)
	if file == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	if s := file.forms(); len(s.original) > 0 || len(s.neither) > 0 {
		t.Errorf("the new file has keys of the original %v, and unknown keys %v", s.original, s.neither)
	}
	now, problems := checkOn(file, m)
	if now == nil {
		t.Fatalf("%v\n%s", problems, text)
	}
	for _, k := range keys {
		if !k.same(old, now) {
			t.Errorf("%s: the file is %v, migrated %v\n%s", k.name, reflect.ValueOf(k.get(old)).Elem(), reflect.ValueOf(k.get(now)).Elem(), text)
		}
	}
	a, b := *old, *now
	a.File, a.lines, a.origins, b.File, b.lines, b.origins = "", nil, nil, "", nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("the file is\n%+v\nmigrated\n%+v", a, b)
	}
}

// TestOriginalProblems: an error in a file of the original's form names the line and the key that are in it.
func TestOriginalProblems(t *testing.T) {
	const plain = "[upstreams]\ndns = [\"192.0.2.1\"]\n"
	tests := []struct {
		name, text string
		want       []string // the errors, whole lines
	}{
		{"range of a renamed key", plain + "[timeouts]\nupstream = \"1h\"\n", []string{`f.toml:4: timeouts.upstream: 1h is out of range (10ms to 30s)`}},
		{"nanoseconds out of range", plain + "[timeouts]\nread = 5\n", []string{`f.toml:4: timeouts.read: 5ns is out of range (10ms to 30s)`}},
		{"kind", "port = \"53\"\n" + plain, []string{`f.toml:1: port: must be an integer, not a string`}},
		{"no duration", plain + "[timeouts]\ndial = \"2 s\"\n", []string{`f.toml:4: timeouts.dial: "2 s" is not a duration: write "3s", "250ms", "5m" or "1h"`}},
		{"not a table", "cache = 1\n" + plain, []string{`f.toml:1: cache: must be a table, written [cache], not an integer`}},
		{"port", "port = 65536\n" + plain, []string{`f.toml:1: port: 65536 is out of range (0 to 65535)`}},
		{"address", "bind_address = \"localhost\"\n" + plain, []string{`f.toml:1: bind_address: "localhost" is not an IP address`}},
		{"unknown key", plain + "[cache]\ncapasity = 1\n", []string{`f.toml:4: cache.capasity: unknown key, which the original ignored; the nearest of its keys is "cache.capacity"`}},
		{"unknown table", plain + "[caches]\nx = 1\n", []string{`f.toml:3: caches: unknown table, which the original ignored; the nearest of its tables is [cache]`}},
		{"policy", "upstream_policy = \"fastest\"\n" + plain, []string{`f.toml:1: upstream_policy: "fastest" is not one of "round_robin", "sequential" or "race" (the original took it for "round_robin")`}},
		{"no upstreams", "port = 53\n", []string{`f.toml: upstreams: is empty or missing: at least one upstream is needed in its lists dns, doh, dot and doq`}},
		{"empty upstreams", "[upstreams]\n", []string{`f.toml:1: upstreams: is empty or missing: at least one upstream is needed in its lists dns, doh, dot and doq`}},
		{"an upstream", "[upstreams]\ndot = [\n\"tls://192.0.2.1\",\n\"tls://192.0.2.1:x\"]\n", []string{`f.toml:4: upstreams.dot[1]: "tls://192.0.2.1:x": not a URL: invalid port ":x" after host`}},
		{"scheme of another list", "[upstreams]\ndot = [\"https://192.0.2.1\"]\n", []string{`f.toml:2: upstreams.dot[0]: "https://192.0.2.1": upstreams.dot holds tls:// only`}},
		{"element", "[upstreams]\ndns = [53]\n", []string{`f.toml:2: upstreams.dns[0]: must be a string, not an integer`}},
		{"nobody knows the name", "[bootstrap]\nservers = []\n[upstreams]\ndoh = [\"https://dns.example\"]\n", []string{
			`f.toml:4: upstreams.doh[0]: https://dns.example: nothing says where "dns.example" is: add it to [hosts], give the upstream addresses = [...], or set bootstrap.servers`,
		}},
		{"hosts", plain + "[hosts]\n\"dns.example\" = [\"192.0.2.1\",\n\"x\"]\n", []string{`f.toml:5: hosts."dns.example"[1]: "x" is not an IP address`}},
		{"early form", "[[upstreams]]\nurl = \"tls://192.0.2.1\"\n", []string{
			`f.toml:1: upstreams: is an array of tables, as in early versions of the original: write [upstreams] with the lists dns, doh, dot and doq, and fixed addresses in [hosts]`,
		}},
		{"ours with a key of the original", "upstream = \"udp://192.0.2.1\"\nport = 53\n[rate_limit]\nmax_in_flight = 5\n", []string{
			`f.toml:2: port: is a key of the original secure-dns-proxy, but upstream on line 1 is of the new form: write listen`,
			`f.toml:4: rate_limit.max_in_flight: is a key of the original secure-dns-proxy, but upstream on line 1 is of the new form: write pool.default.max_outstanding`,
		}},
		{"the original's with a key of ours", plain + "[workers]\ncount = 2\n", []string{
			`f.toml:4: workers.count: is a key of the new form, but upstreams on line 1 is of the original secure-dns-proxy: turn the file into the new form first, with --migrate`,
		}},
		{"log level", plain + "[logging]\nlevel = \"loud\"\n", []string{`f.toml:4: logging.level: "loud" is not one of "debug", "info", "warn" or "error"`}},
		{"dial of https", "[upstreams]\ndoh = [\"https://192.0.2.1\"]\n[pools.http_transport]\ntls_handshake_timeout = \"40s\"\n", []string{`f.toml:4: pools.http_transport.tls_handshake_timeout: 42s is out of range (10ms to 30s)`}},
		{"JSON", "{\n\"port\": 53,\n\"upstreams\": {\"dns\": [\n\"192.0.2.1\",\n7\n]}}", []string{`f.toml:5: upstreams.dns[1]: must be a string, not an integer`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checked, problems := checkText(tt.text)
			if got, want := problems.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if checked != nil {
				t.Error("the file was accepted")
			}
		})
	}
}

// TestOriginalWarnings: what is done otherwise is said, where the file gives a reason to.
func TestOriginalWarnings(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"DoQ without a port", "[upstreams]\ndoq = [\"quic://192.0.2.1\"]\n", `f.toml:2: upstreams.doq[0]: warning: "quic://192.0.2.1" has no port: the original's default, 784, is kept for it; write :853 (RFC 9250) unless the server really is on 784`},
		{"one port for a name", "[upstreams]\ndoh = [\"https://dns.example\"]\ndot = [\"tls://dns.example\"]\n", `f.toml:3: upstreams.dot[0]: warning: is asked on port 853; the original dialled port 443 of dns.example (that of upstreams.doh[0]) for it too`},
		{"twice", "[upstreams]\ndns = [\"192.0.2.1\", \"192.0.2.1:53\"]\n", `f.toml:2: upstreams.dns[1]: warning: is the same upstream as upstreams.dns[0] on line 2: it is used once`},
		{"plain ones first", "upstream_policy = \"sequential\"\n[upstreams]\ndns = [\"192.0.2.1\"]\ndot = [\"tls://192.0.2.1\"]\n", `f.toml:1: upstream_policy: warning: "sequential" asks the plain upstreams.dns first, as in the original, where the order was dns, doh, dot, doq; put them last in the new form`},
		{"pool of nobody", "[upstreams]\ndns = [\"192.0.2.1\"]\n[pools.tls]\nsize = 3\n", `f.toml:4: pools.tls.size: warning: has no effect: no upstream is tls://`},
		{"nothing to verify", "insecure_tls = true\n[upstreams]\ndns = [\"192.0.2.1\"]\n", `f.toml:1: insecure_tls: warning: has no effect: no upstream uses TLS`},
		{"unverified", "insecure_tls = true\n[upstreams]\ndot = [\"tls://192.0.2.1\"]\n", `f.toml:1: insecure_tls: warning: tls://192.0.2.1 is used without verifying its certificate: whoever is on the path can answer in its place`},
		{"too many connections", "[upstreams]\ndot = [\"tls://192.0.2.1\"]\n[pools.tls]\nsize = 128\n", `f.toml:4: pools.tls.size: warning: 128 connections per upstream are more than the workers (2 here) can have, 16 each, which is used; queries share a connection now`},
		{"no limit", "[upstreams]\ndns = [\"192.0.2.1\"]\n[rate_limit]\nmax_in_flight = 0\n", `f.toml:4: rate_limit.max_in_flight: warning: stands for no limit but what workers.in_flight is anyway: 16384 queries for each worker`},
		{"a name outside of hosts", "[upstreams]\ndot = [\"tls://a.example\", \"tls://b.example\"]\n[hosts]\n\"a.example\" = \"192.0.2.1\"\n", `f.toml: bootstrap.servers: warning: [1.1.1.1 1.0.0.1], the original's default, are asked first where "b.example" is; the original asked the upstream "a.example", which [hosts] knows: put all names there if nothing may be asked in plain`},
		{"a default that differs", "[upstreams]\ndns = [\"192.0.2.1\"]\n", `f.toml: timeouts.upstream: warning: 5s, the original's default, is for all of a query, as it was there; one upstream now has 1s of it, then another is asked`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checked, problems := checkText(tt.text)
			if checked == nil {
				t.Fatal(problems)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if !slices.Contains(got, tt.want) {
				t.Errorf("got:\n%s\nwant among it:\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

// TestMigrateOurs: there is nothing to do for a file that has the new form already, and it is not printed as if there were.
func TestMigrateOurs(t *testing.T) {
	f, _ := Parse("f.toml", []byte(good))
	text, problems := migrateOn(f, testMachine)
	if want := "f.toml: has no key that only the original secure-dns-proxy had: nothing to migrate"; text != nil || problems.Error() != want {
		t.Errorf("got %q and %v, want %s", text, problems, want)
	}
}

// TestAdoptOfTheOriginal: a reload names what it cannot change as the file does.
func TestAdoptOfTheOriginal(t *testing.T) {
	current, _ := checkText("port = 5300\n[upstreams]\ndns = [\"192.0.2.1\"]\n")
	next, problems := checkText("[upstreams]\ndns = [\"192.0.2.2\"]\n[rate_limit]\nmax_in_flight = 400000\n")
	if next == nil {
		t.Fatal(problems)
	}
	merged, held := next.Adopt(current)
	want := "f.toml: port: warning: changing this takes a restart; the running value is kept\n" +
		"f.toml:4: rate_limit.max_in_flight: warning: changing this takes a restart; the running value is kept\n"
	got := ""
	for _, p := range held {
		got += p.String() + "\n"
	}
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if merged.Upstreams[0].URL != "udp://192.0.2.2" || merged.Listen[0].Port() != 5300 {
		t.Errorf("got %s and %v", merged.Upstreams[0].URL, merged.Listen)
	}
}

// FuzzOriginal: no text makes the reader panic, every error has a line, and what is accepted migrates to the same.
func FuzzOriginal(f *testing.F) {
	every, err := os.ReadFile(originalFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(every))
	for _, text := range originalTexts {
		f.Add(text)
	}
	for _, text := range []string{"{", "{\"a\": null}", "// x", "/*", "{\"port\": 1e999}", "{\"upstreams\": {\"dns\": {}}}", "[[upstreams]]\nurl = 1", "{\"a\\u0000\": [[[]]]}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !isJSON([]byte(text)) && !decodes(text, &map[string]any{}) {
			return
		}
		file, problems := Parse("f", []byte(text))
		if file != nil {
			var checked *Checked
			checked, problems = checkOn(file, testMachine)
			if checked != nil && len(file.forms().original) > 0 {
				compareMigrated(t, file, testMachine)
			}
		}
		for _, p := range problems {
			missing := strings.Contains(p.Text, "missing") || strings.Contains(p.Text, "brackets")
			if !p.Warning && p.Line == 0 && !missing {
				t.Errorf("%q: no line: %v", text, p)
			}
			if last := strings.Count(text, "\n") + 2; p.Line > last { // hujson's own line end is one more
				t.Errorf("%q: line %d of %d: %v", text, p.Line, last, p)
			}
		}
	})
}
