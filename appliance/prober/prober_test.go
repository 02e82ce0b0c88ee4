package prober

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
)

// patience bounds waits; it is never expected to pass.
const patience = 20 * time.Second

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// upstream is a server that does as it is told, over UDP and TCP on one port.
type upstream struct {
	addr netip.AddrPort
	act  atomic.Pointer[func(w dns.ResponseWriter, query *dns.Msg)]

	mu    sync.Mutex
	asked []dns.Question
	from  map[string]bool // addresses that queries came from
	times []time.Time
}

func startUpstream(t *testing.T, act func(w dns.ResponseWriter, query *dns.Msg)) *upstream {
	t.Helper()
	listener, packets := onePort(t)
	u := &upstream{addr: listener.Addr().(*net.TCPAddr).AddrPort(), from: map[string]bool{}}
	u.act.Store(&act)
	for _, server := range []*dns.Server{{Listener: listener}, {PacketConn: packets}} {
		started := make(chan struct{})
		server.Handler, server.NotifyStartedFunc = dns.HandlerFunc(u.serve), func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return u
}

// onePort listens over TCP and UDP on the same port, which must be free for both.
func onePort(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	var problem error
	for range 50 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err == nil {
			return listener, packets
		}
		problem = errors.Join(err, listener.Close())
	}
	t.Fatal(problem)
	return nil, nil
}

func (u *upstream) serve(w dns.ResponseWriter, query *dns.Msg) {
	u.mu.Lock()
	u.asked = append(u.asked, query.Question[0])
	u.from[w.RemoteAddr().String()] = true
	u.times = append(u.times, time.Now())
	u.mu.Unlock()
	(*u.act.Load())(w, query)
}

func (u *upstream) questions() []dns.Question {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]dns.Question(nil), u.asked...)
}

func answer(rcode int) func(w dns.ResponseWriter, query *dns.Msg) {
	return func(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(query, rcode)) }
}

func silent(dns.ResponseWriter, *dns.Msg) {}

func plain() Settings {
	return Settings{Timeout: 150 * time.Millisecond, Name: "probe.example", Type: dns.TypeA, RCodes: []int{dns.RcodeSuccess}}
}

// probed starts a prober that probes as fast as it may.
func probed(t *testing.T, e *transport.Endpoint, s Settings) (*Prober, *health.State) {
	t.Helper()
	state := health.New(func() int64 { return int64(transport.Now()) })
	c := health.Default()
	c.Mode, c.Interval, c.RestMin, c.RestMax = health.Active, 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
	state.Configure(int64(transport.Now()), c)
	e.Health = state
	p := Start(e, state, s)
	t.Cleanup(p.Close)
	return p, state
}

func endpoint(scheme transport.Scheme, addr netip.AddrPort) *transport.Endpoint {
	return &transport.Endpoint{
		Name: scheme.String() + "://" + addr.String(), Scheme: scheme, Host: addr.Addr().String(), Port: addr.Port(),
		Addresses: transport.NewAddresses(addr), Conns: 1,
		DialTimeout: time.Second, IdleTimeout: time.Minute, DeadAfter: time.Minute,
	}
}

// TestResults: what an upstream does to a probe is what its health learns, with words for it.
func TestResults(t *testing.T) {
	forged := func(w dns.ResponseWriter, query *dns.Msg) {
		other := query.Copy()
		other.Question[0].Name = "other.example."
		reply := new(dns.Msg).SetReply(other)
		reply.Id = query.Id
		_ = w.WriteMsg(reply)
		wrong := new(dns.Msg).SetReply(query)
		wrong.Id = query.Id + 1
		_ = w.WriteMsg(wrong)
		_, _ = w.Write([]byte{1, 2, 3})
	}
	tests := []struct {
		name    string
		schemes []transport.Scheme
		act     func(w dns.ResponseWriter, query *dns.Msg)
		result  health.ProbeResult
		reason  string
	}{
		{"good", []transport.Scheme{transport.UDP, transport.TCP}, answer(dns.RcodeSuccess), health.ProbeGood, ""},
		{"an RCODE that is not accepted", []transport.Scheme{transport.UDP, transport.TCP}, answer(dns.RcodeServerFailure), health.ProbeRCode, "answered SERVFAIL for probe.example. A"},
		{"silence", []transport.Scheme{transport.UDP, transport.TCP}, silent, health.ProbeTimeout, "no answer within 150ms"},
		{"forgeries only", []transport.Scheme{transport.UDP}, forged, health.ProbeTimeout, "no answer within 150ms"},
		{"a forgery, then the answer", []transport.Scheme{transport.UDP}, func(w dns.ResponseWriter, query *dns.Msg) {
			forged(w, query)
			answer(dns.RcodeSuccess)(w, query)
		}, health.ProbeGood, ""},
		{"another question over a connection", []transport.Scheme{transport.TCP}, func(w dns.ResponseWriter, query *dns.Msg) {
			query.Question[0].Name = "other.example."
			_ = w.WriteMsg(new(dns.Msg).SetReply(query))
		}, health.ProbeFault, "protocol"},
	}
	for _, tt := range tests {
		for _, scheme := range tt.schemes {
			t.Run(scheme.String()+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				u := startUpstream(t, tt.act)
				_, state := probed(t, endpoint(scheme, u.addr), plain())
				await(t, "5 probes", func() bool { return state.Figures().Probes[tt.result] >= 5 })
				if f := state.Figures(); sum(f.Probes) != f.Probes[tt.result] {
					t.Errorf("got %v, want %v alone", f.Probes, tt.result)
				}
				want := health.Down
				if tt.result == health.ProbeGood {
					want = health.Up
				}
				if got := state.Status(); got != want {
					t.Errorf("got %v, want %v", got, want)
				}
				if tt.reason != "" && !strings.Contains(state.Reason().Error(), tt.reason) {
					t.Errorf("got %q, want %q in it", state.Reason(), tt.reason)
				}
			})
		}
	}
}

func sum(counts [health.ProbeResultCount]uint64) (all uint64) {
	for _, n := range counts {
		all += n
	}
	return all
}

// TestUnreachable: nobody listens, no address is known, the certificate is not trusted: a fault with its reason.
func TestUnreachable(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := gone.Addr().(*net.TCPAddr).AddrPort()
	gone.Close()
	encrypted := endpoint(transport.TLS, startUpstream(t, silent).addr) // does not speak TLS
	encrypted.TLS = &tls.Config{ServerName: "dns.example", MinVersion: tls.VersionTLS12}
	encrypted.DialTimeout = 100 * time.Millisecond
	nowhere := endpoint(transport.UDP, addr)
	nowhere.Addresses = transport.NewAddresses()
	for _, tt := range []struct {
		e      *transport.Endpoint
		reason string
	}{
		{endpoint(transport.UDP, addr), "refused"},
		{endpoint(transport.TCP, addr), "refused"},
		{nowhere, "no address known"},
		{encrypted, encrypted.Addresses.Load()[0].String()},
	} {
		t.Run(tt.e.Name, func(t *testing.T) {
			s := plain()
			s.Timeout = patience
			_, state := probed(t, tt.e, s)
			await(t, "down", func() bool { return state.Status() == health.Down })
			if f := state.Figures(); f.Probes[health.ProbeFault] < 3 || f.Probes[health.ProbeGood] != 0 {
				t.Errorf("got %v, want faults", f.Probes)
			}
			if !strings.Contains(state.Reason().Error(), tt.reason) {
				t.Errorf("got %q, want %q in it", state.Reason(), tt.reason)
			}
		})
	}
}

// TestQuestions: name, type and accepted RCODEs are what is configured, also after a change; ids and ports differ; random labels too.
func TestQuestions(t *testing.T) {
	u := startUpstream(t, answer(dns.RcodeNameError))
	s := plain()
	p, state := probed(t, endpoint(transport.UDP, u.addr), s)
	await(t, "NXDOMAIN is not accepted", func() bool { return state.Figures().Probes[health.ProbeRCode] >= 3 })
	for _, q := range u.questions() {
		if q.Name != "probe.example." || q.Qtype != dns.TypeA {
			t.Errorf("asked %v, want probe.example. A", q)
		}
	}
	s.Name, s.Type, s.RCodes = "*.zone.example", dns.TypeTXT, []int{dns.RcodeNameError}
	p.Configure(s)
	await(t, "NXDOMAIN is accepted", func() bool { return state.Figures().Probes[health.ProbeGood] >= 10 })
	names := map[string]bool{}
	for _, q := range u.questions() {
		if q.Qtype != dns.TypeTXT {
			continue
		}
		label, zone, _ := strings.Cut(q.Name, ".")
		if zone != "zone.example." || len(label) != 2*labelBytes || names[label] {
			t.Errorf("asked %s, want a new random label below zone.example.", q.Name)
		}
		names[label] = true
	}
	if len(names) < 10 {
		t.Errorf("%d names with random labels, want 10", len(names))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.from) < len(u.asked)/2 {
		t.Errorf("%d probes came from %d ports, want one each", len(u.asked), len(u.from))
	}
}

// TestTimeout: an answer that comes later than the timeout is none.
func TestTimeout(t *testing.T) {
	u := startUpstream(t, func(w dns.ResponseWriter, query *dns.Msg) {
		time.Sleep(300 * time.Millisecond)
		answer(dns.RcodeSuccess)(w, query)
	})
	for _, scheme := range []transport.Scheme{transport.UDP, transport.TCP} {
		s := plain()
		s.Timeout = 50 * time.Millisecond
		p, state := probed(t, endpoint(scheme, u.addr), s)
		await(t, "down", func() bool { return state.Status() == health.Down })
		if f := state.Figures(); f.Probes[health.ProbeGood] != 0 {
			t.Errorf("%v: got %v, want timeouts only", scheme, f.Probes)
		}
		s.Timeout = 10 * time.Second
		p.Configure(s)
		await(t, "up with a longer timeout", func() bool { return state.Status() == health.Up })
	}
}

// TestInterval: probes come as often as the state wants, whatever the jitter; it spreads them.
func TestInterval(t *testing.T) {
	u := startUpstream(t, answer(dns.RcodeSuccess))
	s := plain()
	s.Jitter = 50
	s.Timeout = patience
	p, state := probed(t, endpoint(transport.UDP, u.addr), s)
	c := health.Default()
	c.Mode, c.Interval = health.Active, 200*time.Millisecond
	state.Configure(int64(transport.Now()), c)
	p.Wake()
	await(t, "10 probes", func() bool { return len(u.questions()) >= 12 })
	waits := map[time.Duration]bool{}
	for range 12 {
		got := time.Duration(p.jittered(int64(time.Second)))
		if waits[got] = true; got < time.Second/2 || got > 3*time.Second/2 {
			t.Errorf("1s with 50%% jitter: %v", got)
		}
	}
	if len(waits) < 6 {
		t.Errorf("12 waits with jitter are %v: want them to differ", waits)
	}
	s.Jitter = 0
	p.Configure(s)
	if got := time.Duration(p.jittered(int64(time.Second))); got != time.Second {
		t.Errorf("1s without jitter: %v", got)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if whole := u.times[11].Sub(u.times[1]); whole < 10*100*time.Millisecond {
		t.Errorf("10 probes with 200 ms between them, half of it at least, took %v", whole)
	}
}

// TestLazyClosesItsLane: without need there is no probe and no connection.
func TestLazyClosesItsLane(t *testing.T) {
	u := startUpstream(t, answer(dns.RcodeSuccess))
	state := health.New(func() int64 { return int64(transport.Now()) })
	c := health.Default()
	c.Mode = health.Lazy
	state.Configure(int64(transport.Now()), c)
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	p := Start(endpoint(transport.TCP, u.addr), state, plain())
	state.Down(errors.New("reset"))
	p.Wake()
	await(t, "up by a probe", func() bool { return state.Status() == health.Up })
	await(t, "the lane is closed", func() bool { return descriptors(t) <= fds && runtime.NumGoroutine() <= goroutines+1 })
	asked := len(u.questions())
	time.Sleep(3 * c.RestMin)
	if more := len(u.questions()) - asked; asked == 0 || more != 0 {
		t.Errorf("%d probes, then %d more for a good upstream, want some and none", asked, more)
	}
	p.Close()
	await(t, "the goroutine is gone", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestBlackHoleCostsOneProbe: however long nobody answers, there is one probe at a time, and Close gives everything back at once.
func TestBlackHoleCostsOneProbe(t *testing.T) {
	u := startUpstream(t, silent)
	for _, scheme := range []transport.Scheme{transport.UDP, transport.TCP} {
		fds, goroutines := descriptors(t), runtime.NumGoroutine()
		s := plain()
		s.Timeout = 20 * time.Millisecond
		p, state := probed(t, endpoint(scheme, u.addr), s)
		most, open := 0, 0
		await(t, "30 timeouts", func() bool {
			most, open = max(most, runtime.NumGoroutine()), max(open, descriptors(t))
			return state.Figures().Probes[health.ProbeTimeout] >= 30
		})
		// The prober, its lane's driver with a connection, and their ends in the server.
		if most > goroutines+12 || open > fds+12 {
			t.Errorf("%v: %d goroutines and %d descriptors, were %d and %d", scheme, most, open, goroutines, fds)
		}
		s.Timeout = patience
		p.Configure(s)
		time.Sleep(50 * time.Millisecond)
		start := time.Now()
		p.Close()
		if took := time.Since(start); took > patience/2 {
			t.Errorf("%v: Close took %v: it waited for the probe", scheme, took)
		}
		await(t, "everything is given back", func() bool { return runtime.NumGoroutine() <= goroutines+1 && descriptors(t) <= fds+1 })
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
