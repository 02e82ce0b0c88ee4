package worker

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/relay"
	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/census"
	"secure-dns-proxy/worker/cookie"
	"secure-dns-proxy/worker/inflight"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/stream"
)

// fakeEngine is an Engine without a kernel: a test queues events and looks at what the worker sent. It serves what no real socket can
// show on demand: forged answers, exact times, and allocation counts of one turn.
type fakeEngine struct {
	waker  *ring.Waker
	events []ring.Event
	sent   []sentDatagram
	keep   bool // record what is sent

	streamed []sentDatagram // what Send was given
	closed   []ring.Handle
	slot     [ring.DatagramBytesMax]byte
	next     ring.Handle
	fds      map[ring.Handle]int
	count    ring.Counters
}

// sentDatagram is one Commit.
type sentDatagram struct {
	handle ring.Handle
	data   []byte
	to     netip.AddrPort // zero on a connected socket
}

func newFakeEngine(t testing.TB) *fakeEngine {
	waker, err := ring.NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	return &fakeEngine{waker: waker, keep: true, fds: map[ring.Handle]int{}}
}

func (f *fakeEngine) add(fd int) ring.Handle {
	f.next++
	f.fds[f.next] = fd
	return f.next
}

func (f *fakeEngine) AddDatagram(fd int, _ uint32, _ bool) (ring.Handle, error) {
	return f.add(fd), nil
}
func (f *fakeEngine) AddListener(fd int, _ uint32) (ring.Handle, error) { return f.add(fd), nil }
func (f *fakeEngine) SetTag(ring.Handle, uint32)                        {}
func (f *fakeEngine) Recv(ring.Handle)                                  {}

// Send records what a stream is sent; the kernel has taken it at once.
func (f *fakeEngine) Send(h ring.Handle, data []byte) {
	if f.keep {
		f.streamed = append(f.streamed, sentDatagram{handle: h, data: append([]byte(nil), data...)})
	}
}
func (f *fakeEngine) Reserve() []byte          { return f.slot[:] }
func (f *fakeEngine) Waker() *ring.Waker       { return f.waker }
func (f *fakeEngine) Counters() *ring.Counters { return &f.count }
func (f *fakeEngine) Name() string             { return "fake" }

func (f *fakeEngine) Close(h ring.Handle) {
	f.closed = append(f.closed, h)
	if fd, ok := f.fds[h]; ok {
		sys.CloseFD(fd)
		delete(f.fds, h)
	}
}

func (f *fakeEngine) Commit(h ring.Handle, n int, to *ring.Path) {
	if !f.keep {
		return
	}
	d := sentDatagram{handle: h, data: append([]byte(nil), f.slot[:n]...)}
	if to != nil {
		d.to = to.Addr()
	}
	f.sent = append(f.sent, d)
}

func (f *fakeEngine) Turn(wait time.Duration) []ring.Event {
	events := f.events
	f.events = nil
	return events
}

func (f *fakeEngine) Shutdown() error {
	for h := range f.fds {
		f.Close(h)
	}
	return f.waker.Close()
}

// bench is a worker on a fake engine in virtual time.
type bench struct {
	t      testing.TB
	w      *worker
	eng    *fakeEngine
	now    time.Duration
	health []*health.State
}

// benchConfig is a small worker.
func benchConfig() Config {
	return Config{
		Workers: 1, Slots: 64, Waiters: 256, UDPSizeMax: 1232, TCP: stream.Defaults(), Log: slog.New(slog.DiscardHandler),
	}
}

// plainRequests are the defaults.
func plainRequests() Requests {
	r := Requests{Classes: Refused}
	r.Kinds[RequestSigned].Treatment = NotAuthorized
	return r
}

// benchSnapshot has so many Do53 upstreams. Nothing listens at their ports: answers are events that the test makes.
func benchSnapshot(b *bench, upstreams int) *Snapshot {
	s := &Snapshot{
		CacheBytes: 4 << 20, TTLMax: 86400, NegativeTTLMax: 3600,
		QueryTimeout: 3 * time.Second, AttemptTimeout: time.Second, Requests: plainRequests(),
	}
	for i := range upstreams {
		state := health.New(func() int64 { return int64(b.now) })
		b.health = append(b.health, state)
		s.Upstreams = append(s.Upstreams, Upstream{Weight: 1, Endpoint: &transport.Endpoint{
			Name: "udp://127.0.0.1:" + string(rune('1'+i)), Scheme: transport.UDP, Host: "127.0.0.1", Conns: 1,
			Addresses:   transport.NewAddresses(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1+i))),
			DialTimeout: time.Second, IdleTimeout: time.Second, DeadAfter: time.Second, Health: state,
		}})
	}
	s.Pools = []Pool{defaultPool(upstreams)}
	return s
}

// defaultPool holds the first upstreams of a snapshot.
func defaultPool(upstreams int) Pool {
	p := Pool{Name: "default", RetryPercent: 20, HedgePercent: 5, LoadPercent: 125}
	for i := range upstreams {
		p.Members = append(p.Members, i)
	}
	return p
}

// newBench returns a worker that has begun. edit may change the configuration and the snapshot.
func newBench(t testing.TB, upstreams int, edit func(*Config, *Snapshot)) *bench {
	t.Helper()
	b := &bench{t: t, eng: newFakeEngine(t), now: benchBegin}
	cfg, snap := benchConfig(), benchSnapshot(b, upstreams)
	if edit != nil {
		edit(&cfg, snap)
	}
	c := &command{snapshot: snap}
	for i := range snap.Upstreams {
		e := snap.Upstreams[i].Endpoint
		over := *e
		over.Scheme, over.Health, over.PaddingBlock = transport.TCP, nil, 0
		lane, err := transport.NewLane(&over, func() {}, transport.LaneLimits{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lane.Close(t.Context()) })
		c.upstreams = append(c.upstreams, &upstream{endpoint: e, health: b.health[i], lane: lane, index: inflight.NoUpstream})
	}
	for i := range snap.Pools {
		c.pools = append(c.pools, &poolState{tag: uint8(i)})
	}
	c.derive(t)
	if snap.Requests.Relays() { // the test serves it
		line, err := relay.NewLine(func() {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { line.Close(context.Background()) })
		c.relay = &relayLink{line: line}
	}
	random := rand.New(rand.NewChaCha8([32]byte{1})) // choices are the same in each run
	b.w = &worker{cfg: &cfg, seed: maphash.MakeSeed(), eng: b.eng, clock: func() time.Duration { return b.now }, wall: b.unix, random: random}
	b.w.zones.next.Store(cfg.Policies)
	if err := b.w.begin(c, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.w.release(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// derive makes of the snapshot what a Group makes of it for one worker; the figures of rules begin anew.
func (c *command) derive(t testing.TB) {
	t.Helper()
	snap := c.snapshot
	c.cacheBytes = snap.CacheBytes
	c.shares = nil
	for i := range snap.Pools {
		if bytes := snap.Pools[i].CacheBytes; bytes != 0 {
			c.shares = append(c.shares, cache.Share{Pool: c.pools[i].tag, Bytes: bytes})
		}
	}
	for i := range snap.Views {
		if v := &snap.Views[i]; v.CacheBytes != 0 {
			c.shares = append(c.shares, cache.Share{Partition: c.viewState(v.Name).tag, Bytes: v.CacheBytes})
		}
	}
	var err error
	if c.router, err = snap.router(); err != nil {
		t.Fatal(err)
	}
	if c.neverKept, err = suffixTable(snap.NeverKept); err != nil {
		t.Fatal(err)
	}
	if c.local, err = local.New(&snap.Local); err != nil {
		t.Fatal(err)
	}
	if c.census = nil; snap.Census != nil {
		c.census = census.New(*snap.Census)
	}
	if c.policy, err = snap.compileRules(1); err != nil {
		t.Fatal(err)
	}
	c.ruleHits = new(Group).ruleHits(c.policy)
	c.views = nil
	for i := range snap.Views {
		c.views = append(c.views, c.viewState(snap.Views[i].Name))
	}
	if c.access, err = snap.Access.compile(); err != nil {
		t.Fatal(err)
	}
	if c.jar, err = snap.jar(cookie.Secret{}); err != nil {
		t.Fatal(err)
	}
}

// viewStates are those of all views that workers of tests have ever had; a worker is known by the state of its first pool.
var viewStates struct {
	sync.Mutex
	of map[*poolState]map[string]*viewState
}

// viewState is always the same one for a name.
func (c *command) viewState(name string) *viewState {
	viewStates.Lock()
	defer viewStates.Unlock()
	if viewStates.of == nil {
		viewStates.of = map[*poolState]map[string]*viewState{}
	}
	known := viewStates.of[c.pools[0]]
	if known == nil {
		known = map[string]*viewState{}
		viewStates.of[c.pools[0]] = known
	}
	if known[name] == nil {
		known[name] = &viewState{tag: uint8(1 + len(known))}
	}
	return known[name]
}

// benchUnix is the wall clock's time when a bench begins: that of RFC 9018 appendix A.1.
const benchUnix = 1559731985

// unix is the wall clock.
func (b *bench) unix() int64 { return benchUnix + int64((b.now-benchBegin)/time.Second) }

// benchBegin is the time when a bench begins.
const benchBegin = time.Hour

// clientSocket stands for the socket of a listener.
const clientSocket = ring.Handle(1 << 19)

// client returns the path of a UDP client by number.
func client(n int) *ring.Path {
	p := new(ring.Path)
	p.SetAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(n >> 8), byte(n)}), 1000))
	return p
}

// turn lets the worker see some events and returns what it sent.
func (b *bench) turn(events ...ring.Event) []sentDatagram {
	b.t.Helper()
	b.eng.events, b.eng.sent = events, nil
	b.w.turn()
	return b.eng.sent
}

// from makes the event of a query from client n.
func from(n int, msg []byte) ring.Event {
	return ring.Event{Kind: ring.Datagram, Handle: clientSocket, Data: msg, Path: client(n)}
}

// ask sends a query from client n and returns what the worker sent.
func (b *bench) ask(n int, m *dns.Msg) []sentDatagram {
	b.t.Helper()
	return b.turn(from(n, pack(b.t, m)))
}

// answer makes the event of a datagram that comes back to the port that d left from.
func (b *bench) answer(d sentDatagram, msg []byte) ring.Event {
	b.t.Helper()
	for i := range b.w.sockets {
		if s := &b.w.sockets[i]; s.upstream != nil && s.handle == d.handle {
			return ring.Event{Kind: ring.Datagram, Handle: d.handle, Tag: upstreamTag | uint32(i), Data: msg}
		}
	}
	b.t.Fatalf("no upstream socket with handle %d", d.handle)
	return ring.Event{}
}

// refused makes the event of an ICMP error on the port that d left from.
func (b *bench) refused(d sentDatagram) ring.Event {
	ev := b.answer(d, nil)
	ev.Kind, ev.Errno = ring.DatagramError, syscall.ECONNREFUSED
	return ev
}

// upstreamOf returns the number of the upstream that d went to.
func (b *bench) upstreamOf(d sentDatagram) int {
	ev := b.answer(d, nil)
	u := b.w.sockets[ev.Tag&^upstreamTag].upstream
	for i, other := range b.w.active.pools[0].members {
		if other == u {
			return i
		}
	}
	return -1
}

// query is a question with RD, without EDNS.
func query(id uint16, name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.Id = id
	return m
}

// reply answers a query as it was sent to an upstream; records are in presentation format.
func reply(t testing.TB, sent []byte, edit func(*dns.Msg), records ...string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetReply(unpack(t, sent))
	m.RecursionAvailable = true
	m.Compress = true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.SetEdns0(1232, false)
	if edit != nil {
		edit(m)
	}
	return pack(t, m)
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t testing.TB, b []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		t.Fatalf("unpack %x: %v", b, err)
	}
	return m
}

// one returns the only element.
func one(t testing.TB, sent []sentDatagram) sentDatagram {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("%d datagrams sent, want 1", len(sent))
	}
	return sent[0]
}

// idOf returns the id of a message.
func idOf(msg []byte) uint16 { return binary.BigEndian.Uint16(msg) }
