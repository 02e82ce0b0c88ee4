// Package loop finds upstreams that send what they are asked back to this proxy, directly or by others: it would ask itself for ever. Each one that is asked over plain DNS is asked for a
// name that nobody can guess (worker.Beacons); if a worker sees that name, the upstream is kept out of use until it does not come back any more.
//
// A name, and not an EDNS option: resolvers on the way drop options that they do not know. The name has two labels and is in no zone, and is asked for
// with a type that hardly anybody asks for, so that nobody on the way has an answer of his own.
package loop

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/client"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/worker"
)

// Watch looks for loops. Its methods are safe from any goroutine.
type Watch struct {
	log     *slog.Logger
	beacons *worker.Beacons
	wake    chan struct{}

	mu       sync.Mutex
	interval time.Duration // 0: off
	wards    []*ward
	checks   sync.WaitGroup
}

// ward is one upstream under watch.
type ward struct {
	endpoint *transport.Endpoint
	beacon   *worker.Beacon // the last one; it may come back late
	due      time.Duration  // since transport.Base: the next check
	busy     bool           // a check is under way
	barred   bool
}

// errLoop is why an upstream is kept out of use.
var errLoop = errors.New("what it is asked comes back to this proxy: it forwards to us, directly or by others")

// NewWatch returns a watch over nobody yet.
func NewWatch(log *slog.Logger, beacons *worker.Beacons) *Watch {
	return &Watch{log: log, beacons: beacons, wake: make(chan struct{}, 1)}
}

// Beacons is what the workers are to look for.
func (w *Watch) Beacons() *worker.Beacons { return w.beacons }

// Follow replaces the endpoints that are watched. Those that are new are checked at once, all of them each interval; 0 ends it, and gives back what
// was kept out of use.
func (w *Watch) Follow(endpoints []*transport.Endpoint, interval time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interval = interval
	if interval == 0 {
		endpoints = nil
	}
	var wards []*ward
	for _, e := range endpoints {
		i := slices.IndexFunc(w.wards, func(old *ward) bool { return old.endpoint == e })
		if i < 0 {
			wards = append(wards, &ward{endpoint: e})
			continue
		}
		w.wards[i].due = min(w.wards[i].due, transport.Now()+interval)
		wards = append(wards, w.wards[i])
	}
	for _, old := range w.wards {
		if !slices.Contains(wards, old) {
			w.leave(old)
		}
	}
	w.wards = wards
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// leave gives up a ward. mu is held.
func (w *Watch) leave(old *ward) {
	if old.beacon != nil {
		w.beacons.Douse(old.beacon)
		old.beacon = nil
	}
	if old.barred {
		old.barred = false
		stateOf(old.endpoint).Unbar(int64(transport.Now()))
	}
}

func stateOf(e *transport.Endpoint) *health.State { return e.Health.(*health.State) }

// Run watches until ctx ends, and returns when no check is under way.
func (w *Watch) Run(ctx context.Context) {
	defer w.checks.Wait()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		w.tend(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-w.wake:
		}
	}
}

// tend bars those whose beacon has come back, and begins the checks that are due.
func (w *Watch) tend(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := transport.Now()
	for _, ward := range w.wards {
		if ward.beacon != nil && ward.beacon.Returned() && !ward.barred {
			ward.barred = true
			ward.due = min(ward.due, now+retry)
			stateOf(ward.endpoint).Bar(int64(now), errLoop)
		}
		if now < ward.due || ward.busy {
			continue
		}
		ward.busy = true
		if ward.due = now + w.interval; ward.barred {
			ward.due = now + min(w.interval, retry)
		}
		w.checks.Go(func() { w.check(ctx, ward) })
	}
}

// check asks an upstream for a new beacon.
func (w *Watch) check(ctx context.Context, ward *ward) {
	query := newQuery()
	beacon := w.beacons.Light(wireName(query.Question[0].Name))
	w.mu.Lock()
	if ward.beacon != nil {
		w.beacons.Douse(ward.beacon)
	}
	ward.beacon = beacon
	w.mu.Unlock()
	err := ask(ctx, ward.endpoint, query)
	w.mu.Lock()
	defer w.mu.Unlock()
	ward.busy = false
	switch {
	case ward.beacon != beacon: // it has left
		w.beacons.Douse(beacon)
	case err == nil && ward.barred && !beacon.Returned():
		ward.barred = false
		stateOf(ward.endpoint).Unbar(int64(transport.Now()))
	case err != nil && ctx.Err() == nil:
		w.log.Debug("not known whether an upstream forwards to us", "upstream", ward.endpoint.Name, "reason", err)
	}
}

// ask asks e, whatever the answer is.
func ask(ctx context.Context, e *transport.Endpoint, query *dns.Msg) error {
	packed, err := query.Pack()
	if err != nil {
		return err
	}
	line, err := client.New(e)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = line.Exchange(limited, packed)
	closing, cancelClosing := context.WithTimeout(context.Background(), closeTimeout)
	defer cancelClosing()
	return errors.Join(err, line.Close(closing))
}

// newQuery is a question that nobody else asks.
func newQuery() *dns.Msg {
	var random [24]byte
	rand.Read(random[:]) // it never fails
	name := hex.EncodeToString(random[:16]) + "." + hex.EncodeToString(random[16:]) + "."
	return new(dns.Msg).SetQuestion(name, worker.BeaconType).SetEdns0(udpBytes, false)
}

// wireName packs a name of newQuery.
func wireName(name string) []byte {
	buf := make([]byte, len(name)+1)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		panic("loop: " + err.Error())
	}
	return buf[:n]
}
