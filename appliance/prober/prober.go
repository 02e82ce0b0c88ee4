package prober

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/client"
	"secure-dns-proxy/transport/health"
)

// Settings are what a probe is like. RCodes are those that count as good.
type Settings struct {
	Timeout time.Duration
	Jitter  int    // percent by which waits between probes differ from what is wanted, either way
	Name    string // asked for; a first label "*" becomes a random one each time
	Type    uint16
	RCodes  []int
}

// Prober probes one endpoint until Close.
type Prober struct {
	endpoint *transport.Endpoint
	state    *health.State
	settings atomic.Pointer[Settings]
	wake     chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}

	line *client.Client // nil: no connection; the goroutine's own
}

// Start begins to probe e when state, its health, wants it.
func Start(e *transport.Endpoint, state *health.State, s Settings) *Prober {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Prober{endpoint: e, state: state, wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	p.settings.Store(&s)
	go p.run(ctx)
	return p
}

// Configure replaces the settings from the next probe on.
func (p *Prober) Configure(s Settings) {
	p.settings.Store(&s)
	p.Wake()
}

// Wake makes the prober ask the state again when the next probe is due.
func (p *Prober) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Close ends the prober; a probe under way is given up without a result. It waits until everything is given back.
func (p *Prober) Close() {
	p.cancel()
	<-p.done
}

// run is the goroutine.
func (p *Prober) run(ctx context.Context) {
	defer close(p.done)
	defer p.hangUp()
	var planned, due int64
	for ctx.Err() == nil {
		at := p.state.ProbeAt()
		if at == health.Never {
			p.hangUp()
			p.sleep(ctx, -1)
			continue
		}
		now := int64(transport.Now())
		if at != planned {
			planned, due = at, now+p.jittered(at-now)
		}
		if wait := due - now; wait > 0 {
			p.sleep(ctx, time.Duration(wait))
			continue
		}
		p.probe(ctx)
	}
}

// jittered returns about wait, so that probers that began together do not stay together.
func (p *Prober) jittered(wait int64) int64 {
	span := wait * int64(p.settings.Load().Jitter) / 100
	if span <= 0 {
		return wait
	}
	return wait - span + rand.Int64N(2*span+1)
}

// sleep waits for so long, or without a bound if it is negative, until Wake or the end.
func (p *Prober) sleep(ctx context.Context, wait time.Duration) {
	var timeout <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-timeout:
	case <-p.wake:
	case <-ctx.Done():
	}
}

// probe sends one probe and tells the state what came of it.
func (p *Prober) probe(ctx context.Context) {
	s := p.settings.Load()
	sent := transport.Now()
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	query := newQuery(s)
	rcode, err := p.ask(limited, query)
	now := transport.Now()
	if ctx.Err() != nil {
		return // closed meanwhile: nobody's fault
	}
	latency := now - sent
	result := health.ProbeGood
	switch {
	case latency >= s.Timeout: // or it came after all, before anybody looked
		result, err = health.ProbeTimeout, fmt.Errorf("no answer within %v", s.Timeout)
	case err != nil:
		result = health.ProbeFault
	case !slices.Contains(s.RCodes, rcode):
		q := query.Question[0]
		result, err = health.ProbeRCode, fmt.Errorf("answered %s for %s %s", dns.RcodeToString[rcode], q.Name, dns.TypeToString[q.Qtype])
	}
	if err != nil {
		p.hangUp()
	}
	p.state.Probed(int64(now), result, int64(latency), err)
}

// ask sends query and returns the whole RCODE of the answer.
func (p *Prober) ask(ctx context.Context, query *dns.Msg) (int, error) {
	packed, err := query.Pack()
	if err != nil {
		return 0, fmt.Errorf("pack %s: %w", query.Question[0].Name, err)
	}
	if p.line == nil {
		if p.line, err = client.New(p.endpoint); err != nil {
			return 0, err
		}
	}
	answer, err := p.line.Exchange(ctx, packed)
	if err != nil {
		return 0, err
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(answer); err != nil {
		return 0, fmt.Errorf("not a DNS message: %w", err)
	}
	return reply.Rcode, nil
}

// hangUp gives up the connection; the next probe makes another.
func (p *Prober) hangUp() {
	if p.line == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = p.line.Close(ctx) // the error is that of ctx
	p.line = nil
}

// newQuery is the question of one probe, with a random id.
func newQuery(s *Settings) *dns.Msg {
	name := s.Name
	if zone, random := strings.CutPrefix(name, "*."); random {
		var label [labelBytes]byte
		_, _ = cryptorand.Read(label[:]) // it never fails
		name = hex.EncodeToString(label[:]) + "." + zone
	}
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), s.Type)
	query.SetEdns0(udpBytes, false)
	return query
}
