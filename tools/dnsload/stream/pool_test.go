package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/tools/dnsload/pace"
	"secure-dns-proxy/tools/dnsload/pending"
	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/tally"
)

// serve gives every connection to handle until the test ends.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lock sync.Mutex
	var open []net.Conn
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed below
			}
			lock.Lock()
			open = append(open, c)
			lock.Unlock()
			all.Go(func() {
				handle(c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		lock.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		lock.Unlock()
		all.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// readQuery reads one framed query; nil at the end of the connection.
func readQuery(c net.Conn) []byte {
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		return nil
	}
	return msg
}

// framed is the right answer to q, with its length before it.
func framed(q []byte) []byte {
	a := binary.BigEndian.AppendUint16(nil, uint16(len(q)))
	a = append(a, q...)
	a[4] |= 0x80
	return a
}

func echo(c net.Conn) {
	for q := readQuery(c); q != nil; q = readQuery(c) {
		if _, err := c.Write(framed(q)); err != nil {
			return
		}
	}
}

// run is a pool's run; times in plan are relative to its beginning.
type run struct {
	cfg    Config
	plan   pace.Plan
	corpus query.Config
}

func (r run) start(t *testing.T) (*Pool, pace.Plan, *tally.Counts, *tally.Live) {
	t.Helper()
	if r.corpus.Pattern == "" {
		r.corpus = query.Config{Pattern: "n%d.bench.example", Names: 10000}
	}
	corpus, err := query.New(r.corpus)
	if err != nil {
		t.Fatal(err)
	}
	if r.cfg.Conns == 0 {
		r.cfg.Conns, r.cfg.Window = 4, 64
	}
	counts, live, clock := &tally.Counts{}, &tally.Live{}, pace.NewClock()
	p, err := New(r.cfg, clock, corpus, counts, live)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.Now()
	r.plan.Start, r.plan.From = now, r.plan.From+now
	if r.plan.To == 0 {
		r.plan.To = pace.Forever
	} else {
		r.plan.To += now
	}
	if r.plan.Timeout == 0 {
		r.plan.Timeout = 5 * time.Second
	}
	return p, r.plan, counts, live
}

func (r run) do(t *testing.T) (*tally.Counts, *tally.Live) {
	t.Helper()
	p, plan, counts, live := r.start(t)
	var told atomic.Int64
	if err := p.Run(plan, func() { told.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if told.Load() != 1 {
		t.Errorf("sent was called %d times, want once", told.Load())
	}
	if counts.Queries != counts.Answered+counts.Lost || counts.Answered != counts.Latency.Total() {
		t.Errorf("got %d queries, %d answered, %d lost, %d latencies", counts.Queries, counts.Answered, counts.Lost, counts.Latency.Total())
	}
	return counts, live
}

func TestCountIsExact(t *testing.T) {
	target := serve(t, echo)
	for _, c := range []struct{ conns, window int }{{1, 1}, {1, OutstandingPerConnMax}, {4, 64}, {7, 100}} {
		counts, live := run{cfg: Config{Target: target, Conns: c.conns, Window: c.window}, plan: pace.Plan{Count: 5001}}.do(t)
		if counts.Answered != 5001 || live.Sent.Load() != 5001 || counts.Rcodes[0] != 5001 || counts.Reconnects != 0 {
			t.Errorf("%v: got %d answered, %d sent, want 5001 of each; %d reconnects", c, counts.Answered, live.Sent.Load(), counts.Reconnects)
		}
	}
}

// Eight at a time, answered backwards, and one byte per write now and then.
func TestAnswersOutOfOrder(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		var waiting [][]byte
		for q := readQuery(c); q != nil; q = readQuery(c) {
			if waiting = append(waiting, framed(q)); len(waiting) < 8 {
				continue
			}
			slices.Reverse(waiting)
			all := slices.Concat(waiting...)
			waiting = waiting[:0]
			for _, part := range [][]byte{all[:1], all[1:20], all[20:]} {
				if _, err := c.Write(part); err != nil {
					return
				}
			}
		}
	})
	counts, _ := run{cfg: Config{Target: target, Conns: 2, Window: 32}, plan: pace.Plan{Count: 1600}}.do(t)
	if counts.Answered != 1600 || counts.Verdicts[pending.Answer] != 1600 {
		t.Errorf("got %d answered, %v", counts.Answered, counts.Verdicts)
	}
}

func TestWrongAnswers(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		for q := readQuery(c); q != nil; q = readQuery(c) {
			id, question, letter, right := framed(q), framed(q), framed(q), framed(q)
			id[2] ^= 0x80
			question[15] ^= 1
			letter[15] ^= 0x20
			malformed := []byte{0, 0}
			if _, err := c.Write(slices.Concat(id, question, letter, malformed, right, right)); err != nil {
				return
			}
		}
	})
	counts, _ := run{cfg: Config{Target: target, Conns: 1, Window: 4}, plan: pace.Plan{Count: 8}}.do(t)
	want := [pending.Verdicts]uint64{
		pending.Answer: 8, pending.WrongID: 8, pending.WrongQuestion: 8, pending.WrongCase: 8, pending.Malformed: 8,
		pending.Duplicate: counts.Verdicts[pending.Duplicate], // the last may not be read any more
	}
	if counts.Verdicts != want || counts.Verdicts[pending.Duplicate] < 7 {
		t.Errorf("got %v, want %v", counts.Verdicts, want)
	}
}

func TestLost(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		for n := 0; ; n++ {
			q := readQuery(c)
			if q == nil {
				return
			}
			if n%5 == 0 {
				continue
			}
			if _, err := c.Write(framed(q)); err != nil {
				return
			}
		}
	})
	counts, _ := run{cfg: Config{Target: target, Conns: 1, Window: 10}, plan: pace.Plan{Count: 100, Timeout: 20 * time.Millisecond}}.do(t)
	if counts.Queries != 100 || counts.Lost != 20 {
		t.Errorf("got %d queries, %d lost, want 100 and 20", counts.Queries, counts.Lost)
	}
}

// A server that hangs up after some queries costs those outstanding, and no more.
func TestReconnects(t *testing.T) {
	target := serve(t, func(c net.Conn) {
		for range 50 {
			q := readQuery(c)
			if q == nil {
				return
			}
			if _, err := c.Write(framed(q)); err != nil {
				return
			}
		}
	})
	const count, window = 1000, 8
	counts, _ := run{cfg: Config{Target: target, Conns: 1, Window: window}, plan: pace.Plan{Count: count}}.do(t)
	if counts.Queries != count || counts.Reconnects < count/(50+window)-1 || counts.Lost > counts.Reconnects*window+window {
		t.Errorf("got %d queries, %d reconnects, %d lost", counts.Queries, counts.Reconnects, counts.Lost)
	}
}

func TestServerGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, plan, _, _ := run{cfg: Config{Target: l.Addr().(*net.TCPAddr).AddrPort(), Conns: 2, Window: 4}}.start(t)
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	_ = l.Close()
	if err := p.Run(plan, func() {}); err == nil || !strings.Contains(err.Error(), "attempts") {
		t.Errorf("got %v, want an error about attempts to connect", err)
	}
	corpus, err := query.New(query.Config{Pattern: "n%d.example", Names: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(p.cfg, p.clock, corpus, nil, nil); err == nil {
		t.Error("got connections to nobody")
	}
}

func TestOpenLoopSchedule(t *testing.T) {
	plan := pace.Plan{From: int64(20 * time.Millisecond), To: int64(120 * time.Millisecond), Rate: 5000}
	counts, live := run{cfg: Config{Target: serve(t, echo), Conns: 3, Window: 1000}, plan: plan}.do(t)
	if counts.Queries != 500 || live.Sent.Load() != 600 || counts.Unsent != 0 || counts.Lag.Total() != 500 {
		t.Errorf("got %d measured, %d sent, %d unsent, %d lags; want 500, 600, 0, 500", counts.Queries, live.Sent.Load(), counts.Unsent, counts.Lag.Total())
	}
}

func TestBehindSchedule(t *testing.T) {
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	plan := pace.Plan{To: int64(100 * time.Millisecond), Rate: 10000, Timeout: 30 * time.Millisecond}
	counts, _ := run{cfg: Config{Target: silent, Conns: 2, Window: 4}, plan: plan}.do(t)
	if counts.Unsent == 0 || counts.Queries+counts.Unsent != 1000 {
		t.Errorf("got %d sent and %d unsent, want 1000 in all, most unsent", counts.Queries, counts.Unsent)
	}
}

func TestEndsByTimeNamesAndStop(t *testing.T) {
	target := serve(t, echo)
	for _, c := range []struct {
		name   string
		plan   pace.Plan
		corpus query.Config
		stop   bool
	}{
		{"time", pace.Plan{To: int64(30 * time.Millisecond)}, query.Config{}, false},
		{"names", pace.Plan{}, query.Config{Pattern: "n%d.example", Names: 321, Order: query.Once}, false},
		{"stop", pace.Plan{}, query.Config{}, true},
		{"stop, open loop", pace.Plan{Rate: 1000}, query.Config{}, true},
	} {
		p, plan, counts, _ := run{cfg: Config{Target: target}, plan: c.plan, corpus: c.corpus}.start(t)
		if c.stop {
			time.AfterFunc(20*time.Millisecond, p.Stop)
		}
		if err := p.Run(plan, func() {}); err != nil {
			t.Fatal(err)
		}
		if counts.Queries == 0 || counts.Lost > 0 || c.name == "names" && counts.Queries != 321 {
			t.Errorf("%s: got %d queries, %d lost", c.name, counts.Queries, counts.Lost)
		}
	}
}

// A server that was not written here, over TLS.
func TestDoT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"dns.example"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(leaf)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{Listener: l, MaxTCPQueries: -1, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
		_ = w.WriteMsg(a) // one that is not sent fails the counts
	})}
	go func() { _ = s.ActivateAndServe() }() // as above: a failure to start is noticed next
	<-started
	t.Cleanup(func() { _ = s.Shutdown() })
	target := l.Addr().(*net.TCPAddr).AddrPort()

	cfg := Config{Target: target, Conns: 3, Window: 96, TLS: &tls.Config{ServerName: "dns.example", RootCAs: trusted}}
	counts, _ := run{
		cfg: cfg, plan: pace.Plan{Count: 2000},
		corpus: query.Config{Pattern: "n%d.example", Names: 1000, Mix: query.Mix{Case: 0.5, EDNS: 0.5, DO: 0.1, UDPSize: 1232}},
	}.do(t)
	if counts.Answered != 2000 || counts.Rcodes[dns.RcodeNameError] != 2000 {
		t.Errorf("got %d answered, rcodes %v", counts.Answered, counts.Rcodes)
	}
	cfg.TLS = &tls.Config{ServerName: "other.example", RootCAs: trusted}
	corpus, err := query.New(query.Config{Pattern: "n%d.example", Names: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, pace.NewClock(), corpus, nil, nil); err == nil || !strings.Contains(err.Error(), "handshake") {
		t.Errorf("got %v, want a failed handshake", err)
	}
}

func TestSources(t *testing.T) {
	var lock sync.Mutex
	seen := map[string]int{}
	target := serve(t, func(c net.Conn) {
		lock.Lock()
		seen[c.RemoteAddr().(*net.TCPAddr).IP.String()]++
		lock.Unlock()
		echo(c)
	})
	sources := []netip.Addr{netip.MustParseAddr("127.1.2.3"), netip.MustParseAddr("127.1.2.4")}
	_, _ = run{cfg: Config{Target: target, Sources: sources, Conns: 4, Window: 4}, plan: pace.Plan{Count: 100}}.do(t)
	lock.Lock()
	defer lock.Unlock()
	if seen["127.1.2.3"] != 2 || seen["127.1.2.4"] != 2 {
		t.Errorf("got %v, want two connections from each address", seen)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no connections":       {Conns: 0, Window: 1},
		"too many connections": {Conns: ConnsMax + 1, Window: ConnsMax + 1},
		"no window":            {Conns: 2, Window: 1},
		"window too large":     {Conns: 2, Window: 2*OutstandingPerConnMax + 1},
	} {
		if _, err := New(cfg, pace.NewClock(), nil, nil, nil); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
