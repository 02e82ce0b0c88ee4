package telemetry

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/appliance/bootstrap"
	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/appliance/rpz"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/trust"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/block"
	rules "secure-dns-proxy/worker/policy"
	policy "secure-dns-proxy/worker/rpz"
)

// figures is a Source that says what it was told.
type figures struct {
	stats          worker.Stats
	upstreams      []worker.UpstreamReport
	engine, reason string
	workers        []worker.WorkerReport
	pools          []worker.PoolReport
	views          []worker.ViewReport
	rules          []worker.RuleReport
}

func (f *figures) Stats() worker.Stats                { return f.stats }
func (f *figures) Upstreams() []worker.UpstreamReport { return f.upstreams }
func (f *figures) Engine() (engine, reason string)    { return f.engine, f.reason }
func (f *figures) Steering() (mode, reason string)    { return worker.SteeringCPU, "" }
func (f *figures) Pools() []worker.PoolReport         { return f.pools }
func (f *figures) Views() []worker.ViewReport         { return f.views }
func (f *figures) Rules() []worker.RuleReport         { return f.rules }
func (f *figures) Workers() []worker.WorkerReport     { return slices.Clone(f.workers) }

func scrape(t *testing.T, f *figures) map[string]string {
	t.Helper()
	var out bytes.Buffer
	set := NewMetrics(f, Build{Version: "v1", Revision: "abc", Go: "go1"}, new(Reloads), new(Trend))
	lookups := new(bootstrap.Counters)
	lookups.Upstream.Store(3)
	lookups.Server.Store(2)
	AddLookups(set, lookups)
	AddRemote(set, someRemote)
	AddInspection(set, someInspection)
	commands := new(control.Server)
	commands.Counters.Requests.Store(7)
	commands.Counters.Refused.Store(2)
	commands.Counters.Denied.Store(4)
	AddControl(set, commands)
	served := new(Server)
	served.denied.Store(9)
	AddAccess(set, served)
	AddKept(set, someKept())
	AddBlocks(set, someBlocks(t), 2)
	AddZones(set, someZones, func() (s worker.ZoneStats) {
		s.Hits[1][policy.NXDomain], s.Disabled[1] = 61, 62
		return s
	})
	reread := new(Reloads)
	reread.Applied.Store(27)
	AddSets(set, func() []SetSize { return []SetSize{{Name: "blocked", Entries: 28}} }, reread)
	AddPoolUpstreams(set, func() []PoolUpstreams { return []PoolUpstreams{{Pool: "default", All: 3, Up: 2}} })
	set.WritePrometheus(&out)
	all := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if _, err := strconv.ParseFloat(line[at+1:], 64); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		if _, twice := all[line[:at]]; twice {
			t.Errorf("series %s is there twice", line[:at])
		}
		all[line[:at]] = line[at+1:]
	}
	return all
}

func sample() *figures {
	f := &figures{engine: "mmsg", reason: `sysctl says "no"`}
	s := &f.stats
	s.QueriesUDP, s.QueriesTCP, s.Hits, s.Misses, s.Coalesced = 90, 10, 70, 20, 10
	s.HeldFailures, s.Local, s.Prohibited = 14, 15, 18
	s.Requests[worker.RequestUpdate][worker.RequestFailed], s.Relays, s.TransferMessages, s.TransferBytes = 101, 102, 103, 104
	s.Prefetches, s.PrefetchesDenied = 16, 17
	s.SharedHits, s.SharedMisses, s.SharedBusy, s.SharedInserts, s.SharedEvictions, s.SharedRefused, s.SharedBytes = 18, 19, 20, 21, 22, 23, 24
	s.Followed, s.FollowsFailed = 25, 26
	s.Delays, s.DelaysDenied, s.Tees, s.TeesDenied = 19, 20, 21, 22
	f.rules = []worker.RuleReport{{RuleID: rules.RuleID{Chain: rules.ChainMiss, Name: "no-any"}, Hits: 23}}
	s.Answers[0], s.Answers[3], s.Answers[worker.RCodeOther] = 95, 4, 1
	s.Drops[worker.DropShort] = 7
	s.Cookies[worker.CookieValid] = 18
	s.Limited[1][worker.HeldTruncated], s.LimitedSources = 19, 20
	s.SubnetsKept, s.SubnetsUnkept, s.OptionsPassed, s.OptionsRefused = 19, 20, 21, 22
	s.Streams[worker.StreamIdle] = 3
	s.Latency.Count[0], s.Latency.Count[worker.LatencyBuckets-1] = 5, 2
	s.Latency.SumNS = 1_500_000_000
	s.CacheBytes, s.InFlight = 4096, 6
	s.Blocked[block.Refuse] = 41
	s.Returned = 56
	s.Scrubs = worker.Scrubs{Trimmed: 51, Rebinding: 52, Translated: 53, Reversed: 54, Cut: 55}
	s.ShedHeavy, s.Shedding = 42, 1
	s.Overloaded, s.RefusedSources, s.Refused, s.SocketFull = 1, 3, 500, 40
	f.workers = []worker.WorkerReport{{CPU: 2, QueriesUDP: 80}, {CPU: 3, QueriesUDP: 10, QueriesTCP: 10}}
	state := health.New(func() int64 { return 0 })
	state.Down(errors.New("refused"))
	state.Probed(1e9, health.ProbeTimeout, 1e9, errors.New("no answer"))
	state.Probed(2e9, health.ProbeRCode, 5e8, errors.New("answered SERVFAIL"))
	address, other := netip.MustParseAddrPort("192.0.2.1:853"), netip.MustParseAddrPort("192.0.2.2:853")
	r := worker.UpstreamReport{
		Name: "tls://192.0.2.1", Endpoint: &transport.Endpoint{Name: "tls://192.0.2.1", Health: state, Addresses: transport.NewAddresses(address, other)},
		Connections: 2, Dials: 8, DialErrors: 5, BytesSent: 1000,
	}
	client, err := trust.New(trust.Policy{Verify: trust.Nothing})
	if err != nil {
		panic(err)
	}
	r.Endpoint.Trust = client
	client.Failed(&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{{NotAfter: time.Unix(1_800_000_000, 0)}}})
	r.Retired[transport.RetiredAge], r.FastOpened = 3, 4
	r.Stats.Exchanges, r.Stats.Answers, r.Stats.Faults[transport.FaultTLS] = 25, 20, 5
	r.Stats.Latency.Count[100] = 20
	r.Endpoint.AddressFailed(other, 0, errors.New("refused"))
	r.Stats.Limit, r.Stats.Cancelled, r.Stats.SubnetRefused = 12, 13, 14
	f.upstreams = []worker.UpstreamReport{r, {Name: "udp://192.0.2.2"}}
	f.views = []worker.ViewReport{{Name: "guests", Stats: worker.ViewStats{QueriesUDP: 21, QueriesTCP: 22, Hits: 23, Misses: 24, Limited: 28, Full: 25, Shed: 26, InFlight: 27, CacheBytes: 29}}}
	f.pools = []worker.PoolReport{{Name: "default", Stats: worker.PoolStats{
		Queries: 1, Retries: 2, RetriesDenied: 3, Hedges: 4, HedgesDenied: 5, HedgeWins: 6, Racers: 7, Limited: 8, Stale: 9, Failed: 10, InFlight: 11, CacheBytes: 12,
	}}}
	return f
}

// someZones is one zone.
func someZones() ([]rpz.Report, uint64) {
	return []rpz.Report{{
		Name: "rpz.example.", Tag: 1, InForce: true, Serial: 63, Triggers: [policy.Triggers]int{policy.QName: 64}, Bytes: 65, Age: 66 * time.Second, Ignored: 67,
		Loaded: 68, Rejected: 69, Full: 70, Incremental: 71, UpToDate: 72, Failed: 73, Notified: 74, Expired: 75, CopyLost: 76, Skipped: 77,
	}}, 78
}

// someBlocks is a list with one source on it.
func someBlocks(t *testing.T) *blocks.Keeper {
	keeper := blocks.NewKeeper(slog.New(slog.DiscardHandler), 1, func(*block.Table) {}, nil)
	if err := keeper.Add(blocks.Block{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return keeper
}

func TestPage(t *testing.T) {
	got := scrape(t, sample())
	for series, want := range map[string]string{
		`sdp_rpz_in_force{zone="rpz.example."}`:                             "1",
		`sdp_rpz_serial{zone="rpz.example."}`:                               "63",
		`sdp_rpz_triggers{zone="rpz.example.",kind="qname"}`:                "64",
		`sdp_rpz_bytes{zone="rpz.example."}`:                                "65",
		`sdp_rpz_age_seconds{zone="rpz.example."}`:                          "66",
		`sdp_rpz_records_left_out{zone="rpz.example.",reason="useless"}`:    "67",
		`sdp_rpz_records_left_out{zone="rpz.example.",reason="wrong"}`:      "77",
		`sdp_rpz_loads_total{zone="rpz.example.",result="file"}`:            "68",
		`sdp_rpz_loads_total{zone="rpz.example.",result="file_refused"}`:    "69",
		`sdp_rpz_loads_total{zone="rpz.example.",result="axfr"}`:            "70",
		`sdp_rpz_loads_total{zone="rpz.example.",result="ixfr"}`:            "71",
		`sdp_rpz_loads_total{zone="rpz.example.",result="up_to_date"}`:      "72",
		`sdp_rpz_loads_total{zone="rpz.example.",result="transfer_failed"}`: "73",
		`sdp_rpz_notifies_total{zone="rpz.example."}`:                       "74",
		`sdp_rpz_expired_total{zone="rpz.example."}`:                        "75",
		`sdp_rpz_copies_failed_total{zone="rpz.example."}`:                  "76",
		`sdp_rpz_notifies_refused_total`:                                    "78",
		`sdp_rpz_hits_total{zone="rpz.example.",action="nxdomain"}`:         "61",
		`sdp_rpz_hits_total{zone="rpz.example.",action="disabled"}`:         "62",
		`sdp_build_info{version="v1",revision="abc",go="go1"}`:              "1",
		`sdp_engine{engine="mmsg"}`:                                         "1",
		`sdp_engine{engine="uring"}`:                                        "0",
		`sdp_engine_fallback{reason="sysctl says \"no\""}`:                  "1",
		`sdp_steering{by="cpu"}`:                                            "1",
		`sdp_steering{by="hash"}`:                                           "0",
		`sdp_worker_queries_total{worker="0",transport="udp"}`:              "80",
		`sdp_worker_queries_total{worker="1",transport="tcp"}`:              "10",
		`sdp_worker_skew`:                                                               "0",
		`sdp_engine_enters_per_query`:                                                   "0",
		`sdp_reloads_total{result="refused"}`:                                           "0",
		`sdp_queries_total{transport="udp"}`:                                            "90",
		`sdp_queries_total{transport="tcp"}`:                                            "10",
		`sdp_cache_hits_total`:                                                          "70",
		`sdp_cache_misses_total`:                                                        "20",
		`sdp_blocked_queries_total{action="refuse"}`:                                    "41",
		`sdp_blocks{of="source"}`:                                                       "1",
		`sdp_blocks{of="name"}`:                                                         "0",
		`sdp_blocks_added_total{by="operator"}`:                                         "1",
		`sdp_blocks_queries_total{by="operator"}`:                                       "0",
		`sdp_blocks_kernel_interfaces`:                                                  "2",
		`sdp_blocks_kernel_drops_total`:                                                 "0",
		`sdp_blocks_kept_writes_total{result="written"}`:                                "0",
		`sdp_blocks_kept_writes_total{result="failed"}`:                                 "0",
		`sdp_blocks_restored_total`:                                                     "0",
		`sdp_blocks_list_full_total`:                                                    "0",
		`sdp_shed_heavy_total`:                                                          "42",
		`sdp_shedding_workers`:                                                          "1",
		`sdp_held_failures_total`:                                                       "14",
		`sdp_requests_total{kind="update",result="failed"}`:                             "101",
		`sdp_requests_in_flight`:                                                        "102",
		`sdp_transfer_messages_total`:                                                   "103",
		`sdp_transfer_bytes_total`:                                                      "104",
		`sdp_prohibited_total`:                                                          "18",
		`sdp_rule_hits_total{chain="miss",rule="no-any"}`:                               "23",
		`sdp_set_entries{set="blocked"}`:                                                "28",
		`sdp_set_reloads_total{result="applied"}`:                                       "27",
		`sdp_set_reloads_total{result="refused"}`:                                       "0",
		`sdp_rule_delays_total`:                                                         "19",
		`sdp_rule_delays_denied_total`:                                                  "20",
		`sdp_rule_tees_total`:                                                           "21",
		`sdp_rule_tees_denied_total`:                                                    "22",
		`sdp_cache_prefetches_total`:                                                    "16",
		`sdp_cache_prefetches_denied_total`:                                             "17",
		`sdp_followed_total`:                                                            "25",
		`sdp_follows_failed_total`:                                                      "26",
		`sdp_cache_shared_hits_total`:                                                   "18",
		`sdp_cache_shared_misses_total`:                                                 "19",
		`sdp_cache_shared_busy_total`:                                                   "20",
		`sdp_cache_shared_inserts_total`:                                                "21",
		`sdp_cache_shared_evictions_total`:                                              "22",
		`sdp_cache_shared_refused_total`:                                                "23",
		`sdp_cache_shared_bytes`:                                                        "24",
		`sdp_local_answers_total`:                                                       "15",
		`sdp_coalesced_total`:                                                           "10",
		`sdp_answers_total{rcode="NOERROR"}`:                                            "95",
		`sdp_answers_total{rcode="NXDOMAIN"}`:                                           "4",
		`sdp_answers_total{rcode="RCODE15"}`:                                            "0",
		`sdp_answers_total{rcode="OTHER"}`:                                              "1",
		`sdp_drops_total{reason="short"}`:                                               "7",
		`sdp_drops_total{reason="response"}`:                                            "0",
		`sdp_cookies_total{cookie="valid"}`:                                             "18",
		`sdp_limited_total{limit="ipv4_24",outcome="truncated"}`:                        "19",
		`sdp_limited_total{limit="errors",outcome="dropped"}`:                           "0",
		`sdp_limited_sources`:                                                           "20",
		`sdp_client_subnet_answers_total{result="cached"}`:                              "19",
		`sdp_client_subnet_answers_total{result="too_many"}`:                            "20",
		`sdp_passed_options_total{result="passed"}`:                                     "21",
		`sdp_passed_options_total{result="refused"}`:                                    "22",
		`sdp_upstream_subnet_refused_total{upstream="tls://192.0.2.1"}`:                 "14",
		`sdp_cookies_total{cookie="invalid"}`:                                           "0",
		`sdp_tcp_connection_events_total{event="idle"}`:                                 "3",
		`sdp_changed_answers_total{reason="strange_records"}`:                           "51",
		`sdp_changed_answers_total{reason="rebinding"}`:                                 "52",
		`sdp_loop_queries_total`:                                                        "56",
		`sdp_nxdomain_cuts_total`:                                                       "55",
		`sdp_changed_answers_total{reason="dns64"}`:                                     "53",
		`sdp_changed_answers_total{reason="dns64_reverse"}`:                             "54",
		`sdp_overloaded_workers`:                                                        "1",
		`sdp_refused_sources`:                                                           "3",
		`sdp_refused_datagrams_total`:                                                   "500",
		`sdp_socket_drops_total`:                                                        "40",
		`sdp_cache_bytes`:                                                               "4096",
		`sdp_in_flight`:                                                                 "6",
		`sdp_query_duration_seconds_bucket{le="4.096e-06"}`:                             "5",
		`sdp_query_duration_seconds_bucket{le="+Inf"}`:                                  "7",
		`sdp_query_duration_seconds_sum`:                                                "1.5",
		`sdp_query_duration_seconds_count`:                                              "7",
		`sdp_upstream_up{upstream="tls://192.0.2.1"}`:                                   "0",
		`sdp_upstream_exchanges_total{upstream="tls://192.0.2.1"}`:                      "25",
		`sdp_upstream_exchanges_total{upstream="udp://192.0.2.2"}`:                      "0",
		`sdp_upstream_state{upstream="tls://192.0.2.1",state="down"}`:                   "1",
		`sdp_upstream_state{upstream="tls://192.0.2.1",state="up"}`:                     "0",
		`sdp_upstream_transitions_total{upstream="tls://192.0.2.1",state="down"}`:       "1",
		`sdp_upstream_transitions_total{upstream="tls://192.0.2.1",state="suspect"}`:    "0",
		`sdp_upstream_share{upstream="tls://192.0.2.1"}`:                                "1",
		`sdp_upstream_probes_total{upstream="tls://192.0.2.1",result="timeout"}`:        "1",
		`sdp_upstream_probes_total{upstream="tls://192.0.2.1",result="rcode"}`:          "1",
		`sdp_upstream_probes_total{upstream="tls://192.0.2.1",result="good"}`:           "0",
		`sdp_upstream_probe_duration_seconds_sum{upstream="tls://192.0.2.1"}`:           "0.5",
		`sdp_upstream_probe_duration_seconds_count{upstream="tls://192.0.2.1"}`:         "1",
		`sdp_upstream_errors_total{upstream="tls://192.0.2.1",fault="tls"}`:             "5",
		`sdp_upstream_errors_total{upstream="udp://192.0.2.2",fault="timeout"}`:         "0",
		`sdp_upstream_duration_seconds_count{upstream="tls://192.0.2.1"}`:               "20",
		`sdp_upstream_duration_seconds_bucket{upstream="tls://192.0.2.1",le="+Inf"}`:    "20",
		`sdp_upstream_connections{upstream="tls://192.0.2.1"}`:                          "2",
		`sdp_upstream_addresses{upstream="tls://192.0.2.1",state="known"}`:              "2",
		`sdp_control_requests_total{result="done"}`:                                     "5",
		`sdp_control_requests_total{result="denied"}`:                                   "4",
		`sdp_metrics_denied_total`:                                                      "9",
		`sdp_control_requests_total{result="refused"}`:                                  "2",
		`sdp_upstream_addresses{upstream="tls://192.0.2.1",state="healthy"}`:            "1",
		`sdp_name_lookups_total{result="upstream"}`:                                     "3",
		`sdp_name_lookups_total{result="bootstrap"}`:                                    "2",
		`sdp_name_lookups_total{result="failed"}`:                                       "0",
		`sdp_upstream_dial_errors_total{upstream="tls://192.0.2.1"}`:                    "5",
		`sdp_upstream_insecure{upstream="tls://192.0.2.1"}`:                             "1",
		`sdp_upstream_certificate_expiry_timestamp_seconds{upstream="tls://192.0.2.1"}`: "1800000000",
		`sdp_upstream_sent_bytes_total{upstream="tls://192.0.2.1"}`:                     "1000",
		`sdp_upstream_limit{upstream="tls://192.0.2.1"}`:                                "12",
		`sdp_upstream_cancelled_total{upstream="tls://192.0.2.1"}`:                      "13",
		`sdp_view_queries_total{view="guests",transport="udp"}`:                         "21",
		`sdp_view_queries_total{view="guests",transport="tcp"}`:                         "22",
		`sdp_view_cache_hits_total{view="guests"}`:                                      "23",
		`sdp_view_limited_total{view="guests"}`:                                         "28",
		`sdp_view_misses_total{view="guests"}`:                                          "24",
		`sdp_view_full_total{view="guests"}`:                                            "25",
		`sdp_view_shed_total{view="guests"}`:                                            "26",
		`sdp_view_cache_bytes{view="guests"}`:                                           "29",
		`sdp_pool_cache_bytes{pool="default"}`:                                          "12",
		`sdp_view_in_flight{view="guests"}`:                                             "27",
		`sdp_pool_queries_total{pool="default"}`:                                        "1",
		`sdp_pool_retries_total{pool="default"}`:                                        "2",
		`sdp_pool_retries_denied_total{pool="default"}`:                                 "3",
		`sdp_pool_hedges_total{pool="default"}`:                                         "4",
		`sdp_pool_hedges_denied_total{pool="default"}`:                                  "5",
		`sdp_pool_hedge_wins_total{pool="default"}`:                                     "6",
		`sdp_pool_racers_total{pool="default"}`:                                         "7",
		`sdp_pool_limited_total{pool="default"}`:                                        "8",
		`sdp_pool_stale_total{pool="default"}`:                                          "9",
		`sdp_pool_failed_total{pool="default"}`:                                         "10",
		`sdp_pool_in_flight{pool="default"}`:                                            "11",
		`sdp_pool_upstreams{pool="default",state="known"}`:                              "3",
		`sdp_pool_upstreams{pool="default",state="up"}`:                                 "2",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
	for _, series := range []string{`sdp_upstream_up{upstream="udp://192.0.2.2"}`, `sdp_upstream_state{upstream="udp://192.0.2.2",state="up"}`} {
		if value, there := got[series]; there {
			t.Errorf("%s is %s, want none: that upstream is gone", series, value)
		}
	}
	for _, family := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if got[family] == "" {
			t.Errorf("no %s", family)
		}
	}
}

// TestPageOfConnections: why they ended, and how they began.
func TestPageOfConnections(t *testing.T) {
	got := scrape(t, sample())
	const label = `{upstream="tls://192.0.2.1"`
	for series, want := range map[string]string{
		"sdp_upstream_retired_connections_total" + label + `,reason="age"}`:       "3",
		"sdp_upstream_retired_connections_total" + label + `,reason="keepalive"}`: "0",
		"sdp_upstream_fast_open_total" + label + "}":                              "4",
	} {
		if got[series] != want {
			t.Errorf("%s: got %q, want %q", series, got[series], want)
		}
	}
}

// TestBucketsGrow: a histogram's buckets are cumulative, in order, and each family has as many as it should.
func TestBucketsGrow(t *testing.T) {
	f := &figures{}
	for i := range f.stats.Latency.Count {
		f.stats.Latency.Count[i] = 1
	}
	var out bytes.Buffer
	p := new(page)
	p.begin("h", "histogram", "")
	p.histogram(&f.stats.Latency, queryBucketStep)
	p.writeTo(&out)
	buckets, lastBound, lastCount := 0, 0.0, 0.0
	for line := range strings.Lines(out.String()) {
		m := regexp.MustCompile(`^h_bucket\{le="([^"]+)"\} (\d+)`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		buckets++
		bound, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		count, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if bound <= lastBound || count <= lastCount {
			t.Errorf("bucket %g with %g after %g with %g", bound, count, lastBound, lastCount)
		}
		lastBound, lastCount = bound, count
	}
	if want := worker.LatencyBuckets / queryBucketStep; buckets != want || lastCount != worker.LatencyBuckets {
		t.Errorf("got %d buckets up to %g, want %d up to %d", buckets, lastCount, want, worker.LatencyBuckets)
	}
}

// TestFamiliesAreDocumented: the package doc lists every family of ours, and every family has its HELP and TYPE once, before its series.
func TestFamiliesAreDocumented(t *testing.T) {
	var out bytes.Buffer
	set := NewMetrics(sample(), Build{}, new(Reloads), new(Trend))
	AddLookups(set, new(bootstrap.Counters))
	AddControl(set, new(control.Server))
	AddAccess(set, new(Server))
	AddKept(set, new(Kept))
	AddBlocks(set, someBlocks(t), 2)
	AddZones(set, someZones, func() (s worker.ZoneStats) {
		s.Hits[1][policy.NXDomain], s.Disabled[1] = 61, 62
		return s
	})
	AddDesignations(set, func() []Designation { return []Designation{{Upstream: "udp://192.0.2.1"}} })
	AddPoolUpstreams(set, func() []PoolUpstreams { return []PoolUpstreams{{Pool: "default"}} })
	set.WritePrometheus(&out)
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile(`sdp_[a-z_]+(\{[a-z_,]+\})?[a-z_]*`).FindAllString(string(doc), -1) {
		base, rest, braces := strings.Cut(m, "{")
		list, tail, _ := strings.Cut(rest, "}")
		documented[base] = true
		if braces && tail != "" { // sdp_cache_{inserts,evictions}_total
			for _, word := range strings.Split(list, ",") {
				documented[base+word+tail] = true
			}
		}
	}
	families, typed := map[string]bool{}, map[string]int{}
	for line := range strings.Lines(out.String()) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			typed[strings.Fields(name)[0]]++
			continue
		}
		name := regexp.MustCompile(`^sdp_[a-z_]+`).FindString(line)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(name, suffix); cut && typed[base] > 0 {
				name = base
			}
		}
		if name != "" {
			families[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if typed[name] != 1 {
			t.Errorf("%s has %d TYPE lines before its series, want 1", name, typed[name])
		}
		if !documented[name] {
			t.Errorf("%s is not in the package doc", name)
		}
	}
}

func TestServer(t *testing.T) {
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(NewMetrics(sample(), Build{}, new(Reloads), new(Trend)), slog.New(slog.DiscardHandler))
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/": http.StatusOK, "/other": http.StatusNotFound} {
		reply, err := http.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err != nil || reply.StatusCode != want {
			t.Errorf("%s: got %d, %v, want %d", path, reply.StatusCode, err, want)
		}
		if want == http.StatusOK && !bytes.Contains(body, []byte("\nsdp_cache_hits_total 70\n")) {
			t.Errorf("%s: the figures are missing", path)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + s.Addr().String() + "/metrics"); err == nil {
		t.Error("still served after Close")
	}
}

func TestLine(t *testing.T) {
	begin := time.Unix(1000, 0)
	after := func(d time.Duration, edit func(*Sample)) *Sample {
		s := &Sample{At: begin.Add(d)}
		edit(s)
		return s
	}
	tests := []struct {
		name        string
		before, now *Sample
		want        string
	}{
		{
			"nothing", after(0, func(*Sample) {}), after(time.Second, func(*Sample) {}),
			"queries 0       0/s  hits     -  p50       -  p99       -  upstream p50       -  p99       -",
		},
		{
			"some", after(0, func(s *Sample) { s.Stats.QueriesUDP, s.Stats.Hits, s.Stats.Latency.Count[0] = 1000, 900, 1000 }),
			after(2*time.Second, func(s *Sample) {
				s.Stats.QueriesUDP, s.Stats.QueriesTCP, s.Stats.Hits = 1190, 10, 1050
				s.Stats.Latency.Count[0], s.Stats.Latency.Count[7], s.Stats.Latency.Count[90] = 1000, 190, 10
				s.Upstream.Count[90], s.Upstream.Count[160] = 45, 5
			}),
			"queries 1200     100/s  hits   75%  p50  8.19us  p99  11.5ms  upstream p50  11.5ms  p99   4.83s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Line(tt.before, tt.now); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestQuantileText(t *testing.T) {
	for bucket, want := range map[int]string{0: " 1.02us", 7: " 8.19us", 40: "  147us", 64: " 1.18ms", 191: "  68.7s"} {
		var h worker.Histogram
		h.Count[bucket] = 1
		if got := quantileText(&h, 0.5); got != want {
			t.Errorf("bucket %d (%v): got %q, want %q", bucket, worker.LatencyBound(bucket), got, want)
		}
	}
}

func TestLog(t *testing.T) {
	tests := []struct{ format, want string }{
		{"text", "level=WARN msg=hello key=value\n"},
		{"json", `"level":"WARN","msg":"hello","key":"value"}` + "\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		level := new(slog.LevelVar)
		level.Set(slog.LevelWarn)
		log := NewLog(&out, tt.format, level)
		log.Info("too low")
		log.Warn("hello", "key", "value")
		if !strings.HasSuffix(out.String(), tt.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: got %q, want one line ending in %q", tt.format, out.String(), tt.want)
		}
		level.Set(slog.LevelInfo)
		log.Info("now")
		if !strings.Contains(out.String(), "now") {
			t.Errorf("%s: a lower level has no effect", tt.format)
		}
	}
}
