package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/tier"
	"secure-dns-proxy/transport/trust"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/local"
	rules "secure-dns-proxy/worker/policy"
	policy "secure-dns-proxy/worker/rpz"
	"secure-dns-proxy/worker/subnet"
)

// testCA writes a self-signed certificate and returns its file and the pool that reading it must give.
func testCA(t *testing.T) (string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return file, pool
}

// testPair writes a self-signed certificate and its key into one file.
func testPair(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pair.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// changed is the default health with a change.
func changed(change func(h *Health)) Health {
	h := Health{
		Config: health.Config{
			Failures: 3, Successes: 2, Window: 10 * time.Second, Samples: 20, Budget: 20, SlowPercent: 50,
			RestMin: 100 * time.Millisecond, RestMax: time.Second, SlowStart: 10 * time.Second, Mode: health.Lazy, Interval: 10 * time.Second,
		},
		Timeout: time.Second, Jitter: 10, Type: 2, RCodes: []int{0, 3},
	}
	change(&h)
	return h
}

// TestEveryKeyHasItsEffect writes every known key with a value that is not its default and looks at the Checked.
func TestEveryKeyHasItsEffect(t *testing.T) {
	caFile, pool := testCA(t)
	pairFile := testPair(t)
	client := "client_cert_file = \"" + pairFile + "\"\nclient_key_file = \"" + pairFile + "\""
	pin, echList := trust.Pin{1, 2, 3}, lanetest.ECHList(lanetest.ECHKey(t, 1, "public.example"))
	passwordFile := passwordIn(t, "from a file\n")
	const oneTLS = "[[upstream]]\nurl = \"tls://192.0.2.1\"\n"
	root, err := lookUpUser("root") // its groups differ between distributions
	if err != nil {
		t.Fatal(err)
	}
	asUpstreams, problems := checkText(`upstream = ["udp://192.0.2.9:53", "udp://[2001:db8::9]:5353", "tls://192.0.2.10"]`)
	if asUpstreams == nil {
		t.Fatal(problems)
	}
	for i := range asUpstreams.Upstreams {
		asUpstreams.Upstreams[i].Health = Health{} // nobody judges a bootstrap server
	}
	five := 5 * time.Second
	ms, second, minute, hour := time.Millisecond, time.Second, time.Minute, time.Hour
	tests := []struct {
		key, text string // text has a complete file when it sets upstream, else good is put before it
		want      any
	}{
		{"control.owner", `control.owner = "root"`, &Account{"root", 0}},
		{"control.group", `control.group = "12"`, &Account{"12", 12}},
		{"control.mode", `control.mode = "0600"`, os.FileMode(0o600)},
		{"control.read_users", `control.read_users = "root"`, []Account{{"root", 0}}},
		{"control.read_groups", `control.read_groups = ["root", "7"]`, []Account{{"root", 0}, {"7", 7}}},
		{"control.write_users", `control.write_users = ["1000"]`, []Account{{"1000", 1000}}},
		{"control.write_groups", `control.write_groups = "root"`, []Account{{"root", 0}}},
		{"control.socket", `control.socket = "/run/x/../y.sock"`, "/run/y.sock"},
		{"listen", `listen = ["0.0.0.0:5300", "[2001:db8::1]:53"]`, []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:5300"), netip.MustParseAddrPort("[2001:db8::1]:53")}},
		{"upstream", good, []Upstream{{URL: "udp://192.0.2.1", Scheme: "udp", Host: "192.0.2.1", Port: 53, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Connections: 1, Pools: []string{"default"}, Weight: 1, DDR: "off", Method: "auto", HTTP3: "off", Health: changed(func(*Health) {})}}},
		{"upstream_policy", `upstream_policy = "sequential"`, balance.Sequential},
		{"upstream_race_fanout", "upstream_policy = \"race\"\nupstream_race_fanout = 0", 0},
		{"caps.udp.max_outstanding", `caps.udp.max_outstanding = 1`, 1},
		{"caps.tcp.max_outstanding", `caps.tcp.max_outstanding = 2`, 2},
		{"caps.tls.max_outstanding", `caps.tls.max_outstanding = 3`, 3},
		{"caps.quic.max_outstanding", `caps.quic.max_outstanding = 4`, 4},
		{"caps.https.max_outstanding", `caps.https.max_outstanding = 5`, 5},
		{"caps.tcp.max_connections", `caps.tcp.max_connections = 2`, 2},
		{"caps.tls.max_connections", `caps.tls.max_connections = 3`, 3},
		{"caps.quic.max_connections", `caps.quic.max_connections = 4`, 4},
		{"caps.https.max_connections", `caps.https.max_connections = 5`, 5},
		{"pool", `pool.default.retry_budget = 7`, []Pool{{
			Name: "default", Fanout: 2, HedgeBudget: 5, RetryBudget: 7, HashLoad: 125, Cache: true, Adaptive: true, StaleAfter: 1800 * ms,
		}}},
		{"pool.NAME.policy", `pool.default.policy = "ewma"`, balance.EWMA},
		{"pool.NAME.race_fanout", `pool.default = {policy = "race", race_fanout = 3}`, 3},
		{"pool.NAME.hedge_budget", `pool.default = {policy = "hedged", hedge_budget = 1}`, 1},
		{"pool.NAME.retry_budget", `pool.default.retry_budget = 0`, 0},
		{"pool.NAME.hash_load", `pool.default = {policy = "hash", hash_load = 200}`, 200},
		{"pool.NAME.suffixes", "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"default\", \"a\"]\n[pool.a]\nsuffixes = [\"Corp.Example\"]", []string{"corp.example."}},
		{"pool.NAME.stale_after", "[pool.default]\nwhen_down = \"stale\"\nstale_after = \"500ms\"", 500 * ms},
		{"pool.NAME.never_stale", "[pool.default]\nwhen_down = \"stale\"\nnever_stale = \"Bank.example\"", []string{"bank.example."}},
		{"pool.NAME.cache", `pool.default.cache = false`, false},
		{"pool.NAME.cache_min_ttl", `pool.default.cache_min_ttl = "5s"`, &five},
		{"pool.NAME.cache_max_ttl", `pool.default.cache_max_ttl = "5s"`, &five},
		{"pool.NAME.cache_min_negative_ttl", `pool.default.cache_min_negative_ttl = "5s"`, &five},
		{"pool.NAME.cache_max_negative_ttl", `pool.default.cache_max_negative_ttl = "5s"`, &five},
		{"cache.persist", `cache.persist = "/var/lib/x//cache"`, "/var/lib/x/cache"},
		{"cache.persist_interval", `cache.persist_interval = "1h"`, hour},
		{"cache.never", `cache.never = ["Dyn.example", "."]`, []string{"dyn.example.", "."}},
		{"pool.NAME.client_subnet", `pool.default.client_subnet = "pass"`, new(subnet.Pass)},
		{"pool.NAME.client_subnet_ipv4", `pool.default.client_subnet_ipv4 = 20`, new(20)},
		{"pool.NAME.client_subnet_ipv6", `pool.default.client_subnet_ipv6 = 48`, new(48)},
		{"pool.NAME.client_subnet_private", `pool.default.client_subnet_private = true`, new(true)},
		{"pool.NAME.when_down", `pool.default.when_down = "stale"`, worker.Stale},
		{"pool.NAME.max_outstanding", `pool.default.max_outstanding = 9`, 9},
		{"pool.NAME.cache_size", "workers.count = 2\npool.default.cache_size = \"6MiB\"", int64(6 << 20)},
		{"pool.NAME.max_rate", `pool.default.max_rate = 10`, 10},
		{"pool.NAME.max_connections", `pool.default.max_connections = 9`, 9},
		{"pool.NAME.adaptive_limit", `pool.default.adaptive_limit = false`, false},
		{"prewarm_pools", `prewarm_pools = false`, false},
		{"user", `user = "root"`, root},
		{"backend", `backend = "mmsg"`, "mmsg"},
		{"workers.count", `workers.count = 3`, 3},
		{"workers.cpus", `workers.cpus = [3, 0]`, []int{3, 0}},
		{"workers.steering", `workers.steering = "hash"`, "hash"},
		{"workers.busy_poll", `workers.busy_poll = "50us"`, 50 * time.Microsecond},
		{"workers.in_flight", `workers.in_flight = 100`, 100},
		{"workers.waiters", `workers.waiters = 20000`, 20000},
		{"cache.enabled", `cache.enabled = false`, false},
		{"cache.bytes", `cache.bytes = "2GiB"`, int64(2 << 30)},
		{"cache.shared_percent", `cache.shared_percent = 50`, 50},
		{"inspect.kind", "inspect.kind = \"go\"\ninspect.name = \"x\"", InspectGo},
		{"inspect.module", `inspect.module = "../wasm/example/tunnels.wasm"`, "../wasm/example/tunnels.wasm"},
		{"inspect.memory_max", `inspect.memory_max = "1MiB"`, 1 << 20},
		{"inspect.compiled", `inspect.compiled = true`, true},
		{"inspect.name", `inspect.name = "x"`, "x"},
		{"inspect.budget", `inspect.budget = "2500us"`, 2500 * time.Microsecond},
		{"inspect.on_failure", `inspect.on_failure = "refuse"`, InspectRefuse},
		{"inspect.points", `inspect.points = ["query", "response"]`, []string{"query", "response"}},
		{"inspect.query_budget", `inspect.query_budget = "2500us"`, 2500 * time.Microsecond},
		{"inspect.query_on_failure", `inspect.query_on_failure = "refuse"`, InspectRefuse},
		{"inspect.response_budget", `inspect.response_budget = "2500us"`, 2500 * time.Microsecond},
		{"inspect.response_on_failure", `inspect.response_on_failure = "refuse"`, InspectRefuse},
		{"inspect.tags", `inspect.tags = ["a", "b"]`, []string{"a", "b"}},
		{"inspect.kept_verdicts", `inspect.kept_verdicts = 64`, 64},
		{"cache.remote.kind", "cache.remote.kind = \"memcached\"\ncache.remote.addresses = \"192.0.2.1:11211\"", RemoteMemcached},
		{"cache.remote.addresses", `cache.remote.addresses = ["192.0.2.1:1", "[2001:db8::1]:2"]`, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:2")}},
		{"cache.remote.mode", `cache.remote.mode = "sentinel"`, tier.Sentinel},
		{"cache.remote.master_name", `cache.remote.master_name = "x"`, "x"},
		{"cache.remote.username", `cache.remote.username = "x"`, "x"},
		{"cache.remote.password", `cache.remote.password = "x"`, Secret("x")},
		{"cache.remote.password_file", "cache.remote.password_file = \"" + passwordFile + "\"", Secret("from a file")},
		{"cache.remote.sentinel_username", `cache.remote.sentinel_username = "x"`, "x"},
		{"cache.remote.sentinel_password", `cache.remote.sentinel_password = "x"`, Secret("x")},
		{"cache.remote.sentinel_password_file", "cache.remote.sentinel_password_file = \"" + passwordFile + "\"", Secret("from a file")},
		{"cache.remote.db", `cache.remote.db = 3`, 3},
		{"cache.remote.tls", `cache.remote.tls = true`, true},
		{"cache.remote.ca_file", `cache.remote.ca_file = "` + caFile + `"`, pool},
		{"cache.remote.tls_name", `cache.remote.tls_name = "x"`, "x"},
		{"cache.remote.client_cert_file", `cache.remote.client_cert_file = "x"`, "x"},
		{"cache.remote.client_key_file", `cache.remote.client_key_file = "x"`, "x"},
		{"cache.remote.prefix", `cache.remote.prefix = ""`, ""},
		{"cache.remote.budget", `cache.remote.budget = "2500us"`, 2500 * time.Microsecond},
		{"cache.remote.timeout", `cache.remote.timeout = "100ms"`, 100 * ms},
		{"cache.remote.max_value", `cache.remote.max_value = "8KiB"`, 8 << 10},
		{"cache.remote.write_queue", `cache.remote.write_queue = "64KiB"`, 64 << 10},
		{"cache.remote.breaker_percent", `cache.remote.breaker_percent = 10`, 10},
		{"cache.remote.breaker_rest", `cache.remote.breaker_rest = "200ms"`, 200 * ms},
		{"cache.remote.breaker_max_rest", `cache.remote.breaker_max_rest = "5s"`, 5 * second},
		{"cache.min_ttl", `cache.min_ttl = "5s"`, 5 * second},
		{"cache.max_ttl", `cache.max_ttl = "1h"`, hour},
		{"cache.min_negative_ttl", `cache.min_negative_ttl = "5s"`, 5 * second},
		{"cache.prefetch", `cache.prefetch = 20`, 20},
		{"cache.prefetch_rate", `cache.prefetch_rate = 5`, 5},
		{"cache.failure_ttl", `cache.failure_ttl = "5s"`, 5 * second},
		{"cache.max_failure_ttl", `cache.max_failure_ttl = "1m"`, minute},
		{"cache.max_negative_ttl", `cache.max_negative_ttl = "1m"`, minute},
		{"cache.max_stale", `cache.max_stale = "1h"`, hour},
		{"cache.nxdomain_cut", `cache.nxdomain_cut = true`, true},
		{"local.localhost", `local.localhost = "forward"`, false},
		{"local.nonexistent", `local.nonexistent = ["Local", "corp.example."]`, []string{"local.", "corp.example."}},
		{"local.private_reverse", `local.private_reverse = "forward"`, false},
		{"local.resolver_arpa", `local.resolver_arpa = "forward"`, false},
		{"local.application_dns", `local.application_dns = "nxdomain"`, true},
		{"local.any", `local.any = "refused"`, local.AnyRefused},
		{"local.version", `local.version = "none of your business"`, "none of your business"},
		{"local.id", `local.id = "proxy-1"`, "proxy-1"},
		{"dns64.prefix", `dns64.prefix = "64:ff9b::/96"`, netip.MustParsePrefix("64:ff9b::/96")},
		{"dns64.exclude", `dns64.exclude = ["fd00::/8"]`, []netip.Prefix{netip.MustParsePrefix("fd00::/8")}},
		{"rebinding.action", `rebinding.action = "nodata"`, RebindingNoData},
		{"rebinding.addresses", `rebinding.addresses = ["192.0.2.0/24"]`, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{"rebinding.allowed", `rebinding.allowed = "Corp.Example"`, []string{"corp.example."}},
		{"requests.loop_interval", `requests.loop_interval = "1h"`, hour},
		{"requests.notify", `requests.notify = "refused"`, worker.Course{Treatment: worker.Refused}},
		{"requests.update", `requests.update = "refused"`, worker.Course{Treatment: worker.Refused}},
		{"requests.opcodes", `requests.opcodes = "refused"`, worker.Course{Treatment: worker.Refused}},
		{"requests.transfers", `requests.transfers = "refused"`, worker.Course{Treatment: worker.Refused}},
		{"requests.signed", `requests.signed = "pool:default"`, worker.Course{Treatment: worker.Forwarded, Pool: "default"}},
		{"requests.classes", `requests.classes = "forward"`, worker.Forwarded},
		{"timeouts.query", `timeouts.query = "4s"`, 4 * second},
		{"timeouts.upstream", `timeouts.upstream = "700ms"`, 700 * ms},
		{"timeouts.dial", `timeouts.dial = "300ms"`, 300 * ms},
		{"timeouts.idle", `timeouts.idle = "5m"`, 5 * minute},
		{"timeouts.dead", `timeouts.dead = "900ms"`, 900 * ms},
		{"timeouts.drain", `timeouts.drain = "1s"`, second},
		{"connection.padding", `connection.padding = 0`, 0},
		{"connection.max_queries", `connection.max_queries = 100`, 100},
		{"connection.max_age", `connection.max_age = "0s"`, time.Duration(0)},
		{"connection.edns_keepalive", `connection.edns_keepalive = false`, false},
		{"connection.fast_open", `connection.fast_open = true`, true},
		{"quic.versions", `quic.versions = ["2", "1"]`, []transport.QUICVersion{transport.QUICv2, transport.QUICv1}},
		{"quic.early_data", `quic.early_data = true`, true},
		{"quic.max_streams", `quic.max_streams = 100`, 100},
		{"quic.keep_alive", `quic.keep_alive = "0s"`, time.Duration(0)},
		{"quic.max_idle", `quic.max_idle = "1m"`, time.Minute},
		{"quic.stream_window", `quic.stream_window = "1MiB"`, 1 << 20},
		{"quic.connection_window", `quic.connection_window = "32MiB"`, 32 << 20},
		{"tcp.idle_timeout", `tcp.idle_timeout = "1m"`, minute},
		{"tcp.max_connections", `tcp.max_connections = 300`, 300},
		{"tcp.max_connections_per_client", `tcp.max_connections_per_client = 7`, 7},
		{"tcp.max_in_flight", `tcp.max_in_flight = 8`, 8},
		{"udp.payload_max", `udp.payload_max = 4096`, uint16(4096)},
		{"udp.receive_buffer", `udp.receive_buffer = 65536`, 65536},
		{"admission.enabled", `admission.enabled = false`, false},
		{"admission.target_delay", `admission.target_delay = "10ms"`, 10 * ms},
		{"admission.exempt", `admission.exempt = ["192.0.2.1", "2001:db8::/32"]`, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}},
		{"admission.kernel_filter", `admission.kernel_filter = false`, false},
		{"rpz.notify_listen", `rpz.notify_listen = "127.0.0.1:5300"`, netip.MustParseAddrPort("127.0.0.1:5300")},
		{"rpz.directory", `rpz.directory = "/tmp"`, "/tmp"},
		{"rpz.log_rate", `rpz.log_rate = 3`, 3},
		{"rpz.zone", policyZone(""), []rpz.Zone{{
			Name: "rpz.example.", Primaries: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, Key: rpz.Key{Algorithm: dns.HmacSHA256},
			MinRefresh: 10 * time.Second, MaxRefresh: 24 * time.Hour,
		}}},
		{"rpz.zone[].name", policyZone(""), "rpz.example."},
		{"rpz.zone[].file", "[[rpz.zone]]\nname = \"a\"\nfile = \"/x\"", "/x"},
		{"rpz.zone[].primaries", policyZone(""), []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}},
		{"rpz.zone[].tsig_name", policyZone("tsig_name = \"Key.\"\ntsig_secret = \"c2VjcmV0\""), "key."},
		{"rpz.zone[].tsig_algorithm", policyZone(`tsig_algorithm = "hmac-sha512"`), dns.HmacSHA512},
		{"rpz.zone[].tsig_secret", policyZone("tsig_name = \"key\"\ntsig_secret = \"c2VjcmV0\""), "c2VjcmV0"},
		{"rpz.zone[].tsig_secret_file", policyZone("tsig_name = \"key\"\ntsig_secret_file = \"testdata/tsig.secret\""), "c2VjcmV0"},
		{"rpz.zone[].policy", policyZone(`policy = "nodata"`), policy.OverrideNoData},
		{"rpz.zone[].policy_cname", policyZone("policy = \"cname\"\npolicy_cname = \"*.Garden.example\""), "*.garden.example."},
		{"rpz.zone[].break_dnssec", policyZone(`break_dnssec = false`), true},
		{"rpz.zone[].log", policyZone(`log = true`), true},
		{"rpz.zone[].min_refresh", policyZone(`min_refresh = "1m"`), time.Minute},
		{"rpz.zone[].max_refresh", policyZone(`max_refresh = "1h"`), time.Hour},
		{"admission.shed_misses", `admission.shed_misses = false`, false},
		{"admission.shed", `admission.shed = "refuse"`, admission.ShedRefuse},
		{"blocks.ipv4_prefix", `blocks.ipv4_prefix = 24`, 24},
		{"blocks.ipv6_prefix", `blocks.ipv6_prefix = 56`, 56},
		{"blocks.exempt", `blocks.exempt = "192.0.2.1"`, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}},
		{"blocks.exempt_names", `blocks.exempt_names = "Mail.example"`, []string{"mail.example."}},
		{"blocks.kernel_interfaces", `blocks.kernel_interfaces = "eth0"`, []string{"eth0"}},
		{"blocks.rule", "[[blocks.rule]]\nname = \"a\"\nthreshold = 5", []blocks.Rule{{
			Name: "a", Type: dns.TypeANY, Window: 10 * time.Second, Threshold: 5, Least: 20, Failed: 50, Duration: time.Minute,
		}}},
		{"blocks.rule[].name", blockRule(""), "a"},
		{"blocks.rule[].of", blockRule(`of = "name"`), true},
		{"blocks.rule[].watch", blockRule(`watch = "byte_rate"`), blocks.ByteRate},
		{"blocks.rule[].rcode", blockRule("watch = \"rcode_rate\"\nrcode = \"SERVFAIL\""), census.ServFail},
		{"blocks.rule[].qtype", blockRule("watch = \"qtype_rate\"\nqtype = \"txt\""), dns.TypeTXT},
		{"blocks.rule[].window", blockRule(`window = "5s"`), 5 * time.Second},
		{"blocks.rule[].threshold", blockRule(""), 5.0},
		{"blocks.rule[].warn", blockRule(`warn = 2`), 2.0},
		{"blocks.rule[].least", blockRule("watch = \"miss_ratio\"\nleast = 7"), 7.0},
		{"blocks.rule[].failed", blockRule("of = \"name\"\nwatch = \"random_names\"\nfailed = 7"), 7.0},
		{"blocks.rule[].action", blockRule(`action = "refuse"`), block.Refuse},
		{"blocks.rule[].rate", blockRule("action = \"limit\"\nrate = 9"), 9},
		{"blocks.rule[].duration", blockRule(`duration = "2m"`), 2 * time.Minute},
		{"view", "[view.guests]\nclients = \"10.1.0.0/16\"\ncache = false", []worker.View{{View: rules.View{Name: "guests", Clients: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Pool: -1, NoCache: true}}}},
		{"set.NAME.file", "[set.blocked]\nfile = \"testdata/blocked.txt\"", "testdata/blocked.txt"},
		{"set.NAME.kind", "[set.blocked]\nfile = \"testdata/blocked.txt\"\nkind = \"suffixes\"\n[set.exact]\nfile = \"testdata/exact.txt\"\nkind = \"names\"", rules.SetNames},
		{"rule", "[[rule]]\nname = \"a\"\naction.type = \"drop\"", []rules.Rule{{Name: "a", Match: rules.Everything(), Action: rules.Action{Do: rules.Drop, Extended: wire.EDENone, Pool: 0}}}},
		{"acl.allow", `acl.allow = ["192.0.2.1", "2001:db8::/32"]`, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32")}},
		{"acl.deny", `acl.deny = "10.1.0.0/16"`, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{"acl.action", `acl.action = "drop"`, true},
		{"acl.open_resolver", `acl.open_resolver = true`, true},
		{"acl.listener", "[[acl.listener]]\nlisten = \"[::1]:53\"\nallow = \"::1\"", []ListenerACL{{Listen: netip.MustParseAddrPort("[::1]:53"), Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}}}},
		{"acl.listener[].listen", "[[acl.listener]]\nlisten = \"[::1]:53\"", netip.MustParseAddrPort("[::1]:53")},
		{"acl.listener[].allow", "[[acl.listener]]\nlisten = \"[::1]:53\"\nallow = \"::1\"", []netip.Prefix{netip.MustParsePrefix("::1/128")}},
		{"acl.listener[].deny", "[[acl.listener]]\nlisten = \"[::1]:53\"\ndeny = \"::1\"", []netip.Prefix{netip.MustParsePrefix("::1/128")}},
		{"edns.cookies", `edns.cookies = false`, false},
		{"edns.cookie_secrets", `edns.cookie_secrets = ["000102030405060708090A0B0C0D0E0F", "ffffffffffffffffffffffffffffffff"]`, testSecrets()},
		{"edns.cookie_secret_file", `edns.cookie_secret_file = "` + secretFile(t) + `"`, testSecrets()},
		{"edns.nsid", `edns.nsid = "proxy-1"`, "proxy-1"},
		{"limits.ipv4_32_rate", `limits.ipv4_32_rate = 1000`, 1000},
		{"limits.ipv4_32_burst", "limits.ipv4_32_rate = 10\nlimits.ipv4_32_burst = 99", 99},
		{"limits.ipv4_24_rate", `limits.ipv4_24_rate = 1000`, 1000},
		{"limits.ipv4_24_burst", "limits.ipv4_24_rate = 10\nlimits.ipv4_24_burst = 99", 99},
		{"limits.ipv6_128_rate", `limits.ipv6_128_rate = 1000`, 1000},
		{"limits.ipv6_128_burst", "limits.ipv6_128_rate = 10\nlimits.ipv6_128_burst = 99", 99},
		{"limits.ipv6_64_rate", `limits.ipv6_64_rate = 1000`, 1000},
		{"limits.ipv6_64_burst", "limits.ipv6_64_rate = 10\nlimits.ipv6_64_burst = 99", 99},
		{"limits.ipv6_56_rate", `limits.ipv6_56_rate = 1000`, 1000},
		{"limits.ipv6_56_burst", "limits.ipv6_56_rate = 10\nlimits.ipv6_56_burst = 99", 99},
		{"limits.cookie_rate", `limits.cookie_rate = 1000`, 1000},
		{"limits.cookie_burst", "limits.cookie_rate = 10\nlimits.cookie_burst = 99", 99},
		{"limits.tcp_rate", `limits.tcp_rate = 1000`, 1000},
		{"limits.tcp_burst", "limits.tcp_rate = 10\nlimits.tcp_burst = 99", 99},
		{"limits.action", `limits.action = "refuse"`, limit.Refuse},
		{"limits.slip", `limits.slip = 5`, 5},
		{"limits.cookie_required_over", `limits.cookie_required_over = true`, true},
		{"limits.exempt", `limits.exempt = "10.1.0.0/16"`, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{"limits.rrl.answers", `limits.rrl.answers = 10`, 10},
		{"limits.rrl.nxdomains", `limits.rrl.nxdomains = 10`, 10},
		{"limits.rrl.errors", `limits.rrl.errors = 10`, 10},
		{"limits.rrl.window", `limits.rrl.window = "5s"`, 5 * second},
		{"limits.rrl.slip", `limits.rrl.slip = 0`, 0},
		{"limits.rrl.ipv4_prefix", `limits.rrl.ipv4_prefix = 28`, 28},
		{"limits.rrl.ipv6_prefix", `limits.rrl.ipv6_prefix = 48`, 48},
		{"edns.client_subnet", `edns.client_subnet = "add"`, subnet.Add},
		{"edns.client_subnet_ipv4", `edns.client_subnet_ipv4 = 20`, 20},
		{"edns.client_subnet_ipv6", `edns.client_subnet_ipv6 = 48`, 48},
		{"edns.client_subnet_private", `edns.client_subnet_private = true`, true},
		{"edns.pass_options", `edns.pass_options = [65001, 4]`, []uint16{65001, 4}},
		{"edns.pass_errors", `edns.pass_errors = false`, false},
		{"tls.ca_file", `tls.ca_file = "` + caFile + `"`, pool},
		{"tls.min_version", `tls.min_version = "1.3"`, uint16(tls.VersionTLS13)},
		{"tls.max_version", `tls.max_version = "1.2"`, uint16(tls.VersionTLS12)},
		{"tls.cipher_suites", `tls.cipher_suites = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]`, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}},
		{"tls.groups", `tls.groups = ["secp256r1", "SecP256r1MLKEM768"]`, []tls.CurveID{tls.CurveP256, tls.SecP256r1MLKEM768}},
		{"tls.ech", `tls.ech = "require"`, ECHRequire},
		{"tls.key_log_file", `tls.key_log_file = "/run/keys"`, "/run/keys"},
		{"tls.expiry_warning", `tls.expiry_warning = "24h"`, 24 * hour},
		{"addresses.first_family", `addresses.first_family = "ipv4"`, true},
		{"addresses.attempt_delay", `addresses.attempt_delay = "1s"`, second},
		{"bootstrap.servers", `bootstrap.servers = ["192.0.2.9", "[2001:db8::9]:5353", "tls://192.0.2.10"]`, asUpstreams.Upstreams},
		{"bootstrap.through_upstreams", `bootstrap.through_upstreams = false`, false},
		{"bootstrap.timeout", `bootstrap.timeout = "1s"`, second},
		{"bootstrap.refresh_threshold", `bootstrap.refresh_threshold = "1s"`, second},
		{"bootstrap.min_ttl", `bootstrap.min_ttl = "1s"`, second},
		{"bootstrap.failure_retry", `bootstrap.failure_retry = "1s"`, second},
		{"bootstrap.jitter_percent", `bootstrap.jitter_percent = 0`, 0},
		{"hosts", `hosts."Dns.Example." = "192.0.2.7"`, map[string][]netip.Addr{"dns.example": {netip.MustParseAddr("192.0.2.7")}}},
		{"logging.level", `logging.level = "debug"`, slog.LevelDebug},
		{"logging.format", `logging.format = "json"`, "json"},
		{"metrics.listen", `metrics.listen = ""`, netip.AddrPort{}},
		{"blocks.persist", `blocks.persist = "/var/lib/x/../y"`, "/var/lib/y"},
		{"metrics.allow", `metrics.allow = "127.0.0.9"`, []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}},
		{"metrics.allow_remote", `metrics.allow_remote = true`, true},
		{"health.mode", `health.mode = "active"`, health.Active},
		{"health.interval", `health.interval = "5s"`, 5 * second},
		{"health.timeout", `health.timeout = "300ms"`, 300 * ms},
		{"health.jitter_percent", `health.jitter_percent = 20`, 20},
		{"health.name", `health.name = "*.Probe.Example."`, "*.probe.example"},
		{"health.type", `health.type = "aaaa"`, uint16(28)},
		{"health.rcodes", `health.rcodes = ["noerror", "REFUSED"]`, []int{0, 5}},
		{"health.failures", `health.failures = 5`, 5},
		{"health.successes", `health.successes = 4`, 4},
		{"health.window", `health.window = "1m"`, minute},
		{"health.samples", `health.samples = 100`, 100},
		{"health.failure_budget", `health.failure_budget = 0`, 0},
		{"health.latency_max", `health.latency_max = "200ms"`, 200 * ms},
		{"health.latency_budget", `health.latency_budget = 10`, 10},
		{"health.rest_min", `health.rest_min = "1s"`, second},
		{"health.rest_max", `health.rest_max = "1m"`, minute},
		{"health.slow_start", `health.slow_start = "0s"`, time.Duration(0)},
		{"upstream[].health", "health = {jitter_percent = 30, mode = \"passive\"}\n[[upstream]]\nurl = \"udp://192.0.2.1\"\nhealth = { mode = \"active\" }", changed(func(h *Health) { h.Mode, h.Jitter = health.Active, 30 })},
		{"upstream[].state", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nstate = \"drain\"", health.Drain},
		{"upstream[].url", "[[upstream]]\nurl = \"tcp://192.0.2.1\"", "tcp://192.0.2.1"},
		{"upstream[].tls_name", "[[upstream]]\nurl = \"tls://192.0.2.1\"\ntls_name = \"dns.example\"", "dns.example"},
		{"upstream[].ca_file", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nca_file = \"" + caFile + "\"", pool},
		{"upstream[].insecure_tls", "[[upstream]]\nurl = \"tls://192.0.2.1\"\ninsecure_tls = true", true},
		{"upstream[].addresses", "[[upstream]]\nurl = \"tls://dns.example\"\naddresses = \"192.0.2.8\"", []netip.Addr{netip.MustParseAddr("192.0.2.8")}},
		{"upstream[].method", "[[upstream]]\nurl = \"https://192.0.2.1\"\nmethod = \"get\"", "get"},
		{"upstream[].http3", "[[upstream]]\nurl = \"https://192.0.2.1\"\nhttp3 = \"probe\"", "probe"},
		{"upstream[].ddr", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nddr = \"require\"", "require"},
		{"upstream[].ddr_opportunistic", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nddr = \"upgrade\"\nddr_opportunistic = true", true},
		{"upstream[].ddr_downgrade", "[[upstream]]\nurl = \"tcp://192.0.2.1\"\nddr = \"upgrade\"\nddr_downgrade = true", true},
		{"upstream[].connections", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nconnections = 4", 4},
		{"upstream[].dial_timeout", "[[upstream]]\nurl = \"tls://192.0.2.1\"\ndial_timeout = \"7s\"", new(7 * second)},
		{"upstream[].idle_timeout", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nidle_timeout = \"7s\"", new(7 * second)},
		{"upstream[].sni", oneTLS + `sni = "front.example"`, "front.example"},
		{"upstream[].pins", oneTLS + `pins = ["sha256/` + pin.String() + `"]`, []trust.Pin{pin}},
		{"upstream[].pin_only", oneTLS + "pin_only = true\npins = \"" + pin.String() + "\"", true},
		{"upstream[].client_cert_file", oneTLS + client, pairFile},
		{"upstream[].client_key_file", oneTLS + client, pairFile},
		{"upstream[].tls_min_version", oneTLS + `tls_min_version = "1.3"`, new(uint16(tls.VersionTLS13))},
		{"upstream[].tls_max_version", oneTLS + `tls_max_version = "1.2"`, new(uint16(tls.VersionTLS12))},
		{"upstream[].cipher_suites", oneTLS + `cipher_suites = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"`, &[]uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}},
		{"upstream[].groups", oneTLS + `groups = ["x25519"]`, &[]tls.CurveID{tls.X25519}},
		{"upstream[].ech", oneTLS + `ech = "auto"`, new(ECHAuto)},
		{"upstream[].ech_config", oneTLS + "ech = \"require\"\nech_config = \"" + base64.StdEncoding.EncodeToString(echList) + `"`, echList},
		{"upstream[].pools", "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"default\", \"a\"]\n[pool.a]\nsuffixes = [\".\"]", []string{"default", "a"}},
		{"upstream[].weight", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nweight = 10", 10},
		{"upstream[].max_outstanding", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nmax_outstanding = 10", 10},
		{"upstream[].padding", "[[upstream]]\nurl = \"tls://192.0.2.1\"\npadding = 64", new(64)},
		{"upstream[].max_queries", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nmax_queries = 5", new(5)},
		{"upstream[].max_age", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nmax_age = \"1m\"", new(minute)},
		{"upstream[].edns_keepalive", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nedns_keepalive = false", new(false)},
		{"upstream[].fast_open", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nfast_open = true", new(true)},
		{"upstream[].quic_versions", "[[upstream]]\nurl = \"quic://192.0.2.1\"\nquic_versions = \"2\"", &[]transport.QUICVersion{transport.QUICv2}},
		{"upstream[].quic_early_data", "[[upstream]]\nurl = \"quic://192.0.2.1\"\nquic_early_data = true", new(true)},
		{"upstream[].quic_max_streams", "[[upstream]]\nurl = \"quic://192.0.2.1\"\nquic_max_streams = 1", new(1)},
		{"upstream[].quic_keep_alive", "[[upstream]]\nurl = \"h3://192.0.2.1\"\nquic_keep_alive = \"5s\"", new(5 * time.Second)},
	}
	plain, problems := checkText(good)
	if plain == nil {
		t.Fatal(problems)
	}
	tested := map[string]bool{}
	for _, tt := range tests {
		tested[tt.key] = true
		t.Run(tt.key, func(t *testing.T) {
			text := tt.text
			if !strings.Contains(text, "upstream]") && !strings.HasPrefix(text, "upstream =") {
				text = good + text
			}
			checked, problems := checkText(text)
			if checked == nil {
				t.Fatal(problems)
			}
			got, standard := fieldOf(t, checked, tt.key), fieldOf(t, plain, tt.key)
			if want, isPool := tt.want.(*x509.CertPool); isPool {
				if !want.Equal(got.(*x509.CertPool)) || standard.(*x509.CertPool) != nil {
					t.Error("the pool is not the file's")
				}
				return
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if tt.key != "upstream" && reflect.DeepEqual(got, standard) {
				t.Errorf("%v is the default: the test shows nothing", got)
			}
		})
	}
	for _, k := range viewKeys {
		tested["view.NAME."+k.name] = true // TestViews
	}
	tested["set"] = true // TestSets
	for name := range ruleEffects() {
		tested[name] = true // TestEveryKeyOfARuleHasItsEffect
	}
	for _, name := range Names() {
		if !tested[name] {
			t.Errorf("no row for %s", name)
		}
	}
}

// policyZone is a zone with primaries and some more keys.
func policyZone(more string) string {
	return "[[rpz.zone]]\nname = \"RPZ.example\"\nprimaries = \"192.0.2.53\"\n" + more
}

// blockRule is a rule with some more keys.
func blockRule(more string) string {
	return "[[blocks.rule]]\nname = \"a\"\nthreshold = 5\n" + more
}

// lastOf is the last element, or a zero one.
func lastOf[T any](list []T) *T {
	if len(list) == 0 {
		return new(T)
	}
	return &list[len(list)-1]
}

// fieldOf returns what the key named is stored in; of upstreams, in the first.
func fieldOf(t *testing.T, checked *Checked, name string) any {
	t.Helper()
	for _, k := range keys {
		if k.name == name {
			return reflect.ValueOf(k.get(checked)).Elem().Interface()
		}
	}
	for _, k := range upstreamKeys {
		if "upstream[]."+k.name == name {
			return reflect.ValueOf(k.get(&checked.Upstreams[0])).Elem().Interface()
		}
	}
	for _, k := range poolKeys {
		if "pool.NAME."+k.name == name {
			return reflect.ValueOf(k.get(&checked.Pools[len(checked.Pools)-1])).Elem().Interface()
		}
	}
	for _, k := range policyZoneKeys {
		if "rpz.zone[]."+k.name == name {
			return reflect.ValueOf(k.get(lastOf(checked.RPZ.Zones))).Elem().Interface()
		}
	}
	for _, k := range blockRuleKeys {
		if "blocks.rule[]."+k.name == name {
			return reflect.ValueOf(k.get(lastOf(checked.Blocks.Rules))).Elem().Interface()
		}
	}
	for _, k := range setKeys {
		if "set.NAME."+k.name == name {
			if len(checked.Sets) == 0 {
				return nil
			}
			return reflect.ValueOf(k.get(lastOf(checked.Sets))).Elem().Interface()
		}
	}
	for _, k := range listenerKeys {
		if "acl.listener[]."+k.name == name {
			return reflect.ValueOf(k.get(lastOf(checked.ACL.Listeners))).Elem().Interface()
		}
	}
	t.Fatalf("no key %q", name)
	return nil
}

func TestDefaultWorkers(t *testing.T) {
	tests := []struct {
		name, text string
		cpus, want int
	}{
		{"half of the CPUs", "", 8, 4},
		{"one CPU", "", 1, 1},
		{"as many as CPUs listed", "workers.cpus = [0, 1, 3]", 8, 3},
		{"as written", "workers.count = 5", 8, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _ := Parse("f.toml", []byte(good+tt.text))
			checked, problems := checkOn(f, machine{cpus: "0-7", count: tt.cpus})
			if checked == nil {
				t.Fatal(problems)
			}
			if got := checked.Workers.Count; got != tt.want {
				t.Errorf("got %d workers, want %d", got, tt.want)
			}
		})
	}
}

func TestAddressesOfNames(t *testing.T) {
	text := `
upstream = ["tls://dns.example", "quic://Other.example", "https://192.0.2.3"]
bootstrap.servers = "192.0.2.53"
hosts."DNS.example" = ["192.0.2.1", "2001:db8::1"]
`
	checked, problems := checkText(text)
	if checked == nil {
		t.Fatal(problems)
	}
	want := [][]netip.Addr{{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, nil, {netip.MustParseAddr("192.0.2.3")}}
	for i, u := range checked.Upstreams {
		if !reflect.DeepEqual(u.Addresses, want[i]) {
			t.Errorf("%s: got %v, want %v", u.URL, u.Addresses, want[i])
		}
	}
}

func TestAdopt(t *testing.T) {
	current, _ := checkText(good + "workers.count = 2\n")
	next, problems := checkText("upstream = \"udp://192.0.2.2\"\nlisten = \"127.0.0.1:54\"\n[workers]\ncount = 3\n[cache]\nbytes = \"8MiB\"\n")
	if next == nil {
		t.Fatal(problems)
	}
	merged, held := next.Adopt(current)
	want := "f.toml:2: listen: warning: changing this takes a restart; the running value is kept\n" +
		"f.toml:4: workers.count: warning: changing this takes a restart; the running value is kept\n"
	got := ""
	for _, p := range held {
		got += p.String() + "\n"
	}
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if merged.Workers.Count != 2 || !reflect.DeepEqual(merged.Listen, current.Listen) {
		t.Errorf("what takes a restart was changed: %d workers, listen %v", merged.Workers.Count, merged.Listen)
	}
	if merged.Cache.Bytes != 8<<20 || merged.Upstreams[0].URL != "udp://192.0.2.2" {
		t.Errorf("what a reload applies was not: cache %d, upstream %s", merged.Cache.Bytes, merged.Upstreams[0].URL)
	}
	if next.Workers.Count != 3 {
		t.Error("the new configuration itself was changed")
	}
}

func TestSameUpstream(t *testing.T) {
	caFile, _ := testCA(t)
	otherFile, _ := testCA(t)
	pairFile := testPair(t)
	client := "client_cert_file = \"" + pairFile + "\"\nclient_key_file = \"" + pairFile + "\""
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"same", `url = "tls://192.0.2.1"`, `url = "tls://192.0.2.1"`, true},
		{"same CA", `ca_file = "` + caFile + `"`, `ca_file = "` + caFile + `"`, true},
		{"other CA", `ca_file = "` + caFile + `"`, `ca_file = "` + otherFile + `"`, false},
		{"CA and none", `ca_file = "` + caFile + `"`, ``, false},
		{"other name", `tls_name = "a.example"`, `tls_name = "b.example"`, false},
		{"other connections", ``, `connections = 2`, false},
		{"other sni", ``, `sni = "off"`, false},
		{"other pins", `pins = "` + trust.Pin{1}.String() + `"`, `pins = "` + trust.Pin{2}.String() + `"`, false},
		{"same pins", `pins = "` + trust.Pin{1}.String() + `"`, `pins = ["` + trust.Pin{1}.String() + `"]`, true},
		{"other client certificate", client, ``, false},
		{"other version", ``, `tls_min_version = "1.3"`, false},
		{"other groups", `groups = "x25519"`, `groups = "secp256r1"`, false},
		{"same groups", `groups = "x25519"`, `groups = ["x25519"]`, true},
		{"other ech", `ech = "auto"`, `ech = "off"`, false},
		{"same ech", `ech = "auto"`, `ech = "auto"`, true},
		{"other health", ``, `health = { mode = "active" }`, true},
		{"other state", ``, `state = "down"`, true},
		{"other place", ``, "weight = 3\nmax_outstanding = 10", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var us []Upstream
			for _, text := range []string{tt.a, tt.b} {
				if !strings.Contains(text, "url") {
					text = "url = \"tls://192.0.2.1\"\n" + text
				}
				checked, problems := checkText("[[upstream]]\n" + text)
				if checked == nil {
					t.Fatal(problems)
				}
				us = append(us, checked.Upstreams[0])
			}
			if got := us[0].Same(&us[1]); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
