package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
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

// serve answers each datagram with what reply makes of it, in place or elsewhere; nil is no answer.
func serve(t *testing.T, reply func(query []byte) [][]byte) netip.AddrPort {
	t.Helper()
	return serveFlows(t, func(query []byte, _ uint16) [][]byte { return reply(query) })
}

// serveFlows is serve where it depends on the flow's port.
func serveFlows(t *testing.T, reply func(query []byte, port uint16) [][]byte) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.SetReadBuffer(4 << 20); err != nil { // a whole window at once
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return // closed below
			}
			for _, a := range reply(buffer[:n], from.Port()) {
				if _, err := socket.WriteToUDPAddrPort(a, from); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

func echo(query []byte) [][]byte {
	query[2] |= 0x80
	return [][]byte{query}
}

// serveDNS runs a server that was not written here, with the given handler.
func serveDNS(t *testing.T, handler dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: socket, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	go func() { _ = s.ActivateAndServe() }() // ends with an error only when it never started, which the wait below notices
	<-started
	t.Cleanup(func() { _ = s.Shutdown() })
	return socket.LocalAddr().(*net.UDPAddr).AddrPort()
}

type run struct {
	cfg    Config
	plan   pace.Plan // Start, From and To relative to the run's beginning
	corpus query.Config
}

// do runs a sender to its end.
func (r run) do(t *testing.T) (*tally.Counts, *tally.Live) {
	t.Helper()
	s, clock, counts, live := r.sender(t)
	told := 0
	if err := s.Run(r.shifted(clock), func() { told++ }); err != nil {
		t.Fatal(err)
	}
	if told != 1 {
		t.Errorf("sent was called %d times, want once", told)
	}
	if counts.Queries != counts.Answered+counts.Lost {
		t.Errorf("got %d queries, but %d answered and %d lost", counts.Queries, counts.Answered, counts.Lost)
	}
	if counts.Answered != counts.Latency.Total() || counts.Answered != counts.Verdicts[pending.Answer] {
		t.Errorf("got %d answers, %d latencies, %d verdicts", counts.Answered, counts.Latency.Total(), counts.Verdicts[pending.Answer])
	}
	return counts, live
}

func (r run) sender(t *testing.T) (*Sender, pace.Clock, *tally.Counts, *tally.Live) {
	t.Helper()
	if r.corpus.Pattern == "" {
		r.corpus = query.Config{Pattern: "n%d.bench.example", Names: 10000}
	}
	corpus, err := query.New(r.corpus)
	if err != nil {
		t.Fatal(err)
	}
	if r.cfg.Flows == 0 {
		r.cfg.Flows, r.cfg.Window = 4, 16
	}
	r.cfg.CPU, r.cfg.Segment = -1, true
	counts, live, clock := &tally.Counts{}, &tally.Live{}, pace.NewClock()
	s, err := New(r.cfg, clock, corpus.Generator(0, 1), counts, live)
	if err != nil {
		t.Fatal(err)
	}
	return s, clock, counts, live
}

func (r run) shifted(clock pace.Clock) pace.Plan {
	p := r.plan
	now := clock.Now()
	p.Start, p.From = p.Start+now, p.From+now
	if p.To == 0 {
		p.To = pace.Forever
	} else {
		p.To += now
	}
	if p.Timeout == 0 {
		p.Timeout = 5 * time.Second
	}
	return p
}

func TestCountIsExact(t *testing.T) {
	for _, window := range []struct{ flows, window int }{{1, 1}, {4, 16}, {7, 100}, {16, 2048}, {1, OutstandingPerFlowMax}} {
		for _, segment := range []bool{true, false} {
			var seen atomic.Uint64
			target := serve(t, func(q []byte) [][]byte { seen.Add(1); return echo(q) })
			const count = 5001
			r := run{cfg: Config{Target: target, Flows: window.flows, Window: window.window}, plan: pace.Plan{Count: count}}
			s, clock, counts, live := r.sender(t)
			s.out.segment = segment
			if err := s.Run(r.shifted(clock), func() {}); err != nil {
				t.Fatal(err)
			}
			if counts.Queries != count || counts.Answered != count || seen.Load() != count || counts.Rcodes[0] != count {
				t.Errorf("%v, segment %v: got %d queries, %d answered, %d seen, want %d of each", window, segment, counts.Queries, counts.Answered, seen.Load(), count)
			}
			if live.Sent.Load() != count || live.Answered.Load() != count {
				t.Errorf("%v: shown are %d sent and %d answered, want %d", window, live.Sent.Load(), live.Answered.Load(), count)
			}
			if counts.Latency.Min() <= 0 {
				t.Errorf("%v: got a latency of %d ns", window, counts.Latency.Min())
			}
		}
	}
}

func TestRealServer(t *testing.T) {
	// AAAA gets NXDOMAIN with TC, A an address.
	const count = 600
	var edns, do atomic.Uint64
	target := serveDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if opt := q.IsEdns0(); opt != nil {
			edns.Add(1)
			if opt.Do() {
				do.Add(1)
			}
			a.SetEdns0(1232, opt.Do())
		}
		if q.Question[0].Qtype == dns.TypeAAAA {
			a.Rcode = dns.RcodeNameError
			a.Truncated = true
		} else {
			a.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: 1, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}}
		}
		_ = w.WriteMsg(a) // an answer that is not sent fails the counts
	})
	counts, _ := run{
		cfg:  Config{Target: target},
		plan: pace.Plan{Count: count},
		corpus: query.Config{Pattern: "n%d.bench.example", Order: query.Once, Mix: query.Mix{
			EDNS: 1, DO: 0.5, Case: 0.5, UDPSize: 1232, Types: []query.TypeShare{{Type: dns.TypeA, Weight: 1}, {Type: dns.TypeAAAA, Weight: 1}},
		}},
	}.do(t)
	if counts.Answered != count || counts.Rcodes[0]+counts.Rcodes[3] != count || counts.Truncated != counts.Rcodes[3] || counts.Truncated == 0 {
		t.Errorf("got %d answered, rcodes %v, %d truncated", counts.Answered, counts.Rcodes, counts.Truncated)
	}
	if edns.Load() != count || do.Load() == 0 || do.Load() == count {
		t.Errorf("the server saw %d with EDNS, %d with DO of %d", edns.Load(), do.Load(), count)
	}
}

// A wrong message before the right one is counted apart, and harms nothing.
func TestWrongAnswersBeforeTheRightOne(t *testing.T) {
	change := func(at int, mask byte) func(q []byte) []byte {
		return func(q []byte) []byte {
			wrong := bytes.Clone(q)
			wrong[2] |= 0x80
			wrong[at] ^= mask
			return wrong
		}
	}
	for _, c := range []struct {
		want   pending.Verdict
		change func(q []byte) []byte
	}{
		{pending.WrongID, change(0, 0x80)}, // half the generations away: never sent
		{pending.WrongQuestion, change(13, 0x01)},
		{pending.WrongQuestion, change(5, 0x01)},
		{pending.WrongCase, change(13, 0x20)},
		{pending.Malformed, change(2, 0x80)},
		{pending.Malformed, func([]byte) []byte { return nil }},
	} {
		target := serve(t, func(q []byte) [][]byte { return [][]byte{c.change(q), echo(q)[0]} })
		const count = 12 // few enough that no generation comes round
		counts, _ := run{cfg: Config{Target: target, Flows: 2, Window: 8}, plan: pace.Plan{Count: count}}.do(t)
		if counts.Answered != count {
			t.Errorf("%v: got %d answered, want %d", c.want, counts.Answered, count)
		}
		if got := counts.Verdicts[c.want]; got != count {
			t.Errorf("%v: got %d of %d: %v", c.want, got, count, counts.Verdicts)
		}
	}
}

func TestDuplicates(t *testing.T) {
	for _, cfg := range []Config{{Flows: 4, Window: 16}, {Flows: 300, Window: 300}} {
		cfg.Target = serve(t, func(q []byte) [][]byte { return [][]byte{echo(q)[0], q, q} })
		const count = 10000
		counts, _ := run{cfg: cfg, plan: pace.Plan{Count: count}}.do(t)
		// The last ones may come after the end.
		if d := counts.Verdicts[pending.Duplicate]; counts.Answered != count || d < uint64(2*(count-cfg.Window)) || d > 2*count {
			t.Errorf("%d flows: got %d answered and %d duplicates: %v", cfg.Flows, counts.Answered, d, counts.Verdicts)
		}
	}
}

// A sender that reads flow after flow gets past those whose queries are lost: here ten in a row, then ten that are answered, and so on.
func TestSweepGoesOn(t *testing.T) {
	const flows, count = 300, 3000
	for _, c := range []struct {
		rate           float64
		window         int
		answered, lost uint64 // at least: the dead flows' first windows are lost, or a part of all
	}{{0, 2 * flows, count / 2, flows}, {2 * sweepRate, 20 * flows, count / 5, count / 5}} {
		seen := map[uint16]int{}
		target := serveFlows(t, func(q []byte, port uint16) [][]byte {
			if _, known := seen[port]; !known {
				seen[port] = len(seen)
			}
			if seen[port]/10%2 == 0 {
				return nil
			}
			return echo(q)
		})
		counts, _ := run{
			cfg: Config{Target: target, Flows: flows, Window: c.window}, plan: pace.Plan{Rate: c.rate, Count: count, Timeout: time.Second},
		}.do(t)
		if counts.Answered < c.answered || counts.Lost < c.lost {
			t.Errorf("rate %v: got %d answered and %d lost of %d, want at least %d and %d", c.rate, counts.Answered, counts.Lost, counts.Queries, c.answered, c.lost)
		}
	}
}

func TestLostAndLate(t *testing.T) {
	// Of ten queries one is not answered, and one only some hundred queries later, after its timeout.
	var n int
	var kept [][]byte
	target := serve(t, func(q []byte) [][]byte {
		n++
		switch n % 10 {
		case 0:
			return nil
		case 1:
			kept = append(kept, bytes.Clone(echo(q)[0]))
			return nil
		}
		if len(kept) > 10 && n%10 == 5 {
			late := kept[0]
			kept = kept[1:]
			return [][]byte{echo(q)[0], late}
		}
		return echo(q)
	})
	const count = 500
	cfg := Config{Target: target, Flows: 1, Window: 16} // one flow, as the server sends the late answer to whom it just heard
	counts, _ := run{cfg: cfg, plan: pace.Plan{Count: count, Timeout: 20 * time.Millisecond}}.do(t)
	if counts.Queries != count || counts.Lost < count/10 {
		t.Errorf("got %d queries, %d lost; want %d, at least a tenth lost", counts.Queries, counts.Lost, count)
	}
	if counts.Verdicts[pending.Late] == 0 || counts.Verdicts[pending.WrongID] != 0 || counts.Verdicts[pending.Duplicate] != 0 {
		t.Errorf("got %v, want late answers, none with a wrong id, no duplicates", counts.Verdicts)
	}
}

func TestNobodyListens(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := socket.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	counts, _ := run{cfg: Config{Target: target}, plan: pace.Plan{Count: 100, Timeout: 10 * time.Millisecond}}.do(t)
	if counts.Lost != 100 || counts.Unreachable == 0 {
		t.Errorf("got %d lost, %d unreachable, want 100 and some", counts.Lost, counts.Unreachable)
	}
}

func TestWarmUpDoesNotCount(t *testing.T) {
	var seen atomic.Uint64
	target := serve(t, func(q []byte) [][]byte { seen.Add(1); return echo(q) })
	const count = 200
	counts, live := run{cfg: Config{Target: target}, plan: pace.Plan{From: int64(30 * time.Millisecond), Count: count}}.do(t)
	if counts.Queries != count || live.Sent.Load() <= count || seen.Load() != live.Sent.Load() {
		t.Errorf("got %d measured, %d sent, %d seen; want %d measured, more sent and seen", counts.Queries, live.Sent.Load(), seen.Load(), count)
	}
}

func TestEachNameOnceThenEnd(t *testing.T) {
	var lock sync.Mutex
	names := map[string]int{}
	target := serve(t, func(q []byte) [][]byte {
		lock.Lock()
		defer lock.Unlock()
		names[string(q[12:])]++
		return echo(q)
	})
	counts, _ := run{
		cfg: Config{Target: target}, corpus: query.Config{Pattern: "n%d.bench.example", Names: 700, Order: query.Once},
	}.do(t)
	lock.Lock()
	defer lock.Unlock()
	if counts.Answered != 700 || len(names) != 700 {
		t.Errorf("got %d answered, %d names, want 700", counts.Answered, len(names))
	}
}

func TestStop(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		s, clock, counts, _ := run{cfg: Config{Target: serve(t, echo)}}.sender(t)
		time.AfterFunc(20*time.Millisecond, s.Stop)
		if err := s.Run(run{plan: pace.Plan{Rate: rate}}.shifted(clock), func() {}); err != nil {
			t.Fatal(err)
		}
		if counts.Queries == 0 || counts.Queries != counts.Answered {
			t.Errorf("rate %v: got %d queries, %d answered", rate, counts.Queries, counts.Answered)
		}
	}
}

// In open loop exactly the queries of the timetable are sent, whatever the server does.
func TestOpenLoopSchedule(t *testing.T) {
	for name, reply := range map[string]func([]byte) [][]byte{"echo": echo, "silent": func([]byte) [][]byte { return nil }} {
		for _, spin := range []bool{false, true} {
			plan := pace.Plan{
				From: int64(20 * time.Millisecond), To: int64(120 * time.Millisecond), Rate: 5000, Timeout: 50 * time.Millisecond,
			}
			counts, live := run{cfg: Config{Target: serve(t, reply), Flows: 8, Window: 1000, Spin: spin}, plan: plan}.do(t)
			if counts.Queries != 500 || live.Sent.Load() != 600 || counts.Unsent != 0 || counts.Lag.Total() != 500 {
				t.Errorf("%s: got %d measured, %d sent, %d unsent, %d lags; want 500, 600, 0, 500", name, counts.Queries, live.Sent.Load(), counts.Unsent, counts.Lag.Total())
			}
			if name == "silent" && counts.Lost != 500 {
				t.Errorf("%s: got %d lost, want 500", name, counts.Lost)
			}
		}
	}
}

// Latency counts from the intended time: a query that waited for room in the window was kept waiting by the server.
func TestNoCoordinatedOmission(t *testing.T) {
	const stall = 60 * time.Millisecond
	n := 0
	target := serve(t, func(q []byte) [][]byte {
		if n++; n == 50 {
			time.Sleep(stall)
		}
		return echo(q)
	})
	plan := pace.Plan{To: int64(300 * time.Millisecond), Rate: 1000}
	counts, _ := run{cfg: Config{Target: target, Flows: 1, Window: 1}, plan: plan}.do(t)
	// With one query outstanding at a time only one saw the stall; but some 60 were due in it.
	waited := counts.Latency.Total() - uint64(float64(counts.Latency.Total())*0.95)
	if waited < 10 {
		t.Fatalf("too few queries: %d", counts.Latency.Total())
	}
	if got := time.Duration(counts.Latency.Quantile(0.95)); got < stall/10 {
		t.Errorf("p95 is %v, want at least a part of the stall of %v", got, stall)
	}
	if counts.Queries+counts.Unsent != 300 {
		t.Errorf("got %d sent and %d unsent, want 300 in all", counts.Queries, counts.Unsent)
	}
}

// A window too small for the rate: what is due and not sent is counted.
func TestBehindSchedule(t *testing.T) {
	plan := pace.Plan{To: int64(100 * time.Millisecond), Rate: 10000, Timeout: 20 * time.Millisecond}
	counts, _ := run{cfg: Config{Target: serve(t, func([]byte) [][]byte { return nil }), Flows: 2, Window: 4}, plan: plan}.do(t)
	if counts.Unsent == 0 || counts.Queries+counts.Unsent != 1000 {
		t.Errorf("got %d sent and %d unsent, want 1000 in all, most unsent", counts.Queries, counts.Unsent)
	}
}

func TestSources(t *testing.T) {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	sources := []netip.Addr{netip.MustParseAddr("127.1.2.3"), netip.MustParseAddr("127.1.2.4")}
	cfg := Config{Target: socket.LocalAddr().(*net.UDPAddr).AddrPort(), Sources: sources, Flows: 6, Window: 6}
	_, _ = run{cfg: cfg, plan: pace.Plan{Count: 6, Timeout: 5 * time.Millisecond}}.do(t)
	ports, addrs := map[uint16]int{}, map[netip.Addr]int{}
	for range 6 {
		_, from, err := socket.ReadFromUDPAddrPort(make([]byte, 512))
		if err != nil {
			t.Fatal(err)
		}
		ports[from.Port()]++
		addrs[from.Addr().Unmap()]++
	}
	if len(ports) < 3 || addrs[sources[0]] != 3 || addrs[sources[1]] != 3 {
		t.Errorf("got ports %v and addresses %v, want 3 of each address", ports, addrs)
	}
}

func TestNewRefuses(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:1")
	for name, cfg := range map[string]Config{
		"no flows":         {Flows: 0, Window: 1},
		"too many flows":   {Flows: FlowsMax + 1, Window: FlowsMax + 1},
		"no window":        {Flows: 2, Window: 1},
		"window too large": {Flows: 2, Window: 2*OutstandingPerFlowMax + 1},
		"foreign source":   {Flows: 1, Window: 1, Sources: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
	} {
		cfg.Target = target
		if _, err := New(cfg, pace.NewClock(), nil, nil, nil); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// What a device that cannot cut returns is met by sending one by one.
func TestSeparate(t *testing.T) {
	out, err := newOutbox(true)
	if err != nil {
		t.Fatal(err)
	}
	packets := [][]byte{make([]byte, 30), make([]byte, 31), make([]byte, 30), make([]byte, 30), make([]byte, 32), make([]byte, 31)}
	for _, p := range packets {
		out.put(p)
	}
	if out.messages != 3 || out.headers[0].header.iovLen != 3 || out.controls[0].bytes != 30 || out.headers[2].header.controlLen != 0 {
		t.Fatalf("got %d messages, the first of %d, cut at %d", out.messages, out.headers[0].header.iovLen, out.controls[0].bytes)
	}
	out.separate(1) // the first message was sent
	if out.messages != 3 || out.packets != 3 || out.segment {
		t.Fatalf("got %d messages, %d packets, segment %v; want 3, 3, false", out.messages, out.packets, out.segment)
	}
	for i, want := range [][]byte{packets[1], packets[5], packets[4]} {
		h := out.headers[i].header
		if v := out.vectors[i*rowLen]; v.base != address(want) || v.len != uint64(len(want)) || h.iovLen != 1 || h.controlLen != 0 {
			t.Errorf("message %d: got %+v %+v, want packet of %d bytes alone", i, v, h, len(want))
		}
	}
	out.clear()
	for _, p := range packets {
		out.put(p)
	}
	if out.messages != len(packets) {
		t.Errorf("got %d messages, want %d", out.messages, len(packets))
	}
}

func TestTurnDoesNotAllocate(t *testing.T) {
	// The server is in this process: it must not allocate either.
	replies := make([][]byte, 1)
	target := serve(t, func(q []byte) [][]byte {
		q[2] |= 0x80
		replies[0] = q
		return replies
	})
	for _, rate := range []float64{0, 20000, 1.5 * sweepRate} {
		for _, window := range []int{16, 512} {
			r := run{
				cfg: Config{Target: target, Flows: 8, Window: window}, plan: pace.Plan{Rate: rate},
				corpus: query.Config{Pattern: "n%d.example", Names: 1e6, Order: query.Zipf, Exponent: 1, Mix: query.Mix{EDNS: 0.5, DO: 0.2, Case: 0.2, UDPSize: 1232}},
			}
			s, clock, counts, _ := r.sender(t)
			if err := s.begin(r.shifted(clock)); err != nil {
				t.Fatal(err)
			}
			for until := time.Now().Add(5 * time.Second); counts.Answered == 0 && time.Now().Before(until); {
				s.turn()
			}
			if n := testing.AllocsPerRun(500, func() { s.turn() }); n != 0 {
				t.Errorf("rate %v, window %d: got %v allocations per turn, want 0", rate, window, n)
			}
			if counts.Answered == 0 {
				t.Errorf("rate %v, window %d: no answers in the turns", rate, window)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPauseAtTheEnd: what was due before the end is sent and charged although the sender came too late for it, and for more than a turn's worth.
func TestPauseAtTheEnd(t *testing.T) {
	target := serve(t, echo)
	const rate, lasts, due = 100_000, 20 * time.Millisecond, 2000
	var unsent, queries uint64
	for range 20 { // one that this machine does not interrupt for catchUp once more
		r := run{cfg: Config{Target: target, Flows: 8, Window: 4096}, plan: pace.Plan{Rate: rate, To: int64(lasts)}}
		s, clock, counts, _ := r.sender(t)
		if err := s.begin(r.shifted(clock)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(s.plan.To - clock.Now()))
		for end := time.Now().Add(5 * time.Second); s.turn() && time.Now().Before(end); {
		}
		unsent, queries = counts.Unsent, counts.Queries
		if err := errors.Join(s.fault, s.close()); err != nil {
			t.Fatal(err)
		}
		if unsent == 0 && queries >= due-1 && queries <= due+1 {
			return
		}
	}
	t.Errorf("got %d queries sent and %d not, want %d and none", queries, unsent, due)
}
