package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/trust"
)

// testMachine has four CPUs, of which number 2 is off.
var testMachine = machine{cpus: "0-1,3", count: 4}

// checkText parses and checks text as "f.toml" on testMachine.
func checkText(text string) (*Checked, Problems) {
	f, problems := Parse("f.toml", []byte(text))
	if f == nil {
		return nil, problems
	}
	return checkOn(f, testMachine)
}

// good is a complete file to which tests append.
const good = "upstream = \"udp://192.0.2.1\"\n"

func TestProblems(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := testPair(t)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	const tlsUpstream = "[[upstream]]\nurl = \"tls://192.0.2.1\"\n"
	tests := []struct {
		name, text string
		want       []string // whole lines
	}{
		{"syntax", "a = 1\nb = = 2\n", []string{`f.toml:2: b: expected value but found '=' instead`}},
		{"duplicate key", good + "user = \"\"\nuser = \"\"\n", []string{`f.toml:3: user: Key 'user' has already been defined.`}},
		{"nothing", "", []string{`f.toml: upstream: is missing: write for example upstream = "tls://192.0.2.1", or "embedded:" to try the program out`}},
		{"unknown key", good + "[cache]\nbites = 1\n", []string{`f.toml:3: cache.bites: unknown key; the nearest known key is "cache.bytes"`}},
		{"swapped letters", good + "[cache]\nbytse = 1\n", []string{`f.toml:3: cache.bytse: unknown key; the nearest known key is "cache.bytes"`}},
		{"key in the wrong table", good + "max_ttl = \"1h\"\n", []string{`f.toml:2: max_ttl: unknown key; the nearest known key is "cache.max_ttl"`}},
		{"case counts", good + "Listen = []\n", []string{`f.toml:2: Listen: unknown key; the nearest known key is "listen"`}},
		{"unknown table", good + "[timeout]\nquery = \"1s\"\n", []string{`f.toml:2: timeout: unknown table; the nearest known table is [timeouts]`}},
		{"table expected", good + "cache = 1\n", []string{`f.toml:2: cache: must be a table, written [cache], not an integer`}},
		{
			"unknown key of an upstream", "[[upstream]]\nurl = \"udp://192.0.2.1\"\n[[upstream]]\nurl = \"tls://192.0.2.2\"\ntlsname = \"x\"\n",
			[]string{`f.toml:5: upstream[1].tlsname: unknown key; the nearest known key is "tls_name"`},
		},
		{"all at once", "listen = \"127.0.0.1\"\nupstream_policy = \"fastest\"\n[cache]\nbytes = \"64MB\"\n[timeouts]\nquery = 3\n", []string{
			`f.toml: upstream: is missing: write for example upstream = "tls://192.0.2.1", or "embedded:" to try the program out`,
			`f.toml:1: listen: "127.0.0.1" has no port: write "127.0.0.1:53"`,
			`f.toml:2: upstream_policy: "fastest" is not one of "round_robin", "weighted", "random", "sequential", "race", "least_outstanding", "ewma", "hash" or "hedged"`,
			`f.toml:4: cache.bytes: "64MB" is not a size: write a number of bytes, or "512KiB", "64MiB", "2GiB"`,
			`f.toml:6: timeouts.query: must be a duration such as "3s" or "250ms", not an integer`,
		}},

		{"listen: name", good + `listen = ["localhost:53"]`, []string{`f.toml:2: listen[0]: "localhost:53" is not an IP address and port such as "127.0.0.1:53" or "[::1]:53"; names are not allowed here`}},
		{"listen: twice", good + "listen = [\"127.0.0.1:53\",\n\"127.0.0.1:53\"]", []string{`f.toml:3: listen[1]: 127.0.0.1:53 is already listed on line 2`}},
		{"listen: empty", good + `listen = []`, []string{`f.toml:2: listen: is empty: at least one address is needed`}},
		{"listen: type", good + `listen = 53`, []string{`f.toml:2: listen: must be a string or an array of strings, not an integer`}},
		{"listen: element type", good + `listen = [53]`, []string{`f.toml:2: listen[0]: must be a string, not an integer`}},
		{"listen: zone", good + `listen = "[fe80::1%eth0]:53"`, []string{`f.toml:2: listen: "fe80::1%eth0": addresses with a zone (%eth0) are not supported`}},
		{"user", good + `user = "no-such-user-here"`, []string{`f.toml:2: user: user "no-such-user-here" does not exist on this machine`}},
		{"backend", good + `backend = "xdp"`, []string{`f.toml:2: backend: "xdp" is not one of "auto", "uring" or "mmsg"`}},
		{"prewarm", good + `prewarm_pools = 1`, []string{`f.toml:2: prewarm_pools: must be true or false, not an integer`}},
		{"edns: client subnets", good + "[edns]\nclient_subnet = \"forward\"\nclient_subnet_ipv4 = 33\nclient_subnet_ipv6 = 0\nclient_subnet_private = 1\n", []string{
			`f.toml:3: edns.client_subnet: "forward" is not one of "strip", "pass", "add" or "override"`,
			`f.toml:4: edns.client_subnet_ipv4: 33 is out of range (1 to 32)`,
			`f.toml:5: edns.client_subnet_ipv6: 0 is out of range (1 to 64)`,
			`f.toml:6: edns.client_subnet_private: must be true or false, not an integer`,
		}},
		{"edns: client subnets of a pool", good + "[pool.default]\nclient_subnet = \"\"\nclient_subnet_ipv4 = 0\n", []string{
			`f.toml:3: pool.default.client_subnet: "" is not one of "edns", "strip", "pass", "add" or "override"`,
			`f.toml:4: pool.default.client_subnet_ipv4: 0 is out of range (1 to 32)`,
		}},
		{"edns: options", good + "[edns]\npass_options = [8,\n10, 11,\n12, 65001,\n65001, 70000, \"x\"]\npass_errors = 2\n", []string{
			`f.toml:3: edns.pass_options[0]: option 8 is between two neighbours, or has a key of its own: NSID 3, client subnet 8, cookie 10, keepalive 11, padding 12, extended error 15`,
			`f.toml:4: edns.pass_options[1]: option 10 is between two neighbours, or has a key of its own: NSID 3, client subnet 8, cookie 10, keepalive 11, padding 12, extended error 15`,
			`f.toml:4: edns.pass_options[2]: option 11 is between two neighbours, or has a key of its own: NSID 3, client subnet 8, cookie 10, keepalive 11, padding 12, extended error 15`,
			`f.toml:5: edns.pass_options[3]: option 12 is between two neighbours, or has a key of its own: NSID 3, client subnet 8, cookie 10, keepalive 11, padding 12, extended error 15`,
			`f.toml:6: edns.pass_options[5]: option 65001 is listed twice`,
			`f.toml:6: edns.pass_options[6]: 70000 is out of range (1 to 65534)`,
			`f.toml:6: edns.pass_options[7]: must be an integer, not a string`,
			`f.toml:7: edns.pass_errors: must be true or false, not an integer`,
		}},
		{"control: not absolute", good + "[control]\nsocket = \"control.sock\"\n", []string{`f.toml:3: control.socket: "control.sock" is not an absolute path of a file`}},
		{"control: too long", good + "[control]\nsocket = \"/" + strings.Repeat("x", 107) + "\"\n", []string{`f.toml:3: control.socket: 108 bytes long: the path of a socket has at most 107`}},
		{"control: no text", good + "[control]\nsocket = 5\n", []string{`f.toml:3: control.socket: must be a string, not an integer`}},
		{"pool: TTLs crossed", good + "[cache]\nmax_ttl = \"1m\"\n[pool.default]\ncache_min_ttl = \"2m\"\n", []string{`f.toml:5: pool.default.cache_min_ttl: cache_min_ttl is 2m, more than cache_max_ttl (1m), with what [cache] says of all pools`}},
		{"cache: never twice", good + "[cache]\nnever = [\"a.example\", \"A.example.\"]\n", []string{`f.toml:3: cache.never[1]: "a.example." stands twice`}},
		{"cache: relative path", good + "[cache]\npersist = \"cache\"\n", []string{`f.toml:3: cache.persist: "cache" is not an absolute path of a file`}},
		{"workers: range", good + "[workers]\ncount = 257\n", []string{`f.toml:3: workers.count: 257 is out of range (0 to 256)`}},
		{"workers: CPUs and count", good + "[workers]\ncount = 3\ncpus = [0, 1]\n", []string{`f.toml:4: workers.cpus: lists 2 CPUs for 3 workers: give one CPU to each, or leave workers.count out`}},
		{"workers: CPU twice", good + "[workers]\ncpus = [0, 0]\n", []string{`f.toml:3: workers.cpus[1]: CPU 0 is listed twice: each worker needs one of its own`}},
		{"workers: CPU offline", good + "[workers]\ncpus = [2]\n", []string{`f.toml:3: workers.cpus[0]: CPU 2 is not online on this machine (online: 0-1,3)`}},
		{"workers: steering without CPUs", good + "[workers]\nsteering = \"cpu\"\n", []string{`f.toml:3: workers.steering: "cpu" needs workers.cpus: a worker without a CPU of its own cannot be found by it`}},
		{"workers: steering unknown", good + "[workers]\nsteering = \"left\"\n", []string{`f.toml:3: workers.steering: "left" is not one of "auto", "cpu" or "hash"`}},
		{"workers: busy_poll too long", good + "[workers]\nbusy_poll = \"2ms\"\n", []string{`f.toml:3: workers.busy_poll: 2ms is out of range (0s to 1ms)`}},
		{"workers: busy_poll too fine", good + "[workers]\nbusy_poll = \"1500ns\"\n", []string{`f.toml:3: workers.busy_poll: 1500ns is not a whole number of microseconds`}},
		{"workers: waiters", good + "[workers]\nwaiters = 64\n", []string{`f.toml:3: workers.waiters: workers.waiters (64) is less than workers.in_flight (16384): every query in flight has a client that waits`}},
		{"cache: too small", good + "[cache]\nbytes = 1000\n", []string{`f.toml:3: cache.bytes: 1000 is out of range (2MiB to 1TiB)`}},
		{"cache: share too small", good + "[cache]\nbytes = \"6MiB\"\n[workers]\ncount = 4\n", []string{`f.toml:3: cache.bytes: 6MiB for 4 workers: each takes 2MiB to 32GiB`}},
		{"cache: off needs no share", good + "[cache]\nenabled = false\nbytes = \"2MiB\"\n[workers]\ncount = 4\n", nil},
		{"tcp: share too big", good + "[tcp]\nmax_connections = 200000\n", []string{`f.toml:3: tcp.max_connections: 200000 for 2 workers: each takes at most 60000`}},
		{"cache: nothing left for the workers", good + "[cache]\nshared_percent = 91\n", []string{`f.toml:3: cache.shared_percent: 91 is out of range (0 to 90)`}},
		{"cache: type", good + "[cache]\nbytes = 1.5\n", []string{`f.toml:3: cache.bytes: must be a size such as "64MiB" or a number of bytes, not a float`}},
		{"rpz: no name, no source", good + "[[rpz.zone]]\n", []string{
			"f.toml:2: rpz.zone[0]: has no name: below which name are its triggers?", "f.toml:2: rpz.zone[0]: needs file or primaries, one of them: where does it come from?",
		}},
		{"rpz: twice, both sources", good + policyZone("") + policyZone("file = \"/x\""), []string{
			`f.toml:6: rpz.zone[1].name: "rpz.example." stands twice`, "f.toml:8: rpz.zone[1].file: needs file or primaries, one of them: where does it come from?",
		}},
		{"rpz: key", good + policyZone("tsig_name = \"key\"\n") + "[[rpz.zone]]\nname = \"b\"\nfile = \"/x\"\ntsig_secret = \"?\"\n", []string{
			"f.toml:5: rpz.zone[0].tsig_name: a key has a name (tsig_name) and a secret (tsig_secret or tsig_secret_file), or there is none",
			"f.toml:9: rpz.zone[1].tsig_secret: is not base64", "f.toml:9: rpz.zone[1].tsig_secret: has no effect on a zone that is a file",
		}},
		{"rpz: one key, two secrets", good + policyZone("tsig_name = \"k\"\ntsig_secret = \"c2VjcmV0\"\n") + "[[rpz.zone]]\nname = \"b\"\nprimaries = \"192.0.2.1\"\ntsig_name = \"k\"\ntsig_secret = \"c2VjcmV1\"\n", []string{
			`f.toml:10: rpz.zone[1].tsig_name: "k." has another secret or algorithm in another zone`,
		}},
		{"rpz: override", good + policyZone("policy = \"cname\"\nmin_refresh = \"2h\"\nmax_refresh = \"1h\"\n"), []string{
			"f.toml:2: rpz.zone[0]: policy_cname and policy = \"cname\" belong together", "f.toml:7: rpz.zone[0].max_refresh: min_refresh (2h) is more than max_refresh (1h)",
		}},
		{"rpz: unknown", good + policyZone("polcy = \"nodata\"\n"), []string{`f.toml:5: rpz.zone[0].polcy: unknown key; the nearest known key is "policy"`}},
		{"rpz: directory", good + "rpz.directory = \"/nowhere/at/all\"\n", []string{`f.toml:2: rpz.directory: "/nowhere/at/all": cannot read: no such file or directory`}},
		{"blocks: no name, no threshold", good + "[[blocks.rule]]\nwarn = 1\n", []string{
			"f.toml:2: blocks.rule[0]: has no name: logs and metrics need one", "f.toml:2: blocks.rule[0]: has no threshold",
		}},
		{"blocks: interfaces", good + "blocks.kernel_interfaces = [\"eth0\", \"eth0\", \"abcdefghijklmnop\"]\n", []string{
			`f.toml:2: blocks.kernel_interfaces[1]: "eth0" stands twice`, `f.toml:2: blocks.kernel_interfaces[2]: "abcdefghijklmnop" is no name of an interface`,
		}},
		{"blocks: twice", good + blockRule("") + blockRule(""), []string{`f.toml:6: blocks.rule[1].name: "a" is another rule's name`}},
		{"blocks: the operator's name", good + "[[blocks.rule]]\nname = \"operator\"\nthreshold = 5\n", []string{
			`f.toml:3: blocks.rule[0].name: "operator" is no name of a rule: 1 to 32 letters, digits, - and _, and not "operator"`,
		}},
		{"blocks: percent", good + "[[blocks.rule]]\nname = \"a\"\nwatch = \"miss_ratio\"\nthreshold = 101\n", []string{
			`f.toml:5: blocks.rule[0].threshold: 101 is more than all: "miss_ratio" is in percent`,
		}},
		{"blocks: warning", good + blockRule("warn = 5"), []string{`f.toml:5: blocks.rule[0].warn: 5 is no warning before the threshold of 5`}},
		{"blocks: bytes of names", good + blockRule("of = \"name\"\nwatch = \"byte_rate\""), []string{
			`f.toml:6: blocks.rule[0].watch: "byte_rate" cannot be watched of names, only of sources`,
		}},
		{"blocks: random names of sources", good + blockRule(`watch = "random_names"`), []string{
			`f.toml:5: blocks.rule[0].watch: "random_names" is of names: write of = "name"`,
		}},
		{"blocks: truncated names", good + blockRule("of = \"name\"\naction = \"truncate\""), []string{
			`f.toml:6: blocks.rule[0].action: sends clients to TCP, where the name would be asked for all the same: use "limit" or "refuse"`,
		}},
		{"blocks: rate", good + blockRule(`action = "limit"`), []string{`f.toml:2: blocks.rule[0]: rate goes with action = "limit", which needs it`}},
		{"blocks: without effect", good + blockRule("rcode = \"SERVFAIL\"\nqtype = \"A\"\nleast = 1\nfailed = 1"), []string{
			`f.toml:5: blocks.rule[0].rcode: has no effect with watch = "query_rate", only with "rcode_rate" or "rcode_ratio"`,
			`f.toml:6: blocks.rule[0].qtype: has no effect with watch = "query_rate", only with "qtype_rate"`,
			`f.toml:7: blocks.rule[0].least: has no effect with watch = "query_rate", only with "rcode_ratio" or "miss_ratio"`,
			`f.toml:8: blocks.rule[0].failed: has no effect with watch = "query_rate", only with "random_names"`,
		}},
		{"blocks: no type", good + blockRule("watch = \"qtype_rate\"\nqtype = \"FOO\""), []string{`f.toml:6: blocks.rule[0].qtype: "FOO" is not a record type`}},
		{"acl: both sides", good + "[acl]\nallow = [\"10.0.0.0/8\"]\ndeny = [\n\"10.1.0.0/16\", \"10.0.0.0/8\"]\n", []string{`f.toml:5: acl.deny[1]: 10.0.0.0/8 is allowed as well: the longest prefix decides, and these are equal`}},
		{"acl: open resolver", good + "listen = [\"127.0.0.1:53\", \"192.0.2.7:53\"]\n[acl]\nallow = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n", []string{`f.toml:4: acl.allow[1]: 0.0.0.0/0 lets strangers ask on 192.0.2.7:53: an open resolver is used to attack others; set acl.open_resolver = true if that is meant`}},
		{"acl: open resolver in halves", good + "listen = \"[::]:53\"\n[acl]\nallow = \"8000::/1\"\n", []string{`f.toml:4: acl.allow: 8000::/1 lets strangers ask on [::]:53: an open resolver is used to attack others; set acl.open_resolver = true if that is meant`}},
		{"acl: open resolver of one listener", good + "listen = \"0.0.0.0:53\"\n[[acl.listener]]\nlisten = \"0.0.0.0:53\"\nallow = \"0.0.0.0/0\"\n", []string{`f.toml:5: acl.listener[0].allow: 0.0.0.0/0 lets strangers ask on 0.0.0.0:53: an open resolver is used to attack others; set acl.open_resolver = true if that is meant`}},
		{"acl: open resolver that is meant", good + "listen = \"0.0.0.0:53\"\n[acl]\nallow = \"0.0.0.0/0\"\nopen_resolver = true\n", nil},
		{"acl: open to loopback", good + "[acl]\nallow = \"0.0.0.0/0\"\n", nil},
		{"acl: listener", good + "[[acl.listener]]\nlisten = \"127.0.0.2:53\"\n[[acl.listener]]\nallow = []\n[[acl.listener]]\nlisten = \"[::1]:53\"\n[[acl.listener]]\nlisten = \"[::1]:53\"\nalow = []\n", []string{
			`f.toml:3: acl.listener[0].listen: 127.0.0.2:53 is not in listen`,
			`f.toml:4: acl.listener[1]: has no listen: which of the addresses in listen is it for?`,
			`f.toml:9: acl.listener[3].listen: [::1]:53 has an [[acl.listener]] already`,
			`f.toml:10: acl.listener[3].alow: unknown key; the nearest known key is "allow"`,
		}},
		{"dns64", good + "[dns64]\nprefix = \"64:ff9b::/95\"\nexclude = [\"10.0.0.0/8\", \"fd00::1/8\", 1]\n", []string{
			`f.toml:3: dns64.prefix: 64:ff9b::/95: the length must be 32, 40, 48, 56, 64 or 96 (RFC 6052 §2.2)`,
			`f.toml:4: dns64.exclude[0]: "10.0.0.0/8" is not IPv6/length such as "64:ff9b::/96"`,
			`f.toml:4: dns64.exclude[1]: "fd00::1/8" has bits beyond its length: write "fd00::/8"`,
			`f.toml:4: dns64.exclude[2]: must be a string, not an integer`,
		}},
		{"rebinding", good + "[rebinding]\naction = \"on\"\naddresses = \"lan\"\nallowed = [\"a\", \"A.\"]\n", []string{
			`f.toml:3: rebinding.action: "on" is not one of "off", "refused" or "nodata"`,
			`f.toml:4: rebinding.addresses: "lan" is not an IP address, nor IP/length such as "192.0.2.0/24" or "2001:db8::/32"`,
			`f.toml:5: rebinding.allowed[1]: "a." stands twice`,
		}},
		{"requests", good + "requests.notify = \"pool:\"\nrequests.classes = \"drop\"\n", []string{
			`f.toml:2: requests.notify: "pool:" is not one of "notimp", "refused", "forward" or "pool:NAME"`,
			`f.toml:3: requests.classes: "drop" is not one of "notimp", "refused" or "forward"`,
		}},
		{"local: own key", good + "[local]\nnonexistent = [\"LOCALHOST\", \"a\", \"A.\", \".\", \"1.10.in-addr.arpa\", \"a..b\"]\n", []string{
			`f.toml:3: local.nonexistent[0]: "localhost." is what local.localhost is about`,
			`f.toml:3: local.nonexistent[2]: "a." stands twice`,
			`f.toml:3: local.nonexistent[3]: is the root: no name would exist`,
			`f.toml:3: local.nonexistent[4]: "1.10.in-addr.arpa." is a reverse zone: see local.private_reverse`,
			`f.toml:3: local.nonexistent[5]: "a..b" is not a name`,
		}},
		{"local: text", good + "[local]\nid = \"" + strings.Repeat("x", 256) + "\"\n", []string{`f.toml:3: local.id: has 256 bytes, at most 255 are allowed`}},
		{"local: choice", good + "[local]\nany = \"drop\"\n", []string{`f.toml:3: local.any: "drop" is not one of "forward", "hinfo" or "refused"`}},
		{"pool: stale settings without stale", good + "[pool.default]\nstale_after = \"1s\"\nnever_stale = [\"a\"]\n", []string{
			`f.toml:3: pool.default.stale_after: has no effect without when_down = "stale"`,
			`f.toml:4: pool.default.never_stale: has no effect without when_down = "stale"`,
		}},
		{"cache: prefetch too early", good + "[cache]\nprefetch = 51\n", []string{`f.toml:3: cache.prefetch: 51 is out of range (0 to 50)`}},
		{"cache: half seconds", good + "[cache]\nmax_ttl = \"1500ms\"\n", []string{`f.toml:3: cache.max_ttl: 1500ms is not a whole number of seconds`}},
		{"cache: min over max", good + "[cache]\nmax_ttl = \"5s\"\nmin_ttl = \"1m\"\n", []string{`f.toml:4: cache.min_ttl: cache.min_ttl is 1m, more than cache.max_ttl (5s)`}},
		{"cache: negative min over max", good + "[cache]\nmin_negative_ttl = \"5m\"\nmax_negative_ttl = \"1m\"\n", []string{`f.toml:3: cache.min_negative_ttl: cache.min_negative_ttl is 5m, more than cache.max_negative_ttl (1m)`}},
		{"cache: failures for long", good + "[cache]\nfailure_ttl = \"6m\"\n", []string{`f.toml:3: cache.failure_ttl: 6m is out of range (0s to 5m)`}},
		{"cache: failures longer than the longest", good + "[cache]\nmax_failure_ttl = \"1s\"\n", []string{`f.toml:3: cache.max_failure_ttl: cache.failure_ttl is 2s, more than cache.max_failure_ttl (1s)`}},
		{"timeouts: text", good + "[timeouts]\nquery = \"3 s\"\n", []string{`f.toml:3: timeouts.query: "3 s" is not a duration: write "3s", "250ms", "5m" or "1h"`}},
		{"timeouts: range", good + "[timeouts]\nquery = \"1h\"\n", []string{`f.toml:3: timeouts.query: 1h is out of range (10ms to 30s)`}},
		{"timeouts: attempt over whole", good + "[timeouts]\nupstream = \"5s\"\n", []string{`f.toml:3: timeouts.upstream: one attempt (timeouts.upstream, 5s) may not be longer than the whole query (timeouts.query, 3s)`}},
		{"timeouts: whole under attempt", good + "[timeouts]\nquery = \"500ms\"\n", []string{`f.toml:3: timeouts.query: one attempt (timeouts.upstream, 1s) may not be longer than the whole query (timeouts.query, 500ms)`}},
		{"connection: padding", good + "[connection]\npadding = 513\n", []string{`f.toml:3: connection.padding: 513 is out of range (0 to 512)`}},
		{"connection: of one upstream", "[[upstream]]\nurl = \"quic://192.0.2.1\"\npadding = -1\n[[upstream]]\nurl = \"tcp://192.0.2.1\"\npadding = 128\n", []string{
			`f.toml:3: upstream[0].padding: -1 is out of range (0 to 512)`,
			`f.toml:6: upstream[1].padding: has no effect on tcp://192.0.2.1: whoever sees its length reads the query as well`,
		}},
		{"quic: versions", good + "[quic]\nversions = [\"1\", \"3\"]\n", []string{`f.toml:3: quic.versions[1]: "3" is not a version of QUIC that is known here: 1 or 2 of "1" and "2"`}},
		{"quic: no version", good + "[quic]\nversions = []\n", []string{`f.toml:3: quic.versions: is empty: at least one version is needed`}},
		{"quic: twice", good + "[quic]\nversions = [\"1\", \"1\"]\n", []string{`f.toml:3: quic.versions[1]: "1" is listed twice`}},
		{"quic: keep-alive after the end", good + "[quic]\nkeep_alive = \"30s\"\n", []string{`f.toml:3: quic.keep_alive: 30s is not less than quic.max_idle (30s): the connection would have ended before`}},
		{"quic: keep-alive of one upstream", "[[upstream]]\nurl = \"quic://192.0.2.1\"\nquic_keep_alive = \"1m\"\n", []string{`f.toml:3: upstream[0].quic_keep_alive: 1m is not less than quic.max_idle (30s): the connection would have ended before`}},
		{"quic: window too small", good + "[quic]\nconnection_window = \"16MiB\"\n", []string{`f.toml:3: quic.connection_window: 16777216 bytes for 256 streams: with less than 16777472 an answer could wait for others to be read; 0 is as much as needed`}},
		{"quic: stream window", good + "[quic]\nstream_window = \"64KiB\"\n", []string{`f.toml:3: quic.stream_window: 64KiB is out of range (128KiB to 16MiB)`}},
		{"quic: streams", good + "[quic]\nmax_streams = 0\n", []string{`f.toml:3: quic.max_streams: 0 is out of range (1 to 1024)`}},
		{"quic: on others", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nquic_versions = \"1\"\n[[upstream]]\nurl = \"h3://192.0.2.1\"\nquic_early_data = true\n", []string{
			`f.toml:3: upstream[0].quic_versions: has no effect on tls://192.0.2.1: it does not use QUIC`,
			`f.toml:6: upstream[1].quic_early_data: has no effect on h3://192.0.2.1: it is for quic:// only`,
		}},
		{"quic: port 53", "upstream = \"quic://192.0.2.1:53\"\n", []string{`f.toml:1: upstream: "quic://192.0.2.1:53": port 53 is not for DNS over QUIC (RFC 9250 §4.1.1)`}},
		{"pool: no table", "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"default\", \"a\"]\n", []string{`f.toml:3: upstream[0].pools: pool "a" is not there: write a table [pool.a]`}},
		{"pool: nobody in it, nothing for it", good + "[pool.a]\n", []string{
			`f.toml:2: pool.a: no upstream is in this pool: write pools = ["a"] in an [[upstream]]`,
			`f.toml:2: pool.a: has no suffixes, and no rule names it: no query would be sent to it`,
		}},
		{"pool: default one empty", "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"a\"]\n[pool.a]\nsuffixes = [\"a.example\"]\n", []string{
			`f.toml:1: upstream: no upstream is in the pool "default": nobody could be asked for the names that no other pool claims`,
		}},
		{"pool: suffixes of the default one", good + "[pool.default]\nsuffixes = [\"a.example\"]\n", []string{`f.toml:3: pool.default.suffixes: the default pool has every name that no other pool claims, and takes no suffixes`}},
		{"pool: one suffix twice", "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"default\", \"a\", \"b\"]\n[pool.a]\nsuffixes = [\"x.example\"]\n[pool.b]\nsuffixes = [\"X.example.\"]\n", []string{
			`f.toml:7: pool.b.suffixes: "x.example." is claimed by pool "a" already`,
		}},
		{"pool: bad names", good + "[pool]\n\"a b\" = {}\nx = 1\n", []string{
			`f.toml:3: pool."a b": "a b" is no name of a pool: 1 to 32 letters, digits, - and _`,
			`f.toml:4: pool.x: must be a table, written [pool.x], not an integer`,
		}},
		{"pool: bad suffixes", good + "[pool.a]\nsuffixes = [\"a..example\", 1]\n", []string{
			`f.toml:2: pool.a: no upstream is in this pool: write pools = ["a"] in an [[upstream]]`,
			`f.toml:2: pool.a: has no suffixes, and no rule names it: no query would be sent to it`,
			`f.toml:3: pool.a.suffixes[0]: "a..example" is not a name`,
			`f.toml:3: pool.a.suffixes[1]: must be a string, not an integer`,
		}},
		{"pool: unknown key", good + "[pool.default]\npolcy = \"ewma\"\n", []string{`f.toml:3: pool.default.polcy: unknown key; the nearest known key is "policy"`}},
		{"pool: without effect", good + "[pool.default]\npolicy = \"ewma\"\nhash_load = 200\n", []string{`f.toml:4: pool.default.hash_load: has no effect with policy "ewma", only with "hash"`}},
		{"pool: policy twice", good + "upstream_policy = \"ewma\"\n[pool.default]\npolicy = \"hash\"\n", []string{`f.toml:4: pool.default.policy: stands beside upstream_policy, which means the same: keep one of them`}},
		{"pool: fan-out without race", good + "upstream_race_fanout = 3\n", []string{`f.toml:2: upstream_race_fanout: warning: has no effect with upstream_policy "round_robin", only with "race"`}},
		{"upstream: weight", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nweight = 0\npools = []\n", []string{
			`f.toml:3: upstream[0].weight: 0 is out of range (1 to 1000)`,
			`f.toml:4: upstream[0].pools: is empty: an upstream in no pool would never be asked`,
		}},
		{"connection: of quic", "[[upstream]]\nurl = \"quic://192.0.2.1\"\nedns_keepalive = true\nfast_open = true\n", []string{
			`f.toml:3: upstream[0].edns_keepalive: has no effect on quic://192.0.2.1: only for connections over tcp and tls`,
			`f.toml:4: upstream[0].fast_open: has no effect on quic://192.0.2.1: it does not use TCP`,
		}},
		{"connection: ranges", good + "[connection]\nmax_queries = -1\nmax_age = \"200h\"\nedns_keepalive = 1\nfast_open = \"yes\"\n", []string{
			`f.toml:3: connection.max_queries: -1 is out of range (0 to 1000000000)`,
			`f.toml:4: connection.max_age: 200h is out of range (0s to 168h)`,
			`f.toml:5: connection.edns_keepalive: must be true or false, not an integer`,
			`f.toml:6: connection.fast_open: must be true or false, not a string`,
		}},
		{"tcp: per client over total", good + "[tcp]\nmax_connections = 10\n", []string{`f.toml:3: tcp.max_connections: max_connections_per_client (256) is more than max_connections (10)`}},
		{"udp: payload", good + "[udp]\npayload_max = 100\n", []string{`f.toml:3: udp.payload_max: 100 is out of range (512 to 4096)`}},
		{"admission: values", good + "[admission]\ntarget_delay = \"1s\"\nexempt = [\"192.0.2.1/24\", \"::ffff:192.0.2.0/120\",\n\"lan\", 3]\n", []string{
			`f.toml:3: admission.target_delay: 1s is out of range (1ms to 100ms)`,
			`f.toml:4: admission.exempt[0]: "192.0.2.1/24" has bits beyond its length: write "192.0.2.0/24", or the address without a length`,
			`f.toml:4: admission.exempt[1]: "::ffff:192.0.2.0/120" is IPv4 written as IPv6: write it as IPv4`,
			`f.toml:5: admission.exempt[2]: "lan" is not an IP address, nor IP/length such as "192.0.2.0/24" or "2001:db8::/32"`,
			`f.toml:5: admission.exempt[3]: must be a string, not an integer`,
		}},
		{"tls: missing CA", good + "[tls]\nca_file = \"/nonexistent/ca.pem\"\n", []string{`f.toml:3: tls.ca_file: "/nonexistent/ca.pem": cannot read: no such file or directory`}},
		{"tls: empty CA", good + "[tls]\nca_file = \"" + empty + "\"\n", []string{`f.toml:3: tls.ca_file: "` + empty + `" holds no PEM certificate`}},
		{"tls: directory", good + "[tls]\nca_file = \"/\"\n", []string{`f.toml:3: tls.ca_file: "/": cannot read: is a directory`}},
		{"tls: suites", good + "[tls]\ncipher_suites = [\"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA38\",\n\"TLS_RSA_WITH_AES_128_CBC_SHA\",\n\"TLS_AES_128_GCM_SHA256\"]\n", []string{
			`f.toml:3: tls.cipher_suites[0]: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA38" is not a cipher suite that we know; the nearest is "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"`,
			`f.toml:4: tls.cipher_suites[1]: TLS_RSA_WITH_AES_128_CBC_SHA is insecure and not offered to anybody`,
			`f.toml:5: tls.cipher_suites[2]: TLS_AES_128_GCM_SHA256 belongs to TLS 1.3, whose suites are fixed and all secure: this list is about TLS 1.2`,
		}},
		{"tls: suites without 1.2", good + "[tls]\nmin_version = \"1.3\"\ncipher_suites = \"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\"\n", []string{`f.toml:4: tls.cipher_suites: has no effect: tls.min_version is 1.3, whose suites are fixed`}},
		{"tls: groups", good + "[tls]\ngroups = [\"X25519\",\n\"x25519\", \"x25519\"]\n", []string{
			`f.toml:3: tls.groups[0]: "X25519" is not one of X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, x25519, secp256r1, secp384r1, secp521r1`,
			`f.toml:4: tls.groups[2]: x25519 is listed twice`,
		}},
		{"tls: no group", good + "[tls]\ngroups = []\n", []string{`f.toml:3: tls.groups: is empty: no key exchange would be possible`}},
		{"tls: versions", "upstream = \"tls://192.0.2.1\"\n[tls]\nmin_version = \"1.3\"\nmax_version = \"1.2\"\n", []string{`f.toml:4: tls.max_version: tls://192.0.2.1: the highest TLS version, 1.2, is below the lowest, 1.3`}},
		{"tls: QUIC and 1.2", "upstream = \"quic://192.0.2.1\"\n[tls]\nmax_version = \"1.2\"\n", []string{`f.toml:3: tls.max_version: quic://192.0.2.1 needs TLS 1.3 (RFC 9001 §4.2), and the highest version is 1.2`}},
		{"tls: key log", good + "[tls]\nkey_log_file = \"/run/keys\"\n", []string{
			`f.toml:3: tls.key_log_file: warning: the secrets of ALL TLS connections to upstreams are written to "/run/keys": whoever reads that file can read every query. For debugging only; remove the key afterwards, and the file`,
		}},
		{"ech: with 1.2", tlsUpstream + "tls_max_version = \"1.2\"\nech = \"auto\"\n", []string{
			`f.toml:4: upstream[0].ech: tls://192.0.2.1: Encrypted Client Hello needs TLS 1.3, and the highest version is 1.2`,
			`f.toml:4: upstream[0].ech: warning: tls://192.0.2.1: nothing to look up for Encrypted Client Hello, for it has no name: set tls_name, or ech_config`,
		}},
		{"ech: nobody to ask", tlsUpstream + "tls_name = \"dns.example\"\nech = \"require\"\n", []string{
			`f.toml:4: upstream[0].ech: tls://192.0.2.1: nobody to ask for an Encrypted Client Hello configuration: set bootstrap.servers, or ech_config`,
		}},
		{"ech: not base64", tlsUpstream + "ech_config = \"%\"\n", []string{`f.toml:3: upstream[0].ech_config: is not base64: illegal base64 data at input byte 0`}},
		{"ech: not a list", tlsUpstream + "ech_config = \"AAQBAgME\"\n", []string{
			`f.toml:3: upstream[0].ech_config: the ECH configuration list cannot be used: tls: malformed ECHConfig, invalid length field`,
		}},
		{"ech: off", tlsUpstream + "ech_config = \"" + base64.StdEncoding.EncodeToString(lanetest.ECHList(lanetest.ECHKey(t, 1, "public.example"))) + "\"\n", []string{
			`f.toml:3: upstream[0].ech_config: has no effect: ech is "off"; set it to "auto" or "require"`,
		}},
		{"pins: form", tlsUpstream + "pins = [\"abc\", \"" + trust.Pin{}.String() + "\", \"" + trust.Pin{}.String() + "\"]\n", []string{
			`f.toml:3: upstream[0].pins[0]: "abc" is not the base64 of a SHA-256 fingerprint (44 characters, the last one "=")`,
			`f.toml:3: upstream[0].pins[2]: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= is listed twice`,
		}},
		{"pins: none", tlsUpstream + "pin_only = true\n", []string{`f.toml:3: upstream[0].pin_only: needs pins: without them nobody would be let in`}},
		{"pins: unverified", tlsUpstream + "pins = \"" + trust.Pin{}.String() + "\"\ninsecure_tls = true\n", []string{
			`f.toml:3: upstream[0].pins: insecure_tls = true would ignore them; pin_only = true is verification by pin without certificate authorities`,
			`f.toml:4: upstream[0].insecure_tls: warning: tls://192.0.2.1 is used without verifying its certificate: whoever is on the path can answer in its place`,
		}},
		{"client certificate: half", tlsUpstream + "client_cert_file = \"/x\"\n", []string{`f.toml:3: upstream[0].client_cert_file: needs client_key_file, which may be the same file`}},
		{"client certificate: missing", tlsUpstream + "client_cert_file = \"/nonexistent/c.pem\"\nclient_key_file = \"/nonexistent/k.pem\"\n", []string{
			`f.toml:3: upstream[0].client_cert_file: "/nonexistent/c.pem": cannot read: no such file or directory`,
		}},
		{"client certificate: not of this scheme", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nclient_cert_file = \"/x\"\npins = []\n", []string{
			`f.toml:3: upstream[0].client_cert_file: has no effect on udp://192.0.2.1: it does not use TLS`,
			`f.toml:4: upstream[0].pins: has no effect on udp://192.0.2.1: it does not use TLS`,
		}},
		{"client certificate: open key", tlsUpstream + "client_cert_file = \"" + open + "\"\nclient_key_file = \"" + open + "\"\n", []string{
			`f.toml:4: upstream[0].client_key_file: warning: "` + open + `" can be read by every user of this machine (mode 0644): chmod o= it`,
		}},
		{"sni", tlsUpstream + "sni = \"192.0.2.1\"\n", []string{`f.toml:3: upstream[0].sni: "192.0.2.1" is not a host name`}},
		{"quic: suites", "[[upstream]]\nurl = \"quic://192.0.2.1\"\ncipher_suites = []\n", []string{`f.toml:3: upstream[0].cipher_suites: has no effect on quic://192.0.2.1: QUIC always uses TLS 1.3 (RFC 9001 §4.2)`}},
		{"bootstrap: name", good + "[bootstrap]\nservers = [\"dns.example\"]\n", []string{`f.toml:3: bootstrap.servers[0]: "dns.example" is not an IP address and port such as "127.0.0.1:53" or "[::1]:53"; names are not allowed here`}},
		{"hosts: unquoted name", good + "[hosts]\ndns.example = \"192.0.2.1\"\n", []string{`f.toml:3: hosts.dns: is a table: a name with dots must be quoted, for example "dns.example" = "192.0.2.1"`}},
		{"hosts: address", good + "[hosts]\n\"dns.example\" = [\"192.0.2.1\", \"192.0.2\"]\n", []string{
			`f.toml:3: hosts."dns.example"[1]: "192.0.2" is not an IP address`,
			`f.toml:3: hosts."dns.example": warning: no upstream has this name: the entry has no effect`,
		}},
		{"hosts: empty", "upstream = \"udp://dns.example\"\n[hosts]\n\"dns.example\" = []\n", []string{`f.toml:3: hosts."dns.example": is empty: at least one address is needed`}},
		{"hosts: twice", "upstream = \"udp://dns.example\"\n[hosts]\n\"Dns.example.\" = \"192.0.2.1\"\n\"dns.example\" = \"192.0.2.2\"\n", []string{`f.toml:4: hosts."dns.example": "dns.example" is already in the table`}},
		{"metrics: remote", good + "[metrics]\nlisten = \"192.0.2.1:9153\"\n", []string{`f.toml:3: metrics.listen: 192.0.2.1:9153 is not a loopback address: who reaches it could read the figures; list who may in metrics.allow, or set metrics.allow_remote = true if anybody may`}},
		{"metrics: listed", good + "[metrics]\nlisten = \"192.0.2.1:9153\"\nallow = \"198.51.100.0/24\"\n", nil},
		{"metrics: listed strangers", good + "[metrics]\nlisten = \"192.0.2.1:9153\"\nallow = [\"10.0.0.0/8\", \"128.0.0.0/1\"]\n", []string{`f.toml:4: metrics.allow[1]: 128.0.0.0/1 lets strangers read the figures on 192.0.2.1:9153; set metrics.allow_remote = true if that is meant`}},
		{"metrics: all, meant", good + "[metrics]\nlisten = \"192.0.2.1:9153\"\nallow = \"0.0.0.0/0\"\nallow_remote = true\n", nil},
		{"blocks in the cache's file", good + "cache.persist = \"/var/lib/x\"\nblocks.persist = \"/var/lib/./x\"\n", []string{`f.toml:3: blocks.persist: "/var/lib/x" is cache.persist already: each needs a file of its own`}},
		{"control: nobody", good + "[control]\nread_users = \"no-such-user\"\n", []string{`f.toml:3: control.read_users: user "no-such-user" does not exist on this machine`}},
		{"control: no group", good + "[control]\ngroup = \"no-such-group\"\n", []string{`f.toml:3: control.group: group "no-such-group" does not exist on this machine`}},
		{"control: mode", good + "[control]\nmode = \"0440\"\n", []string{`f.toml:3: control.mode: "0440" is no mode that lets the owner connect: "0600" to "0777" in octal`}},
		{"logging", good + "[logging]\nlevel = \"verbose\"\n", []string{`f.toml:3: logging.level: "verbose" is not one of "debug", "info", "warn" or "error"`}},

		{"health: mode", good + "health.mode = \"on\"\n", []string{`f.toml:2: health.mode: "on" is not one of "passive", "lazy" or "active"`}},
		{"health: name", good + "health.name = \"*.\"\n", []string{`f.toml:2: health.name: "*." is not a name to ask for, such as "probe.example", "*.probe.example" or "."`}},
		{"health: name, length", good + "health.name = \"*" + strings.Repeat(".abcdefghi", 24) + "\"\n", []string{`f.toml:2: health.name: "*` + strings.Repeat(".abcdefghi", 24) + `" is too long for a random label in front of it`}},
		{"health: type", good + "health.type = \"NSS\"\n", []string{`f.toml:2: health.type: "NSS" is not a record type`}},
		{"health: type of no record", good + "health.type = \"AXFR\"\n", []string{`f.toml:2: health.type: "AXFR" is not a type of records that a probe can ask for`}},
		{"health: rcodes", good + "health.rcodes = [\"NOERROR\", \"FINE\", \"NoError\"]\n", []string{
			`f.toml:2: health.rcodes[1]: "FINE" is not an RCODE such as "NOERROR" or "NXDOMAIN"`,
			`f.toml:2: health.rcodes[2]: "NoError" is listed twice`,
		}},
		{"health: no rcodes", good + "health.rcodes = []\n", []string{`f.toml:2: health.rcodes: is empty: then no probe is ever good`}},
		{"health: budget", good + "[health]\nfailure_budget = 101\n", []string{`f.toml:3: health.failure_budget: 101 is out of range (0 to 100)`}},
		{"health: rests", good + "[health]\nrest_min = \"2s\"\n", []string{`f.toml:3: health.rest_min: rest_min (2s) is more than rest_max (1s)`}},
		{"health: of one upstream", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nhealth = { mod = \"lazy\", jitter_percent = 51 }\nstate = \"off\"\n", []string{
			`f.toml:3: upstream[0].health.jitter_percent: 51 is out of range (0 to 50)`,
			`f.toml:3: upstream[0].health.mod: unknown key; the nearest known key is "mode"`,
			`f.toml:4: upstream[0].state: "off" is not one of "auto", "up", "down" or "drain"`,
		}},
		{"health: of one upstream, table", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nhealth = \"lazy\"\n", []string{`f.toml:3: upstream[0].health: must be a table, for example { mode = "active" }, not a string`}},
		{"health: rests of one upstream", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nhealth = { rest_max = \"50ms\" }\n", []string{`f.toml:3: upstream[0].health: udp://192.0.2.1: rest_min (100ms) is more than rest_max (50ms)`}},

		{"both forms of upstream", good + "[[upstream]]\nurl = \"udp://192.0.2.2\"\n", []string{`f.toml:2: upstream: upstream = ... stands above: write all upstreams there, or all as [[upstream]] tables`}},
		{"names like no other", good + "dnssec = true\n[embedded]\n", []string{
			`f.toml:2: dnssec: unknown key; proxy.toml.example has every key there is`,
			`f.toml:3: embedded: unknown table; proxy.toml.example has every table there is`,
		}},
		{"tls: versions without an encrypted upstream", good + "[tls]\nmin_version = \"1.3\"\nmax_version = \"1.2\"\n", []string{`f.toml:4: tls.max_version: the highest TLS version, 1.2, is below the lowest, 1.3`}},
		{"metrics on the port for queries", good + "listen = [\"0.0.0.0:9153\", \"127.0.0.1:53\"]\n", []string{`f.toml:2: listen: 127.0.0.1:9153: queries are answered on 0.0.0.0:9153, and one port cannot have both`}},
		{"metrics beside queries", good + "listen = [\"127.0.0.1:5300\"]\nmetrics.listen = \"127.0.0.1:5301\"\n", nil},
		{"upstream: this proxy", "listen = [\"0.0.0.0:5300\", \"[::1]:53\"]\nupstream = [\"tcp://127.0.0.9:5300\", \"udp://127.0.0.1\", \"udp://[::1]\", \"tls://127.0.0.1:5300\"]\n", []string{
			`f.toml:2: upstream[0]: tcp://127.0.0.9:5300 is this proxy itself (listen): it would ask itself for ever`,
			`f.toml:2: upstream[2]: udp://[::1] is this proxy itself (listen): it would ask itself for ever`,
		}},
		{"bootstrap server: this proxy", good + "bootstrap.servers = [\"127.0.0.1\"]\n", []string{
			`f.toml:2: bootstrap.servers: udp://127.0.0.1:53 is this proxy itself (listen), which cannot know where its upstreams are`,
		}},
		{"upstream: nobody's address", "upstream = [\"udp://0.0.0.0\", \"udp://224.0.0.1\", \"udp://[fe80::1]\"]\n", []string{
			`f.toml:1: upstream[0]: "udp://0.0.0.0": 0.0.0.0 is no server's address`,
			`f.toml:1: upstream[1]: "udp://224.0.0.1": 224.0.0.1 is a multicast address`,
			`f.toml:1: upstream[2]: "udp://[fe80::1]": fe80::1 is a link-local address, which takes a zone, and zones are not supported`,
		}},
		{"hosts: nobody's address", "upstream = \"tls://dns.example\"\n[hosts]\n\"dns.example\" = [\"192.0.2.1\", \"::\"]\n", []string{`f.toml:3: hosts."dns.example"[1]: :: is no server's address`}},
		{"quic: on one without QUIC or HTTP", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nquic_max_streams = 5\nhttp3 = \"probe\"\n", []string{
			`f.toml:3: upstream[0].quic_max_streams: has no effect on tls://192.0.2.1: it does not use QUIC`,
			`f.toml:4: upstream[0].http3: has no effect on tls://192.0.2.1: it does not use HTTP`,
		}},
		{"upstream: not a string", "upstream = 1", []string{`f.toml:1: upstream: must be a URL, an array of URLs or [[upstream]] tables, not an integer`}},
		{"upstream: empty", "upstream = []", []string{`f.toml:1: upstream: is empty: at least one upstream is needed`}},
		{"upstream: no url", "[[upstream]]\nconnections = 2\n", []string{`f.toml:1: upstream[0]: has no url`}},
		{"upstream: twice", "upstream = [\"tls://192.0.2.1\",\n\"tls://192.0.2.1:853\"]\n", []string{`f.toml:2: upstream[1]: tls://192.0.2.1:853 is the same upstream as upstream[0] on line 1`}},
		{"upstream: nobody knows the name", "\nupstream = [\"tls://192.0.2.1\",\n\"tls://dns.example\"]\n", []string{
			`f.toml:3: upstream[1]: tls://dns.example: nothing says where "dns.example" is: add it to [hosts], give the upstream addresses = [...], or set bootstrap.servers`,
		}},
		{"upstream: nobody knows the name, table", "[[upstream]]\nconnections = 1\nurl = \"tls://dns.example\"\n", []string{
			`f.toml:3: upstream[0].url: tls://dns.example: nothing says where "dns.example" is: add it to [hosts], give the upstream addresses = [...], or set bootstrap.servers`,
		}},
		{"ddr on a name", "[[upstream]]\nurl = \"udp://dns.example\"\naddresses = \"192.0.2.1\"\nddr = \"upgrade\"\n", []string{
			`f.toml:4: upstream[0].ddr: udp://dns.example: the host must be an IP address: the certificate of the designated resolver has to be valid for it (RFC 9462 §4.2)`,
		}},
		{"ddr where it is encrypted already", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nddr = \"upgrade\"\n", []string{
			`f.toml:3: upstream[0].ddr: has no effect on tls://192.0.2.1: it is no plain resolver`,
		}},
		{"ddr contradicts itself", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nddr = \"require\"\nddr_downgrade = true\n", []string{
			`f.toml:4: upstream[0].ddr_downgrade: contradicts ddr = "require"`,
		}},
		{"ddr settings without ddr", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nddr_opportunistic = true\n", []string{
			`f.toml:3: upstream[0].ddr_opportunistic: has no effect on udp://192.0.2.1: ddr is off`,
		}},
		{"ddr knows the name itself", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nddr = \"upgrade\"\ntls_name = \"x.example\"\ninsecure_tls = true\n", []string{
			`f.toml:4: upstream[0].tls_name: has no effect on udp://192.0.2.1: the designation says the name`,
			`f.toml:5: upstream[0].insecure_tls: has no effect on udp://192.0.2.1: a designated resolver is verified by its certificate, or see ddr_opportunistic`,
		}},
		{"bootstrap server with a name", good + "bootstrap.servers = \"tls://dns.example\"\n", []string{
			`f.toml:2: bootstrap.servers: "tls://dns.example": a bootstrap server needs an IP address in place of the name: it is there to resolve names`,
		}},
		{"bootstrap server inside", good + "bootstrap.servers = [\"embedded:\", \"ftp://192.0.2.1\"]\n", []string{
			`f.toml:2: bootstrap.servers[0]: "embedded:" is not an IP address and port such as "127.0.0.1:53" or "[::1]:53"; names are not allowed here`,
			`f.toml:2: bootstrap.servers[1]: "ftp://192.0.2.1": "ftp://" is not one of udp://, tcp://, tls://, quic://, https:// or h3://`,
		}},
		{"address settings", good + "addresses = {first_family = \"ipv5\", attempt_delay = \"50ms\"}\n", []string{
			`f.toml:2: addresses.attempt_delay: 50ms is out of range (100ms to 2s)`,
			`f.toml:2: addresses.first_family: "ipv5" is not one of "ipv6" or "ipv4"`,
		}},
		{"upstream: TLS settings without TLS", "[[upstream]]\nurl = \"udp://192.0.2.1\"\ntls_name = \"x.example\"\n", []string{`f.toml:3: upstream[0].tls_name: has no effect on udp://192.0.2.1: it does not use TLS`}},
		{"upstream: method without HTTP", "[[upstream]]\nurl = \"tls://192.0.2.1\"\nmethod = \"get\"\n", []string{`f.toml:3: upstream[0].method: has no effect on tls://192.0.2.1: it does not use HTTP`}},
		{"upstream: method", "[[upstream]]\nurl = \"https://192.0.2.1\"\nmethod = \"put\"\n", []string{`f.toml:3: upstream[0].method: "put" is not one of "auto", "get" or "post"`}},
		{"upstream: http3", "[[upstream]]\nurl = \"https://192.0.2.1\"\nhttp3 = true\n", []string{`f.toml:3: upstream[0].http3: must be a string, not a boolean`}},
		{"upstream: http3 of h3", "[[upstream]]\nurl = \"h3://192.0.2.1\"\nhttp3 = \"off\"\n", []string{`f.toml:3: upstream[0].http3: has no effect on h3://192.0.2.1: h3:// is always HTTP/3`}},
		{"upstream: template", "[[upstream]]\nurl = \"https://192.0.2.1/q{?name}\"\n", []string{
			`f.toml:2: upstream[0].url: "https://192.0.2.1/q{?name}": a template has one variable, "dns", once and whole: write {?dns}, or {&dns} after a query (RFC 8484 §4.1.1)`,
		}},
		{"upstream: connections without any", "[[upstream]]\nurl = \"udp://192.0.2.1\"\nconnections = 2\n", []string{`f.toml:3: upstream[0].connections: has no effect on udp://192.0.2.1: udp has none`}},
		{"upstream: address of an address", "[[upstream]]\nurl = \"tls://192.0.2.1\"\naddresses = \"192.0.2.2\"\n", []string{`f.toml:3: upstream[0].addresses: has no effect on tls://192.0.2.1: its host is an address already`}},
		{"upstream: embedded with settings", "[[upstream]]\nurl = \"embedded:\"\nca_file = \"\"\n", []string{`f.toml:3: upstream[0].ca_file: has no effect on embedded:: it brings its own certificate and address`}},
		{"upstream: name to verify", "[[upstream]]\nurl = \"tls://192.0.2.1\"\ntls_name = \"a b\"\n", []string{`f.toml:3: upstream[0].tls_name: "a b" is not a host name`}},
		{"upstream: unverified", "[[upstream]]\nurl = \"tls://192.0.2.1\"\ninsecure_tls = true\n", []string{
			`f.toml:3: upstream[0].insecure_tls: warning: tls://192.0.2.1 is used without verifying its certificate: whoever is on the path can answer in its place`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checked, problems := checkText(tt.text)
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if (checked == nil) != problems.Broken() {
				t.Errorf("checked is nil: %v, but broken: %v", checked == nil, problems.Broken())
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, problems := Load("/nonexistent/proxy.toml")
	if got, want := problems.Error(), "/nonexistent/proxy.toml: cannot read: no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUpstreamURL(t *testing.T) {
	tests := []struct {
		url     string
		want    string // identity
		problem string // part of it
	}{
		{"udp://192.0.2.1", "udp://192.0.2.1:53", ""},
		{"tcp://[2001:db8::1]:5353", "tcp://2001:db8::1:5353", ""},
		{"tls://192.0.2.1", "tls://192.0.2.1:853", ""},
		{"quic://192.0.2.1", "quic://192.0.2.1:853", ""},
		{"https://192.0.2.1", "https://192.0.2.1:443/dns-query", ""},
		{"https://192.0.2.1/", "https://192.0.2.1:443/", ""},
		{"https://192.0.2.1:8443/a%20b", "https://192.0.2.1:8443/a%20b", ""},
		{"https://192.0.2.1/?a=b", "https://192.0.2.1:443/?a=b", ""},
		{"https://192.0.2.1:8443/dns-query{?dns}", "https://192.0.2.1:8443/dns-query{?dns}", ""},
		{"https://[2001:db8::1]/q?a=b{&dns}", "https://2001:db8::1:443/q?a=b{&dns}", ""},
		{"h3://192.0.2.1", "h3://192.0.2.1:443/dns-query", ""},
		{"h3://192.0.2.1:8443/q{?dns}", "h3://192.0.2.1:8443/q{?dns}", ""},
		{"tls://Dns.Example.", "tls://dns.example:853", ""},
		{"embedded:", "embedded://:0", ""},

		{"192.0.2.1", "", `has no scheme: write udp://, tcp://, tls://, quic://, https:// or h3:// in front of the host, for example "tls://192.0.2.1"`},
		{"doh://192.0.2.1", "", `"doh://" is not one of udp://, tcp://, tls://, quic://, https:// or h3://`},
		{"tls://", "", "the host is missing"},
		{"tls://:853", "", "the host is missing"},
		{"tls://192.0.2.1:", "", "the port is missing after the colon"},
		{"tls://192.0.2.1:0", "", "port 0 is out of range (1 to 65535)"},
		{"tls://192.0.2.1:65536", "", "port 65536 is out of range (1 to 65535)"},
		{"tls://192.0.2.1:dot", "", `not a URL: invalid port ":dot" after host`},
		{"tls://192.0.2.256", "", `"192.0.2.256" is not a host name`},
		{"tls://2001:db8::1", "", "an IPv6 address is written in brackets"},
		{"tls://[2001:db8::zz]", "", "not a URL: invalid host"},
		{"tls://[fe80::1%25eth0]", "", "addresses with a zone are not supported"},
		{"tls://me@192.0.2.1", "", "a user name is not allowed"},
		{"tls://192.0.2.1/dns-query", "", "tls:// takes no path"},
		{"https://192.0.2.1/dns-query{?dns", "", "not a URI template"},
		{"https://192.0.2.1/dns-query{?name}", "", `a template has one variable, "dns"`},
		{"https://192.0.2.1{?dns}", "", "a path comes after the host"},
		{"https://192.0.2.1?a=b", "", "a path comes after the host"},
		{"https://192.0.2.1/dns-query#a", "", "a fragment (#) is not part of a request"},
		{"https://{host}/dns-query", "", "a path comes after the host"},
		{"quic://192.0.2.1{?dns}", "", "quic:// takes no path"},
		{"tls://a..example", "", `"a..example" is not a host name`},
		{"tls://-a.example", "", `"-a.example" is not a host name`},
		{"embedded:x", "", "has no scheme"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			c := &checker{file: &File{Name: "f.toml"}}
			u, ok := c.upstream(value{path: "upstream", line: 1, data: tt.url})
			if ok != (tt.problem == "") || !strings.Contains(c.problems.Error(), tt.problem) {
				t.Fatalf("problems %q, want %q", c.problems.Error(), tt.problem)
			}
			if ok && u.identity() != tt.want {
				t.Errorf("got %q, want %q", u.identity(), tt.want)
			}
		})
	}
}
