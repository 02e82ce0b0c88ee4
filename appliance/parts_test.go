package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/subnet"
)

func TestHelpers(t *testing.T) {
	for workers, want := range map[int]int{1: 3, 2: 3, 3: 3, 4: 4, 6: 4, 7: 5, 256: 88} {
		if got := helpers(workers, 2); got != want {
			t.Errorf("%d workers: got %d helpers, want %d", workers, got, want)
		}
	}
	for workers, want := range map[int]int{1: 1, 2: 3} {
		if got := helpers(workers, 1); got != want {
			t.Errorf("%d workers on one CPU: got %d helpers, want %d", workers, got, want)
		}
	}
}

// checkedText is a configuration from text.
func checkedText(t *testing.T, text string) *config.Checked {
	t.Helper()
	f, problems := config.Parse("f.toml", []byte(text))
	if f == nil {
		t.Fatal(problems)
	}
	checked, problems := config.Check(f)
	if checked == nil {
		t.Fatal(problems)
	}
	return checked
}

func TestStreamConfig(t *testing.T) {
	tests := []struct {
		text                   string
		conns, perClient, pool int
	}{
		{"", 4096, 256, 5461},
		{"tcp.max_connections = 10\ntcp.max_connections_per_client = 8\nworkers.count = 4\n", 3, 3, 4},
		{"tcp.max_connections = 1\ntcp.max_connections_per_client = 1\n", 1, 1, 1},
	}
	for _, tt := range tests {
		text := tt.text
		if !strings.Contains(text, "workers") {
			text += "workers.count = 1\n"
		}
		got := streamConfig(checkedText(t, "upstream = \"embedded:\"\n"+text))
		if got.Conns != tt.conns || got.ConnsPerClient != tt.perClient || got.PoolSmall != tt.pool {
			t.Errorf("%q: got %d, %d, %d, want %d, %d, %d", tt.text, got.Conns, got.ConnsPerClient, got.PoolSmall, tt.conns, tt.perClient, tt.pool)
		}
	}
}

func TestSnapshot(t *testing.T) {
	c := checkedText(t, `
upstream = "embedded:"
upstream_policy = "sequential"
cache = {min_ttl = "5s", max_ttl = "1h", max_negative_ttl = "1m", min_negative_ttl = "7s", failure_ttl = "3s", prefetch = 11, shared_percent = 13, prefetch_rate = 12, max_failure_ttl = "9s", bytes = "16MiB"}
timeouts = {query = "4s", upstream = "500ms"}
workers.count = 1
`)
	s := snapshot(c, nil)
	got := fmt.Sprint(s.Pools[0].Policy, s.CacheBytes, s.TTLMin, s.TTLMax, s.NegativeTTLMin, s.NegativeTTLMax, s.FailureTTL, s.FailureTTLMax, s.PrefetchPercent, s.PrefetchRate, s.SharedPercent, s.QueryTimeout, s.AttemptTimeout)
	if want := "sequential 16777216 5 3600 7 60 3s 9s 11 12 13 4s 500ms"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Requests.Kinds[worker.RequestUpdate] = worker.Course{Treatment: worker.Forwarded, Pool: "default"}
	want := worker.Requests{Classes: worker.Refused}
	want.Kinds[worker.RequestUpdate], want.Kinds[worker.RequestSigned].Treatment = worker.Course{Treatment: worker.Forwarded, Pool: "default"}, worker.NotAuthorized
	if s = snapshot(c, nil); s.Requests != want {
		t.Errorf("got requests %v", s.Requests)
	}
	c.Cache.Enabled = false
	if s = snapshot(c, nil); s.CacheBytes != 0 {
		t.Errorf("cache off: got %d bytes", s.CacheBytes)
	}
}

func TestSnapshotOfAdmission(t *testing.T) {
	for text, want := range map[string]worker.Admission{
		"": {Enabled: true, Target: 5 * time.Millisecond, KernelFilter: true, ShedMisses: true},
		"[admission]\nenabled = false\ntarget_delay = \"7ms\"\nexempt = \"192.0.2.0/24\"\nkernel_filter = false\nshed = \"drop\"\nshed_misses = false": {
			Shed: admission.ShedDrop, Target: 7 * time.Millisecond, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		},
	} {
		if got := snapshot(checkedText(t, "upstream = \"embedded:\"\n"+text), nil).Admission; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func TestSnapshotOfEDNS(t *testing.T) {
	s := snapshot(checkedText(t, `
[[upstream]]
url = "embedded:"
pools = ["default", "lan"]
[edns]
client_subnet = "add"
client_subnet_ipv4 = 20
client_subnet_ipv6 = 48
client_subnet_private = true
pass_options = [65001]
pass_errors = false
[pool.lan]
suffixes = "lan"
client_subnet = "pass"
client_subnet_ipv4 = 30
client_subnet_ipv6 = 60
client_subnet_private = false
`), nil)
	if s.PassErrors || !slices.Equal(s.PassOptions, []uint16{65001}) {
		t.Errorf("got options %v, errors %v", s.PassOptions, s.PassErrors)
	}
	for i, want := range []subnet.Spec{{Mode: subnet.Add, IPv4: 20, IPv6: 48, Private: true}, {Mode: subnet.Pass, IPv4: 30, IPv6: 60}} {
		if s.Pools[i].Subnet != want {
			t.Errorf("pool %s: got %+v, want %+v", s.Pools[i].Name, s.Pools[i].Subnet, want)
		}
	}
	if s = snapshot(checkedText(t, `upstream = "embedded:"`), nil); s.Pools[0].Subnet != (subnet.Spec{IPv4: 24, IPv6: 56}) || !s.PassErrors {
		t.Errorf("got %+v, errors %v", s.Pools[0].Subnet, s.PassErrors)
	}
}

func TestEndpoints(t *testing.T) {
	c := checkedText(t, `
prewarm_pools = false
timeouts = {dial = "1s", idle = "2s", dead = "3s"}
tls.min_version = "1.2"
addresses = {first_family = "ipv4", attempt_delay = "700ms"}
connection = {max_queries = 7, max_age = "1m", edns_keepalive = false}

[[upstream]]
url = "udp://192.0.2.1"
[[upstream]]
url = "tls://192.0.2.2:8853"
tls_name = "dns.example"
connections = 3
fast_open = true
[[upstream]]
url = "quic://dns.example"
addresses = ["192.0.2.3", "2001:db8::3"]
[[upstream]]
url = "https://192.0.2.4/q"
insecure_tls = true
padding = 0
`)
	r := &roster{log: slog.New(slog.DiscardHandler)}
	planned, err := r.plan(c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"udp://192.0.2.1 udp 192.0.2.1 53  1 [192.0.2.1:53] 0 -",
		"tls://192.0.2.2:8853 tls 192.0.2.2 8853  3 [192.0.2.2:8853] 128 dns.example 303 verify",
		"quic://dns.example quic dns.example 853  1 [192.0.2.3:853 [2001:db8::3]:853] 128 dns.example 304 verify",
		"https://192.0.2.4/q https 192.0.2.4 443 /q 1 [192.0.2.4:443] 0 192.0.2.4 303 insecure",
	}
	for i, e := range endpointsOf(planned) {
		tls := "-"
		if e.TLS != nil {
			verify := "verify"
			if e.TLS.InsecureSkipVerify {
				verify = "insecure"
			}
			tls = fmt.Sprintf("%s %x %s", e.TLS.ServerName, e.TLS.MinVersion, verify)
			if e.TLS.ClientSessionCache == nil {
				t.Errorf("%s: no session cache", e.Name)
			}
		}
		got := fmt.Sprintf("%s %s %s %d %s %d %v %d %s", e.Name, e.Scheme, e.Host, e.Port, e.Path, e.Conns, e.Addresses.Load(), e.PaddingBlock, tls)
		if got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
		if e.MaxQueries != 7 || e.MaxAge != time.Minute || e.AskKeepalive || e.FastOpen != (e.Scheme == transport.TLS) {
			t.Errorf("%s: got at most %d queries, age %v, asks %t, fast %t", e.Name, e.MaxQueries, e.MaxAge, e.AskKeepalive, e.FastOpen)
		}
		if e.DialTimeout != time.Second || e.IdleTimeout != 2*time.Second || e.DeadAfter != 3*time.Second || e.Prewarm {
			t.Errorf("%s: got timeouts %v, %v, %v, prewarm %v", e.Name, e.DialTimeout, e.IdleTimeout, e.DeadAfter, e.Prewarm)
		}
		if e.AttemptDelay != 700*time.Millisecond || !e.IPv4First {
			t.Errorf("%s: got attempt delay %v, IPv4 first %v", e.Name, e.AttemptDelay, e.IPv4First)
		}
	}
}

// watched is an entry with one endpoint that nothing listens at, and its state.
func watched(name string) (entry, *health.State) {
	state := health.New(func() int64 { return int64(transport.Now()) })
	u := config.Upstream{Health: config.Health{Config: health.Default()}}
	return entry{upstream: u, endpoints: []*transport.Endpoint{{
		Name: name, Scheme: transport.UDP, Health: state,
		Addresses: transport.NewAddresses(netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53")),
	}}}, state
}

func TestWatch(t *testing.T) {
	var book logBook
	w := newWatch(slog.New(slog.NewTextHandler(&book, nil)))
	a, state := watched("tls://a")
	b, other := watched("tls://b")
	w.follow([]entry{a, b})
	answer := func() { state.Allow(int64(transport.Now())); state.Succeeded(int64(transport.Now()), 0) }
	end, first := a.endpoints[0], netip.MustParseAddrPort("192.0.2.1:53")
	steps := []struct {
		name  string
		do    func()
		lines string
	}{
		{"untried", func() {}, ""},
		{"down", func() { state.Down(errors.New("wrong name")) }, `level=ERROR msg="upstream down" upstream=tls://a was=untried reason="wrong name"`},
		{"still down", func() { state.Down(errors.New("wrong name")) }, ""},
		{"a connection, no answer", func() { state.Up() }, ""},
		{"up", answer, `level=INFO msg="upstream up" upstream=tls://a was=down reason="it answered"`},
		{"still up", answer, ""},
		{"a reload that keeps it", func() { w.follow([]entry{a}) }, ""},
		{"suspect and up again between two looks", func() {
			state.Down(errors.New("reset"))
			state.Probed(int64(transport.Now())+5e9, health.ProbeGood, 0, nil)
		}, `level=INFO msg="upstream suspect" upstream=tls://a was=up reason=reset` + "|" +
			`level=INFO msg="upstream up" upstream=tls://a was=suspect reason="nothing is wrong any more"`},
		{
			"an address fails", func() { end.AddressFailed(first, transport.Now(), errors.New("refused")) },
			`level=WARN msg="upstream address fails" upstream=tls://a address=192.0.2.1:53 reason=refused`,
		},
		{"and fails again", func() { end.AddressFailed(first, transport.Now()+time.Hour, errors.New("timed out")) }, ""},
		{"it works again", func() { end.AddressWorked(first) }, `level=INFO msg="upstream address works again" upstream=tls://a address=192.0.2.1:53`},
		{"an address that fails and is removed", func() {
			end.AddressFailed(first, transport.Now(), errors.New("refused"))
			end.Addresses.Store([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:53")})
		}, ""},
		{"an only address is the upstream itself", func() { end.AddressFailed(end.Addresses.Load()[0], transport.Now(), errors.New("refused")) }, ""},
		{"gone", func() { w.follow(nil); other.Down(errors.New("unseen")) }, ""},
	}
	stamp := regexp.MustCompile(`(?m)^time=\S+ `)
	for _, s := range steps {
		before := len(book.String())
		s.do()
		w.read()
		got := strings.TrimSpace(stamp.ReplaceAllString(book.String()[before:], ""))
		if got = strings.ReplaceAll(got, "\n", "|"); got != s.lines {
			t.Errorf("%s:\ngot  %q\nwant %q", s.name, got, s.lines)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.run(ctx) // must return
}

// TestWatchCountsOn: an upstream whose endpoint is replaced, or that comes again, goes on counting.
func TestWatchCountsOn(t *testing.T) {
	w := newWatch(slog.New(slog.DiscardHandler))
	a, state := watched("tls://a")
	w.follow([]entry{a})
	state.Down(errors.New("reset"))
	again, next := watched("tls://a")
	w.follow([]entry{again})
	w.follow(nil)
	last, final := watched("tls://a")
	next.Down(errors.New("after its end: not counted"))
	w.follow([]entry{last})
	defer w.close()
	if got := final.Figures().Entered[health.Down]; got != 1 {
		t.Errorf("got %d times down, want 1", got)
	}
}

func TestNotify(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@sdp-test-" + filepath.Base(t.TempDir())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv("NOTIFY_SOCKET", name)
		n := newNotifier()
		for _, step := range []struct {
			send func() error
			want string
		}{
			{func() error { return n.ready("fine") }, "READY=1\nSTATUS=fine"},
			{n.reloading, "RELOADING=1\nMONOTONIC_USEC="},
			{n.stopping, "STOPPING=1"},
		} {
			if err := step.send(); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 200)
			k, err := l.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(buf[:k]); !strings.HasPrefix(got, step.want) {
				t.Errorf("%s: got %q, want %q", name, got, step.want)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := newNotifier().ready("nobody listens"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "/nonexistent/notify")
	if err := newNotifier().stopping(); err == nil {
		t.Error("a missing socket is no error")
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, log: &out}
	write := func(text string) {
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	write("before\n")
	s.show("one")
	s.show("two")
	write("record\n")
	s.end()
	write("after\n")
	want := "before\n" + clearLine + "one" + clearLine + "two" + clearLine + "record\ntwo\nafter\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestUnoccupied(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for name, addr := range map[string]string{
		"tcp": tcp.Addr().String(), "udp": udp.LocalAddr().String(),
		"wildcard": fmt.Sprintf("[::]:%d", udp.LocalAddr().(*net.UDPAddr).Port),
	} {
		err := bindHelp(unoccupied([]netip.AddrPort{netip.MustParseAddrPort(addr)}))
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another instance") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := unoccupied([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		t.Errorf("port 0: %v", err)
	}
}

func TestListenMetrics(t *testing.T) {
	first, err := listenMetrics(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if s, err := listenMetrics(first.Addr(), false); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a configured port that is taken: got %v, %v", s, err)
	}
	second, err := listenMetrics(first.Addr(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.Addr() == first.Addr() {
		t.Errorf("both on %s", first.Addr())
	}
}

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	checked, problems := demo(&out)
	if checked == nil || len(problems) != 0 {
		t.Fatal(problems)
	}
	if got := checked.Listen[0].String(); got != "127.0.0.1:5300" || checked.File != "" {
		t.Errorf("got %s, file %q", got, checked.File)
	}
	greet(&out, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5300"), netip.MustParseAddrPort("[::1]:5300")}, netip.MustParseAddrPort("127.0.0.1:9154"), "uring")
	for _, want := range []string{
		"dig @127.0.0.1 -p 5300 www.demo.example\n", "dig @::1 -p 5300 www.demo.example\n", "dig @127.0.0.1 -p 5300 +tcp chain.demo.example",
		"http://127.0.0.1:9154/metrics", "engine uring", "127.0.0.1:5300 [::1]:5300",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
}
