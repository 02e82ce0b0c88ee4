package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/worker"
)

// keys is every key of the file but those of one upstream (keys_upstream.go), in the order of proxy.toml.example. Where the
// original secure-dns-proxy has a key with the same meaning, its name is used.
var keys = slices.Concat([]key[Checked]{
	{
		name: "listen", standard: `["127.0.0.1:53", "[::1]:53"]`, bounds: "1 to 64 of IP:port",
		read: readListen, get: func(c *Checked) any { return &c.Listen },
	},
	key[Checked]{
		name: "upstream", bounds: "1 to 64 upstreams",
		read: readUpstreams, get: func(c *Checked) any { return &c.Upstreams },
	}.reload(),
	policyKey("upstream_policy", func(c *Checked) *balance.Policy { return &c.Policy }).reload(),
	fanoutKey("upstream_race_fanout", func(c *Checked) *int { return &c.Fanout }).reload(),
	key[Checked]{
		name: "pool", bounds: "tables [pool.NAME], 16 at most",
		read: readPools, get: func(c *Checked) any { return &c.Pools },
	}.reload(),
	key[Checked]{
		name: "view", bounds: "tables [view.NAME], 64 at most",
		read: readViews, get: func(c *Checked) any { return &c.Views },
	}.reload(),
	key[Checked]{
		name: "set", bounds: "tables [set.NAME], 256 at most",
		read: readSets, get: func(c *Checked) any { return &c.Sets },
	}.reload(),
	key[Checked]{
		name: "rule", bounds: "tables [[rule]], 1024 at most",
		read: readRules, get: func(c *Checked) any { return &c.Rules },
	}.reload(),
	booleanKey("prewarm_pools", true, func(c *Checked) *bool { return &c.Prewarm }).reload(),
	{
		name: "user", standard: `""`, bounds: "a user of this machine",
		read: readUser, get: func(c *Checked) any { return &c.User },
	},
	choiceKey("backend", "auto", texts("auto", "uring", "mmsg"), func(c *Checked) *string { return &c.Backend }),

	integerKey("workers.count", 0, WorkersMax, 0, func(c *Checked) *int { return &c.Workers.Count }),
	{
		name: "workers.cpus", standard: "[]", bounds: "CPU numbers, each once",
		read: readCPUs, get: func(c *Checked) any { return &c.Workers.CPUs },
	},
	choiceKey("workers.steering", "auto", texts("auto", "cpu", "hash"), func(c *Checked) *string { return &c.Workers.Steering }),
	durationKey("workers.busy_poll", 0, time.Millisecond, time.Microsecond, "0s",
		func(c *Checked) *time.Duration { return &c.Workers.BusyPoll }),
	integerKey("workers.in_flight", inFlightMin, 1<<18, inFlightStandard, func(c *Checked) *int { return &c.Workers.InFlight }),
	integerKey("workers.waiters", 16, 1<<20, waitersStandard, func(c *Checked) *int { return &c.Workers.Waiters }),

	capKey("udp", func(c *Caps) *Cap { return &c.UDP }),
	capKey("tcp", func(c *Caps) *Cap { return &c.TCP }),
	capKey("tls", func(c *Caps) *Cap { return &c.TLS }),
	capKey("quic", func(c *Caps) *Cap { return &c.QUIC }),
	capKey("https", func(c *Caps) *Cap { return &c.HTTPS }),
	connCapKey("tcp", func(c *Caps) *Cap { return &c.TCP }),
	connCapKey("tls", func(c *Caps) *Cap { return &c.TLS }),
	connCapKey("quic", func(c *Caps) *Cap { return &c.QUIC }),
	connCapKey("https", func(c *Caps) *Cap { return &c.HTTPS }),

	booleanKey("cache.enabled", true, func(c *Checked) *bool { return &c.Cache.Enabled }).reload(),
	sizeKey("cache.bytes", cacheShareMin, 1<<40, sizeText(cacheBytesStandard), func(c *Checked) *int64 { return &c.Cache.Bytes }).reload(),
	integerKey("cache.shared_percent", 0, worker.SharedPercentMax, 25, func(c *Checked) *int { return &c.Cache.SharedPercent }).reload(),
	cacheTTLKeys["min_ttl"],
	cacheTTLKeys["max_ttl"],
	cacheTTLKeys["min_negative_ttl"],
	cacheTTLKeys["max_negative_ttl"],
	suffixesKey("cache.never", func(c *Checked) *[]string { return &c.Cache.Never }),
	integerKey("cache.prefetch", 0, worker.PrefetchPercentMax, 10, func(c *Checked) *int { return &c.Cache.Prefetch }).reload(),
	integerKey("cache.prefetch_rate", 1, 1_000_000, 1000, func(c *Checked) *int { return &c.Cache.PrefetchRate }).reload(),
	durationKey("cache.failure_ttl", 0, worker.FailureTTLLimit, time.Millisecond, "2s",
		func(c *Checked) *time.Duration { return &c.Cache.FailureTTL }).reload(),
	durationKey("cache.max_failure_ttl", 0, worker.FailureTTLLimit, time.Millisecond, "30s",
		func(c *Checked) *time.Duration { return &c.Cache.MaxFailureTTL }).reload(),
	durationKey("cache.max_stale", 0, secondsMax, time.Second, "24h",
		func(c *Checked) *time.Duration { return &c.Cache.MaxStale }).reload(),

	booleanKey("cache.nxdomain_cut", false, func(c *Checked) *bool { return &c.Cache.NXDomainCut }).reload(),

	durationKey("requests.loop_interval", 0, 24*time.Hour, time.Second, "10m",
		func(c *Checked) *time.Duration { return &c.LoopInterval }).reload(),

	durationKey("timeouts.query", waitMin, waitMax, 1, "3s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Query }).reload(),
	durationKey("timeouts.upstream", waitMin, waitMax, 1, durationText(attemptStandard),
		func(c *Checked) *time.Duration { return &c.Timeouts.Upstream }).reload(),
	dialKey,
	idleKey,
	durationKey("timeouts.dead", waitMin, time.Minute, 1, "2s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Dead }).reload(),
	durationKey("timeouts.drain", 0, 5*time.Minute, 1, "5s",
		func(c *Checked) *time.Duration { return &c.Timeouts.Drain }).reload(),

	paddingKey, maxQueriesKey, maxAgeKey, ednsKeepaliveKey, fastOpenKey,

	quicVersionsKey,
	earlyDataKey,
	maxStreamsKey,
	keepAliveKey,
	quicIdleKey,
	streamWindowKey,
	connectionWindowKey,

	durationKey("tcp.idle_timeout", time.Second, time.Hour, 1, "10s",
		func(c *Checked) *time.Duration { return &c.TCP.IdleTimeout }),
	integerKey("tcp.max_connections", 1, 1<<20, 4096, func(c *Checked) *int { return &c.TCP.MaxConnections }),
	integerKey("tcp.max_connections_per_client", 1, 1<<16, 256, func(c *Checked) *int { return &c.TCP.MaxConnectionsPerClient }),
	integerKey("tcp.max_in_flight", 1, 1024, 64, func(c *Checked) *int { return &c.TCP.MaxInFlight }),

	{
		name: "udp.payload_max", standard: "1232", bounds: "512 to 4096",
		read: readPayloadMax, get: func(c *Checked) any { return &c.UDP.PayloadMax },
	},
	sizeKey("udp.receive_buffer", 4<<10, 1<<30, "8MiB", func(c *Checked) *int { return &c.UDP.ReceiveBuffer }),

	key[Checked]{
		name: "tls.ca_file", standard: `""`, bounds: "a PEM file",
		read: readRoots, get: func(c *Checked) any { return &c.TLS.Roots },
	}.reload(),
	minVersionKey,
	maxVersionKey,
	suitesKey,
	groupsKey,
	echKey,
	keyLogKey,
	expiryWarningKey,

	choiceKey("addresses.first_family", "ipv6", []choice[bool]{{"ipv6", false}, {"ipv4", true}},
		func(c *Checked) *bool { return &c.Addresses.IPv4First }).reload(),
	durationKey("addresses.attempt_delay", 100*time.Millisecond, 2*time.Second, 1, "250ms",
		func(c *Checked) *time.Duration { return &c.Addresses.AttemptDelay }).reload(),

	key[Checked]{
		name: "bootstrap.servers", standard: "[]", bounds: "0 to 8 of IP, IP:port or a URL with an IP",
		read: readServers, get: func(c *Checked) any { return &c.Bootstrap.Servers },
	}.reload(),
	booleanKey("bootstrap.through_upstreams", true, func(c *Checked) *bool { return &c.Bootstrap.ThroughUpstreams }).reload(),
	durationKey("bootstrap.timeout", waitMin, waitMax, 1, "2s",
		func(c *Checked) *time.Duration { return &c.Bootstrap.Timeout }).reload(),
	durationKey("bootstrap.refresh_threshold", 0, time.Hour, 1, "30s",
		func(c *Checked) *time.Duration { return &c.Bootstrap.RefreshThreshold }).reload(),
	durationKey("bootstrap.min_ttl", time.Second, 24*time.Hour, 1, "30s",
		func(c *Checked) *time.Duration { return &c.Bootstrap.MinTTL }).reload(),
	durationKey("bootstrap.failure_retry", 100*time.Millisecond, time.Hour, 1, "30s",
		func(c *Checked) *time.Duration { return &c.Bootstrap.FailureRetry }).reload(),
	integerKey("bootstrap.jitter_percent", 0, jitterPercentMax, 20, func(c *Checked) *int { return &c.Bootstrap.JitterPercent }).reload(),

	key[Checked]{
		name: "hosts", bounds: `"name" = "IP" or ["IP", ...]`,
		read: readHosts, get: func(c *Checked) any { return &c.Hosts },
	}.reload(),

	choiceKey("logging.level", "info", []choice[slog.Level]{
		{"debug", slog.LevelDebug},
		{"info", slog.LevelInfo},
		{"warn", slog.LevelWarn},
		{"error", slog.LevelError},
	}, func(c *Checked) *slog.Level { return &c.Logging.Level }).reload(),
	choiceKey("logging.format", "text", texts("text", "json"), func(c *Checked) *string { return &c.Logging.Format }),

	{
		name: "metrics.listen", standard: `"127.0.0.1:9153"`, bounds: `IP:port, or "" for off`,
		read: readMetricsListen, get: func(c *Checked) any { return &c.Metrics.Listen },
	},
	prefixesKey("metrics.allow", privateText, func(c *Checked) *[]netip.Prefix { return &c.Metrics.Allow }).reload(),
	booleanKey("metrics.allow_remote", false, func(c *Checked) *bool { return &c.Metrics.AllowRemote }),
}, inTable("acl", aclKeys, func(c *Checked) *ACL { return &c.ACL }),
	inTable("rpz", rpzKeys, func(c *Checked) *rpz.Config { return &c.RPZ }),
	inTable("blocks", blocksKeys, func(c *Checked) *blocks.Config { return &c.Blocks }),
	inTable("admission", admissionKeys, func(c *Checked) *Admission { return &c.Admission }),
	inTable("limits", limitsKeys, func(c *Checked) *worker.Limits { return &c.Limits }),
	inTable("limits.rrl", rrlKeys, func(c *Checked) *worker.Limits { return &c.Limits }),
	inTable("edns", cookieKeys, func(c *Checked) *Cookies { return &c.Cookies }),
	persistKeys,
	inTable("edns", ednsKeys, func(c *Checked) *EDNS { return &c.EDNS }),
	inTable("cache.remote", remoteKeys, func(c *Checked) *Remote { return &c.Cache.Remote }),
	inTable("inspect", inspectKeys, func(c *Checked) *Inspect { return &c.Inspect }),
	inTable("control", controlKeys, func(c *Checked) *Control { return &c.Control }),
	inTable("local", localKeys, func(c *Checked) *Local { return &c.Local }),
	inTable("dns64", dns64Keys, func(c *Checked) *DNS64 { return &c.DNS64 }),
	inTable("rebinding", rebindingKeys, func(c *Checked) *Rebinding { return &c.Rebinding }),
	inTable("requests", requestsKeys, func(c *Checked) *worker.Requests { return &c.Requests }),
	inTable("health", healthKeys, func(c *Checked) *Health { return &c.Health }))

func readListen(c *checker, t *Checked, v value) {
	items, ok := c.oneOrMany(v, ListenersMax)
	if !ok {
		return
	}
	if len(items) == 0 {
		c.fault(v, "is empty: at least one address is needed")
	}
	t.Listen = nil
	first := map[netip.AddrPort]value{}
	for _, item := range items {
		ap, ok := c.addrPort(item, 0)
		if !ok {
			continue
		}
		if other, twice := first[ap]; twice {
			c.fault(item, "%s is already listed on line %d", ap, other.line)
			continue
		}
		first[ap] = item
		t.Listen = append(t.Listen, ap)
	}
}

func readCPUs(c *checker, t *Checked, v value) {
	items, ok := v.list()
	if !ok {
		c.fault(v, "must be an array of integers, not %s", v.kind())
		return
	}
	if len(items) > WorkersMax {
		c.fault(v, "%d entries, at most %d are allowed", len(items), WorkersMax)
		return
	}
	t.Workers.CPUs = nil
	seen := map[int64]bool{}
	for _, item := range items {
		n, ok := c.integer(item, 0, CPUIndexMax)
		switch {
		case !ok:
		case seen[n]:
			c.fault(item, "CPU %d is listed twice: each worker needs one of its own", n)
		case !c.machine.online(int(n)):
			c.fault(item, "CPU %d is not online on this machine (online: %s)", n, c.machine.cpus)
		default:
			seen[n] = true
			t.Workers.CPUs = append(t.Workers.CPUs, int(n))
		}
	}
}

func readPayloadMax(c *checker, t *Checked, v value) {
	if n, ok := c.integer(v, 512, 4096); ok {
		t.UDP.PayloadMax = uint16(n)
	}
}

func readServers(c *checker, t *Checked, v value) {
	items, ok := c.oneOrMany(v, ServersMax)
	if !ok {
		return
	}
	t.Bootstrap.Servers = nil
	for _, item := range items {
		if server, ok := c.server(item); ok {
			t.Bootstrap.Servers = append(t.Bootstrap.Servers, server)
		}
	}
}

// server reads a bootstrap server: an address alone means plain DNS.
func (c *checker) server(v value) (Upstream, bool) {
	if text, isText := v.data.(string); !isText || !strings.Contains(text, ":/") {
		ap, ok := c.addrPort(v, 53)
		if !ok {
			return Upstream{}, false
		}
		v.data = "udp://" + ap.String()
	}
	u, ok := c.upstream(v)
	a, err := netip.ParseAddr(u.Host)
	if ok && err != nil {
		c.fault(v, "%q: a bootstrap server needs an IP address in place of the name: it is there to resolve names", u.URL)
		return Upstream{}, false
	}
	u.Addresses = []netip.Addr{a}
	return u, ok
}

func readMetricsListen(c *checker, t *Checked, v value) {
	if s, isText := v.data.(string); isText && s == "" {
		t.Metrics.Listen = netip.AddrPort{}
		return
	}
	if ap, ok := c.addrPort(v, 0); ok {
		t.Metrics.Listen = ap
	}
}
