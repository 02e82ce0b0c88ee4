package telemetry

import (
	"crypto/tls"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/trust"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/block"
)

// Source is where the figures come from: *worker.Group.
type Source interface {
	Stats() worker.Stats
	Upstreams() []worker.UpstreamReport
	Pools() []worker.PoolReport
	Views() []worker.ViewReport
	Engine() (name, reason string)
	Steering() (mode, reason string)
	Workers() []worker.WorkerReport
	Rules() []worker.RuleReport
}

// Build says which program this is.
type Build struct{ Version, Revision, Go string }

// Reloads counts what became of SIGHUPs.
type Reloads struct{ Applied, Refused atomic.Uint64 }

// Buckets of the histograms: bounds of the worker's that lie a factor of 2 apart for upstreams, two in between for queries.
const (
	queryBucketStep    = 4
	upstreamBucketStep = 8
)

// NewMetrics returns the page's set; its WritePrometheus gives one scrape. trend is looked at by somebody else, at an interval.
func NewMetrics(source Source, build Build, reloads *Reloads, trend *Trend) *metrics.Set {
	set := metrics.NewSet()
	set.RegisterMetricsWriter(func(w io.Writer) {
		p := new(page)
		p.identity(source, build, reloads)
		stats := source.Stats()
		p.queries(&stats)
		p.admission(&stats)
		p.tcp(&stats)
		p.cache(&stats)
		p.remote(&stats)
		p.inspection(&stats)
		p.scrubs(&stats.Scrubs)
		p.count("sdp_loop_queries_total", "Queries of our own that came back: an upstream forwards to us, directly or by others.", stats.Returned)
		p.engine(&stats)
		p.workers(source.Workers(), trend.Last())
		p.upstreams(source.Upstreams())
		p.pools(source.Pools())
		p.views(source.Views())
		p.rules(source.Rules(), &stats)
		p.writeTo(w)
	})
	set.RegisterMetricsWriter(metrics.WriteProcessMetrics)
	return set
}

func (p *page) identity(source Source, build Build, reloads *Reloads) {
	p.begin("sdp_build_info", "gauge", "Always 1; the labels name the program.")
	p.gauge(1, "version", build.Version, "revision", build.Revision, "go", build.Go)
	engine, reason := source.Engine()
	p.begin("sdp_engine", "gauge", "1 for the engine in use, 0 for the other.")
	for _, name := range []string{worker.BackendUring, worker.BackendMmsg} {
		p.gauge(one(name == engine), "engine", name)
	}
	p.begin("sdp_engine_fallback", "gauge", "1 if io_uring was wanted and is not used, for the reason in the label; else 0.")
	p.gauge(one(reason != ""), "reason", reason)
	steering, _ := source.Steering()
	p.begin("sdp_steering", "gauge", "1 for what decides which worker gets a datagram, 0 for the other.")
	for _, mode := range []string{worker.SteeringCPU, worker.SteeringHash} {
		p.gauge(one(mode == steering), "by", mode)
	}
	p.begin("sdp_reloads_total", "counter", "Reloads by result; a refused one changed nothing.")
	p.counter(reloads.Applied.Load(), "result", "applied")
	p.counter(reloads.Refused.Load(), "result", "refused")
}

func one(condition bool) uint64 {
	if condition {
		return 1
	}
	return 0
}

func (p *page) queries(s *worker.Stats) {
	p.begin("sdp_queries_total", "counter", "Queries of clients with a usable header, answered or not.")
	p.counter(s.QueriesUDP, "transport", "udp")
	p.counter(s.QueriesTCP, "transport", "tcp")
	p.count("sdp_cache_hits_total", "Queries answered from the cache.", s.Hits)
	p.count("sdp_cache_misses_total", "Queries that opened an exchange with an upstream.", s.Misses)
	p.count("sdp_followed_total", "Questions that waited for another worker's exchange.", s.Followed)
	p.count("sdp_follows_failed_total", "Of these, asked after all: there was no answer to share, or it was late.", s.FollowsFailed)
	p.count("sdp_coalesced_total", "Queries that joined an exchange for the same question.", s.Coalesced)
	p.count("sdp_local_answers_total", "Queries answered without cache and upstream, as [local] says.", s.Local)
	p.count("sdp_held_failures_total", "Queries answered at once with a failure that was remembered (RFC 9520).", s.HeldFailures)
	p.begin("sdp_answers_total", "counter", "Answers to clients by RCODE.")
	for rcode, n := range s.Answers {
		p.counter(n, "rcode", rcodeName(rcode))
	}
	p.begin("sdp_drops_total", "counter", "Messages without an answer by reason.")
	for i, n := range s.Drops {
		p.counter(n, "reason", worker.Drop(i).String())
	}
	p.count("sdp_shed_total", "Queries that were not asked because there was no room.", s.Shed)
	p.count("sdp_prohibited_total", "Queries over UDP of clients that may not ask ([acl]), answered REFUSED or dropped.", s.Prohibited)
	p.count("sdp_refused_total", "Queries of a class other than IN that requests.classes has refused.", s.RefusedClass)
	p.begin("sdp_requests_total", "counter", "Requests that are no ordinary queries ([requests]), by kind and by what became of them.")
	for kind := range s.Requests {
		for result, n := range s.Requests[kind] {
			p.counter(n, "kind", worker.RequestKind(kind).String(), "result", worker.RequestOutcome(result).String())
		}
	}
	p.level("sdp_requests_in_flight", "Such requests that are being carried to upstreams.", s.Relays)
	p.count("sdp_transfer_messages_total", "Messages of zone transfers given to clients.", s.TransferMessages)
	p.count("sdp_transfer_bytes_total", "Their bytes.", s.TransferBytes)
	p.begin("sdp_malformed_total", "counter", "Queries answered FORMERR, NOTIMP, BADVERS or NOTAUTH by the proxy itself, by fault.")
	for f := range wire.FaultsMax {
		switch f {
		case wire.FaultNone, wire.FaultShort, wire.FaultResponse: // no fault; sdp_drops_total
		case wire.FaultQuery, wire.FaultQuestion: // faults of responses
		default:
			p.counter(s.Malformed[f], "fault", f.String())
		}
	}
	p.begin("sdp_cookies_total", "counter", "Queries with a DNS cookie (RFC 7873): new have no server's part yet, invalid have one of another server, a forged or an old one.")
	for i, n := range s.Cookies {
		p.counter(n, "cookie", worker.CookieVerdict(i).String())
	}
	p.begin("sdp_limited_total", "counter", "Queries and replies that a limit of [limits] held back, by limit and by what was sent in their place.")
	for kind := range s.Limited {
		for i, n := range s.Limited[kind] {
			p.counter(n, "limit", worker.LimitKind(kind), "outcome", worker.HeldBack(i).String())
		}
	}
	p.level("sdp_limited_sources", "Sources and networks that were held back in the last 10 s, 16 at most for each worker.", s.LimitedSources)
	p.begin("sdp_client_subnet_answers_total", "counter",
		"Answers for one network of clients (RFC 7871) by what became of them: too many of one name are not cached.")
	p.counter(s.SubnetsKept, "result", "cached")
	p.counter(s.SubnetsUnkept, "result", "too_many")
	p.begin("sdp_passed_options_total", "counter", "Queries with EDNS options that edns.pass_options names; those with more than fit are answered REFUSED.")
	p.counter(s.OptionsPassed, "result", "passed")
	p.counter(s.OptionsRefused, "result", "refused")
	p.count("sdp_truncated_total", "Answers sent with TC because they did not fit the client's size.", s.Truncated)
	p.count("sdp_failed_total", "Queries answered SERVFAIL because no upstream answered in time.", s.Failed)
	p.count("sdp_retries_total", "Exchanges repeated with the same or another upstream.", s.Retries)
	p.begin("sdp_query_duration_seconds", "histogram", "From taking a query to queueing its answer.")
	p.histogram(&s.Latency, queryBucketStep)
	p.level("sdp_in_flight", "Questions waiting for an upstream.", s.InFlight)
	p.level("sdp_waiters", "Clients waiting for them.", s.Waiters)
}

func (p *page) admission(s *worker.Stats) {
	p.level("sdp_overloaded_workers", "Workers to which more arrives over UDP than they can answer, or has in the last 2 s.", s.Overloaded)
	p.level("sdp_refused_sources", "Sources that are refused a share of their queries because they send too much, summed over workers.", s.RefusedSources)
	p.count("sdp_refused_datagrams_total",
		"Datagrams of such sources that were refused: counted, but an estimate from rates and shares while a socket is nearly full.", s.Refused)
	p.count("sdp_shed_heavy_total", "Questions that were not asked because their client or zone asks too much while there is no room; they are among sdp_shed_total.", s.ShedHeavy)
	p.level("sdp_shedding_workers", "Workers that do not ask all questions.", s.Shedding)
	p.begin("sdp_blocked_queries_total", "counter", "Queries of blocked sources and names by what became of them; see sdpctl blocks.")
	for action, n := range s.Blocked {
		p.counter(n, "action", block.Action(action).String())
	}
	p.count("sdp_socket_drops_total",
		"Other datagrams of clients that the kernel dropped, at the last look at the sockets (1 s old at most): no room, or a wrong checksum.", s.SocketFull)
}

func (p *page) tcp(s *worker.Stats) {
	p.level("sdp_tcp_connections", "TCP connections of clients.", s.Connections)
	p.begin("sdp_tcp_connection_events_total", "counter", "TCP connections of clients accepted, refused, and closed by the proxy, by event.")
	for i, n := range s.Streams {
		p.counter(n, "event", worker.Stream(i).String())
	}
}

func (p *page) cache(s *worker.Stats) {
	p.level("sdp_cache_entries", "Answers in the cache.", s.CacheEntries)
	p.level("sdp_cache_bytes", "Memory of the cache in use.", s.CacheBytes)
	p.level("sdp_cache_shared_bytes", "Memory of the cache level that workers share, in use or not.", s.SharedBytes)
	p.count("sdp_cache_shared_hits_total", "Queries answered from what another worker had learned.", s.SharedHits)
	p.count("sdp_cache_shared_misses_total", "Queries that no worker had an answer to.", s.SharedMisses)
	p.count("sdp_cache_shared_busy_total", "Look-ups in the shared cache that missed because another worker was writing there.", s.SharedBusy)
	p.count("sdp_cache_shared_inserts_total", "Answers stored in the shared cache.", s.SharedInserts)
	p.count("sdp_cache_shared_evictions_total", "Answers of the shared cache that had to make room before they expired.", s.SharedEvictions)
	p.count("sdp_cache_shared_refused_total", "Answers not stored in the shared cache: too large, or other workers were writing there.", s.SharedRefused)
	p.count("sdp_cache_prefetches_total", "Popular answers asked for again shortly before their end.", s.Prefetches)
	p.count("sdp_cache_prefetches_denied_total", "Those that were not, because cache.prefetch_rate was reached.", s.PrefetchesDenied)
	p.count("sdp_cache_inserts_total", "Answers stored.", s.CacheInserts)
	p.count("sdp_cache_evictions_total", "Answers that had to make room before they expired.", s.CacheEvictions)
	p.count("sdp_cache_expired_total", "Expired answers removed.", s.CacheExpired)
	p.count("sdp_cache_refused_total", "Answers not stored because they are too large.", s.CacheRefused)
	p.count("sdp_cache_flushes_total", "Flushes by command, each counted once for every worker.", s.CacheFlushes)
	p.count("sdp_cache_flushed_total", "Answers that flushes have removed.", s.CacheFlushed)
	p.count("sdp_cache_refreshes_total", "Cached answers asked for again by command.", s.CacheRefreshes)
}

func (p *page) engine(s *worker.Stats) {
	p.count("sdp_engine_turns_total", "Laps of the workers' loops.", s.Turns)
	p.count("sdp_engine_enters_total", "System calls that submitted work or waited for it.", s.Enters)
	p.count("sdp_engine_datagrams_received_total", "Datagrams received, from clients and upstreams.", s.DatagramsIn)
	p.count("sdp_engine_datagrams_sent_total", "Datagrams sent, to clients and upstreams.", s.DatagramsSent)
	p.count("sdp_engine_messages_sent_total", "Messages that they left in: those of one length to one peer share one.", s.MessagesSent)
	p.count("sdp_engine_rearms_total", "Receives that had to be started again.", s.Rearms)
	p.count("sdp_engine_buffers_exhausted_total", "Receives that found no free buffer; the datagrams wait in the socket.", s.BuffersExhausted)
}

func (p *page) workers(reports []worker.WorkerReport, f Figures) {
	p.begin("sdp_worker_queries_total", "counter", "Queries of clients by the worker that took them.")
	for i, r := range reports {
		p.counter(r.QueriesUDP, "worker", strconv.Itoa(i), "transport", "udp")
		p.counter(r.QueriesTCP, "worker", strconv.Itoa(i), "transport", "tcp")
	}
	p.ratio("sdp_worker_skew", "Queries of the busiest worker over the mean of all, in the last 10 s: 1 is even, 0 without queries.", f.Skew)
	p.ratio("sdp_engine_enters_per_query",
		"System calls of the workers' engines per query, in the last 10 s: near 1 at little load, far below at full; 0 without queries.",
		f.EntersPerQuery)
}

// upstreams writes all series of a family together, as the format asks for.
func (p *page) upstreams(reports []worker.UpstreamReport) {
	for _, f := range upstreamFamilies {
		p.begin("sdp_upstream_"+f.name, f.kind, f.help)
		for i := range reports {
			f.write(p, &reports[i])
		}
	}
}

// upstreamFamilies without the sdp_upstream_ in front of their names.
var upstreamFamilies = []struct {
	name, kind, help string
	write            func(p *page, r *worker.UpstreamReport)
}{
	{"up", "gauge", "1 while queries are sent to the upstream in the ordinary way, else 0.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			p.gauge(one(state.Status().InUse()), "upstream", r.Name)
		}
	}},
	{"state", "gauge", "1 for the state of the upstream's health, 0 for all others.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			now := state.Status()
			for s := range health.StatusCount {
				p.gauge(one(s == now), "upstream", r.Name, "state", s.String())
			}
		}
	}},
	{"transitions_total", "counter", "Changes of state, by the state that was entered.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			f := state.Figures()
			for s := range health.StatusCount {
				p.counter(f.Entered[s], "upstream", r.Name, "state", s.String())
			}
		}
	}},
	{"share", "gauge", "Part of its usual queries that the upstream gets: under 1 in slow start, 0 when drained or forced down.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			p.gaugeFloat(float64(state.Share(int64(transport.Now())))/health.ShareFull, "upstream", r.Name)
		}
	}},
	{"probes_total", "counter", "Probes by result.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			f := state.Figures()
			for result := range health.ProbeResultCount {
				p.counter(f.Probes[result], "upstream", r.Name, "result", result.String())
			}
		}
	}},
	{"probe_duration_seconds", "summary", "Time of answered probes.", func(p *page, r *worker.UpstreamReport) {
		if state := stateOf(r); state != nil {
			f := state.Figures()
			p.summary(f.Answered(), f.ProbeNS, "upstream", r.Name)
		}
	}},
	{
		"exchanges_total", "counter", "Queries sent to the upstream, retries included.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.Exchanges, "upstream", r.Name) },
	},
	{
		"answers_total", "counter", "Answers accepted.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.Answers, "upstream", r.Name) },
	},
	{"errors_total", "counter", "Exchanges that failed, by fault.", func(p *page, r *worker.UpstreamReport) {
		for f := transport.FaultNone + 1; f < transport.FaultCount; f++ {
			p.counter(r.Stats.Faults[f], "upstream", r.Name, "fault", f.String())
		}
	}},
	{
		"rejected_total", "counter", "Datagrams with a wrong id, question or form, or too late.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.Rejected, "upstream", r.Name) },
	},
	{
		"truncated_total", "counter", "UDP answers with TC that were asked for again over TCP.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.Truncated, "upstream", r.Name) },
	},
	{
		"duration_seconds", "histogram", "Time of answered exchanges.",
		func(p *page, r *worker.UpstreamReport) {
			p.histogram(&r.Stats.Latency, upstreamBucketStep, "upstream", r.Name)
		},
	},
	{"addresses", "gauge", "Addresses of the upstream that are known, and of them those without a failure since their last answer, by state.", func(p *page, r *worker.UpstreamReport) {
		if r.Endpoint == nil || r.Endpoint.Addresses == nil {
			return // removed by a reload
		}
		known, healthy := r.Endpoint.AddressHealth()
		p.gauge(uint64(known), "upstream", r.Name, "state", "known")
		p.gauge(uint64(healthy), "upstream", r.Name, "state", "healthy")
	}},
	{
		"in_flight", "gauge", "Queries waiting for an answer.",
		func(p *page, r *worker.UpstreamReport) { p.gauge(r.Stats.InFlight, "upstream", r.Name) },
	},
	{
		"limit", "gauge", "Queries that may wait for an answer at a time: falls below the static caps while the upstream is slow (adaptive_limit).",
		func(p *page, r *worker.UpstreamReport) { p.gauge(r.Stats.Limit, "upstream", r.Name) },
	},
	{
		"cancelled_total", "counter", "Queries given up in time because another upstream had answered first.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.Cancelled, "upstream", r.Name) },
	},
	{
		"subnet_refused_total", "counter", "Queries asked again without the client's network (RFC 7871), after REFUSED or FORMERR.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Stats.SubnetRefused, "upstream", r.Name) },
	},
	{
		"connections", "gauge", "Open connections.",
		func(p *page, r *worker.UpstreamReport) { p.gauge(r.Connections, "upstream", r.Name) },
	},
	{
		"dials_total", "counter", "Attempts to connect, one per address tried.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Dials, "upstream", r.Name) },
	},
	{
		"dial_errors_total", "counter", "Attempts to connect that failed.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.DialErrors, "upstream", r.Name) },
	},
	{
		"tls_resumed_total", "counter", "Connections whose TLS session was resumed.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Resumed, "upstream", r.Name) },
	},
	{
		"dead_connections_total", "counter", "Connections given up because nothing arrived while queries waited (timeouts.dead).",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.Dead, "upstream", r.Name) },
	},
	{
		"retired_connections_total", "counter", "Working connections closed here, by reason: idle, keepalive (the server's own idle timeout, RFC 7828), queries and age (connection.max_queries and max_age).",
		func(p *page, r *worker.UpstreamReport) {
			for i, n := range r.Retired {
				p.counter(n, "upstream", r.Name, "reason", transport.Retirement(i).String())
			}
		},
	},
	{
		"fast_open_total", "counter", "Connections over tcp and tls whose server took data with the SYN (connection.fast_open).",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.FastOpened, "upstream", r.Name) },
	},
	{
		"sent_bytes_total", "counter", "Framed queries before TLS, bytes.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.BytesSent, "upstream", r.Name) },
	},
	{
		"received_bytes_total", "counter", "Framed answers after TLS, bytes.",
		func(p *page, r *worker.UpstreamReport) { p.counter(r.BytesReceived, "upstream", r.Name) },
	},
	{
		"insecure", "gauge", "1 if the upstream's certificate is not verified (insecure_tls), else 0.",
		func(p *page, r *worker.UpstreamReport) {
			if client := trustOf(r); client != nil {
				p.gauge(one(client.Insecure()), "upstream", r.Name)
			}
		},
	},
	{
		"certificate_expiry_timestamp_seconds", "gauge", "End of the certificate that the upstream showed last, accepted or not; Unix time.",
		func(p *page, r *worker.UpstreamReport) {
			if client := trustOf(r); client != nil {
				p.expiry(client.Leaf(), r.Name)
			}
		},
	},
	{
		"client_certificate_expiry_timestamp_seconds", "gauge", "End of our certificate for the upstream; Unix time.",
		func(p *page, r *worker.UpstreamReport) {
			if client := trustOf(r); client != nil && client.Identity() != nil {
				p.expiry(client.Identity().Leaf(), r.Name)
			}
		},
	},
	{
		"tls_info", "gauge", "Always 1; the labels say what the last handshake agreed on.",
		func(p *page, r *worker.UpstreamReport) {
			if client := trustOf(r); client != nil && client.Session() != nil {
				s := client.Session()
				p.gauge(1, "upstream", r.Name, "version", tls.VersionName(s.Version), "cipher", tls.CipherSuiteName(s.CipherSuite),
					"group", groupName(s.Group), "ech", strconv.FormatBool(s.ECH))
			}
		},
	},
	{"http_responses_total", "counter", "HTTP responses of https and h3 upstreams by class of their status.", httpResponses},
	{"http_connections", "gauge", "Open connections of https and h3 upstreams by version of HTTP.", httpConnections},
	{"http_fallbacks_total", "counter", "Times that HTTP/3 did not work and HTTP/2 was used instead, for a minute at least (http3 = \"probe\").", httpFallbacks},
	{"quic_early_data_total", "counter", "Connections of quic upstreams that sent queries in 0-RTT, by what the server made of it.", quicEarlyData},
	{"quic_stalled_total", "counter", "Connections that another one took over from because nothing came from the server any more.", quicStalled},
}

// trustOf is nil for an upstream without TLS, and for one that a reload has removed.
func trustOf(r *worker.UpstreamReport) *trust.Client {
	if r.Endpoint == nil {
		return nil
	}
	return r.Endpoint.Trust
}

func (p *page) expiry(leaf *trust.Leaf, upstream string) {
	if leaf != nil {
		p.gauge(uint64(max(leaf.NotAfter.Unix(), 0)), "upstream", upstream)
	}
}

// groupName is empty for a resumed session of TLS 1.2, which has no key exchange.
func groupName(group tls.CurveID) string {
	if group == 0 {
		return ""
	}
	return group.String()
}

// stateOf is the health of an upstream in use; nil of one that a reload removed.
func stateOf(r *worker.UpstreamReport) *health.State {
	if r.Endpoint == nil {
		return nil
	}
	state, _ := r.Endpoint.Health.(*health.State)
	return state
}

// rcodeNames of RFC 1035, 2136 and 8490; the header has room for 16.
var rcodeNames = [...]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI",
}

func rcodeName(rcode int) string {
	switch {
	case rcode < len(rcodeNames):
		return rcodeNames[rcode]
	case rcode == worker.RCodeOther:
		return "OTHER"
	}
	return fmt.Sprintf("RCODE%d", rcode)
}
