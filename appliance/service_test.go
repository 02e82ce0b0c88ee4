package appliance

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/telemetry"
)

// eventually bounds waits for what another goroutine does; nothing takes as long unless it is broken.
const eventually = 20 * time.Second

// logBook collects log records.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBook) count(part string) int { return strings.Count(b.String(), part) }

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(eventually); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// product is a service under test with its file and its log.
type product struct {
	*service
	file string
	book *logBook
}

// head is what every test's file begins with: ports that the kernel chooses, the engine that runs everywhere, one worker, and nothing that is asked
// beside what clients ask.
const head = `
listen = ["127.0.0.1:0"]
backend = "mmsg"
workers.count = 1
metrics.listen = "127.0.0.1:0"
requests.loop_interval = "0s"
`

func writeConfig(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, text string) *product {
	t.Helper()
	p := &product{file: filepath.Join(t.TempDir(), "proxy.toml"), book: new(logBook)}
	writeConfig(t, p.file, text)
	checked, problems := config.Load(p.file)
	if checked == nil {
		t.Fatal(problems)
	}
	level := new(slog.LevelVar)
	level.Set(checked.Logging.Level)
	var err error
	p.service, err = startService(checked, Options{Build: telemetry.Build{Version: "test"}}, telemetry.NewLog(p.book, "text", level), level, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.drain(); err != nil {
			t.Errorf("drain: %v", err)
		}
		if t.Failed() {
			t.Log(p.book)
		}
	})
	return p
}

func (p *product) ask(t *testing.T, network, name string) *dns.Msg {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	reply, _, err := (&dns.Client{Net: network, Timeout: eventually}).Exchange(query, p.listeners.Addrs()[0].String())
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	return reply
}

func (p *product) metric(t *testing.T, series string) string {
	t.Helper()
	for line := range strings.Lines(p.page(t)) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "none"
}

// page is the metrics as they are now.
func (p *product) page(t *testing.T) string {
	t.Helper()
	reply, err := http.Get("http://" + p.metricsAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServesTheEmbeddedZone(t *testing.T) {
	p := start(t, head+`upstream = "embedded:"`)
	for _, network := range []string{"udp", "tcp", "udp"} {
		reply := p.ask(t, network, "www.demo.example.")
		if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
			t.Errorf("over %s: got %s", network, reply)
		}
	}
	await(t, "the figures add up", func() bool {
		return p.metric(t, `sdp_queries_total{transport="udp"}`) == "2" && p.metric(t, `sdp_queries_total{transport="tcp"}`) == "1" &&
			p.metric(t, "sdp_cache_hits_total") == "2" && p.metric(t, `sdp_answers_total{rcode="NOERROR"}`) == "3"
	})
	await(t, "both upstreams are logged as up", func() bool { return p.book.count(`msg="upstream up"`) == 2 })
	for _, want := range []string{"msg=serving version=test", fmt.Sprintf("pid=%d", os.Getpid()), "engine=mmsg", "embedded:tls embedded:quic", p.listeners.Addrs()[0].String()} {
		if p.book.count(want) != 1 {
			t.Errorf("the log has %q %d times, want once:\n%s", want, p.book.count(want), p.book)
		}
	}
}

func TestReload(t *testing.T) {
	p := start(t, head+`upstream = "embedded:"`)
	if got := p.ask(t, "udp", "www.demo.example.").Rcode; got != dns.RcodeSuccess {
		t.Fatalf("got %s", dns.RcodeToString[got])
	}
	dot, doq := p.roster.entries[0].endpoints[0], p.roster.entries[0].endpoints[1]

	// Another upstream beside it, another policy, a key that takes a restart.
	writeConfig(t, p.file, strings.Replace(head, "workers.count = 1", "workers.count = 2", 1)+`
upstream = ["embedded:", "udp://127.0.0.1:9"]
upstream_policy = "sequential"
logging.level = "debug"
cache.bytes = "8MiB"
`)
	p.reload()
	if p.book.count("msg=reloaded") != 1 || p.reloads.Applied.Load() != 1 {
		t.Fatalf("not reloaded:\n%s", p.book)
	}
	if got := p.group.Upstreams(); len(got) != 3 || got[2].Name != "udp://127.0.0.1:9" {
		t.Errorf("got upstreams %v", got)
	}
	if p.book.count("key=workers.count") != 1 || p.checked.Workers.Count != 1 {
		t.Errorf("a change of workers.count was not held back with a warning:\n%s", p.book)
	}
	if got := p.level.Level(); got != slog.LevelDebug {
		t.Errorf("got log level %s, want debug", got)
	}
	if now := p.roster.entries[0].endpoints; now[0] != dot || now[1] != doq {
		t.Error("an upstream that stayed as it was has new endpoints")
	}
	before := p.metric(t, "sdp_cache_hits_total")
	p.ask(t, "udp", "www.demo.example.")
	await(t, "the answer from before the reload is still in the cache", func() bool { return p.metric(t, "sdp_cache_hits_total") != before })

	// A file with two errors changes nothing, and both are logged.
	running := p.checked
	writeConfig(t, p.file, "upstream = \"ftp://127.0.0.1\"\nnonsense = 1\n")
	p.reload()
	if p.checked != running || p.reloads.Refused.Load() != 1 {
		t.Error("a bad file was adopted")
	}
	for _, want := range []string{"line=1 key=upstream", "line=2 key=nonsense", `msg="reload refused, the running configuration stays in force"`} {
		if p.book.count(want) != 1 {
			t.Errorf("the log has %q %d times, want once", want, p.book.count(want))
		}
	}
	if got := p.ask(t, "udp", "other.wild.demo.example.").Rcode; got != dns.RcodeSuccess {
		t.Errorf("after a bad file: got %s", dns.RcodeToString[got])
	}

	// A missing file neither.
	if err := os.Remove(p.file); err != nil {
		t.Fatal(err)
	}
	p.reload()
	if p.checked != running || p.book.count("no such file or directory") != 1 {
		t.Error("a missing file was not refused")
	}

	// Changed timeouts make new endpoints; the old ones are let go.
	writeConfig(t, p.file, head+"upstream = \"embedded:\"\ntimeouts.dial = \"1s\"\n")
	p.reload()
	if now := p.roster.entries[0].endpoints[0]; now == dot || now.DialTimeout != time.Second {
		t.Error("a changed timeout had no effect on the endpoint")
	}
	if got := p.ask(t, "udp", "third.wild.demo.example.").Rcode; got != dns.RcodeSuccess {
		t.Errorf("with new endpoints: got %s", dns.RcodeToString[got])
	}
}

// TestNamesAreResolved: an upstream's name goes through a bootstrap server, and one that nobody knows keeps nobody from starting.
func TestNamesAreResolved(t *testing.T) {
	upstream := startDNS(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		rr, _ := dns.NewRR(query.Question[0].Name + " 60 IN A 192.0.2.99")
		reply.Answer = []dns.RR{rr}
		_ = w.WriteMsg(reply)
	})
	bootstrap := startDNS(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		switch q := query.Question[0]; {
		case q.Name == "unknown.example.":
			reply.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA:
			rr, _ := dns.NewRR(q.Name + " 60 IN A 127.0.0.1")
			reply.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	})
	p := start(t, fmt.Sprintf(head+"upstream = [\"udp://known.example:%d\", \"tls://unknown.example\"]\nupstream_policy = \"sequential\"\nbootstrap.servers = %q\n",
		upstream.Port(), bootstrap))
	reply := p.ask(t, "udp", "www.example.")
	if len(reply.Answer) != 1 || !strings.Contains(reply.Answer[0].String(), "192.0.2.99") {
		t.Errorf("got %s", reply)
	}
	if p.book.count("upstream name cannot be resolved") != 1 || p.book.count("name=unknown.example") != 1 {
		t.Errorf("the unknown name is not logged once:\n%s", p.book)
	}
}

// startDNS answers over UDP on loopback.
func startDNS(t *testing.T, handler dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: packets, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestSignals: the loop obeys SIGHUP, and SIGTERM ends it with 0.
func TestSignals(t *testing.T) {
	p := start(t, head+`upstream = "embedded:"`)
	signals := make(chan os.Signal, 4)
	code := make(chan int)
	var out bytes.Buffer
	go func() { code <- p.serve(signals, &screen{out: &out, log: io.Discard}, false) }()
	signals <- syscall.SIGHUP
	await(t, "a reload", func() bool { return p.book.count("msg=reloaded") == 1 })
	signals <- syscall.SIGTERM
	signals <- syscall.SIGTERM // the echo of timeout(1), not a second one
	if got := <-code; got != ExitDone {
		t.Errorf("got exit code %d, want %d", got, ExitDone)
	}
	if p.book.count("msg=stopped\n") != 1 {
		t.Errorf("the end is not logged:\n%s", p.book)
	}
	if out.Len() != 0 {
		t.Errorf("figures without a terminal: %q", &out)
	}
}

// TestReloadGivesWay: while a reload reads a large file, figures are shown, another reload is remembered, and SIGTERM does not wait.
func TestReloadGivesWay(t *testing.T) {
	p := start(t, head+`upstream = "embedded:"`)
	file := filepath.Join(t.TempDir(), "set")
	fill := func(lines int) {
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "n%d.example\n", i)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(50_000)
	writeConfig(t, p.file, head+`upstream = "embedded:"`+fmt.Sprintf("\n[set.many]\nfile = %q\n", file))
	signals, code := make(chan os.Signal, 4), make(chan int)
	go func() { code <- p.serve(signals, &screen{out: io.Discard, log: io.Discard}, false) }()
	p.sets.reading.Lock() // as if the watch were reading
	signals <- syscall.SIGHUP
	signals <- syscall.SIGHUP
	signals <- syscall.SIGHUP
	await(t, "the signals are taken", func() bool { return len(signals) == 0 })
	if p.metric(t, `sdp_reloads_total{result="applied"}`) != "0" {
		t.Error("reloaded while the set is being read")
	}
	p.sets.reading.Unlock()
	await(t, "a reload, and another one for what came meanwhile", func() bool { return p.book.count("msg=reloaded") == 2 })
	if p.metric(t, `sdp_set_entries{set="many"}`) != "50000" {
		t.Error("the set is not there")
	}

	fill(3_000_000)
	signals <- syscall.SIGHUP
	await(t, "the reload has begun", func() bool { return !p.sets.reading.TryLock() || unlock(&p.sets.reading) })
	signals <- syscall.SIGTERM
	if got := <-code; got != ExitDone || p.book.count("msg=stopped\n") != 1 {
		t.Errorf("exit code %d:\n%s", got, p.book)
	}
	if p.book.count("msg=reloaded") != 2 || p.book.count("reload refused") != 0 {
		t.Errorf("the end waited for the reload:\n%s", p.book)
	}
	p.sets.reading.Lock() // whoever read has ended; that reading is cut short is for TestReloadEnds
	defer p.sets.reading.Unlock()
}

// unlock is false.
func unlock(m *sync.Mutex) bool {
	m.Unlock()
	return false
}

// TestNothingLeftBehind: no goroutine and no descriptor survives a service, started or not.
func TestNothingLeftBehind(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	lap := func() {
		file := filepath.Join(t.TempDir(), "proxy.toml")
		writeConfig(t, file, head+`upstream = "embedded:"`)
		checked, problems := config.Load(file)
		if checked == nil {
			t.Fatal(problems)
		}
		s, err := startService(checked, Options{Build: telemetry.Build{}}, slog.New(slog.DiscardHandler), new(slog.LevelVar), false)
		if err != nil {
			t.Fatal(err)
		}
		taken := *checked
		taken.Listen = s.listeners.Addrs()
		if second, err := startService(&taken, Options{Build: telemetry.Build{}}, slog.New(slog.DiscardHandler), new(slog.LevelVar), false); err == nil {
			t.Errorf("a second instance on %s started", taken.Listen)
			_ = second.drain()
		} else if !strings.Contains(err.Error(), "another instance") {
			t.Errorf("got %v, want what to do about it", err)
		}
		if err := s.drain(); err != nil {
			t.Errorf("drain: %v", err)
		}
	}
	lap() // what the runtime and libraries keep for good
	http.DefaultClient.CloseIdleConnections()
	goroutines, fds := runtime.NumGoroutine(), descriptors()
	for range 3 {
		lap()
	}
	await(t, "goroutines and descriptors as before", func() bool { return runtime.NumGoroutine() <= goroutines && descriptors() <= fds })
}

// TestBusyPollReachesEverySocket: the UDP and the TCP socket of both workers have the option, and the engines were opened with it, or the
// start had failed.
func TestBusyPollReachesEverySocket(t *testing.T) {
	sockets := func() (n int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fd, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if micros, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, soBusyPoll); err == nil && micros == 70 {
				n++
			}
		}
		return n
	}
	two := strings.Replace(head, "workers.count = 1", "workers.count = 2", 1) + "upstream = \"embedded:\"\n"
	for _, backend := range []string{"mmsg", "uring"} {
		text := strings.Replace(two, "mmsg", backend, 1)
		off := start(t, text)
		if n := sockets(); n != 0 {
			t.Errorf("%s: %d sockets poll without workers.busy_poll", backend, n)
		}
		if err := off.drain(); err != nil {
			t.Error(err)
		}
		on := start(t, text+"workers.busy_poll = \"70us\"\n")
		if n := sockets(); n != 4 {
			t.Errorf("%s: %d sockets poll, want 4", backend, n)
		}
		if reply := on.ask(t, "udp", "www.demo.example."); reply.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: %s", backend, reply)
		}
		if err := on.drain(); err != nil {
			t.Error(err)
		}
	}
}

const soBusyPoll = 46 // SO_BUSY_POLL, which package syscall lacks

// TestSteeringIsTheConfigured: each value of workers.steering, as the sockets were set up, on the page of metrics. What that does to queries
// is tested in package worker.
func TestSteeringIsTheConfigured(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	pinned := strings.Replace(head, "workers.count = 1", "workers.cpus = [1, 0]", 1) + "upstream = \"embedded:\"\n"
	for steering, want := range map[string]string{"auto": "0", "hash": "0", "cpu": "1"} { // auto: on loopback, so by hash
		p := start(t, pinned+"workers.steering = \""+steering+"\"\n")
		if got := p.metric(t, `sdp_steering{by="cpu"}`); got != want {
			t.Errorf("%s: sdp_steering{by=\"cpu\"} is %s, want %s", steering, got, want)
		}
		if reply := p.ask(t, "udp", "www.demo.example."); reply.Rcode != dns.RcodeSuccess {
			t.Errorf("%s: %s", steering, reply)
		}
	}
}
