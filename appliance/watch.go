package appliance

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/prober"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
)

// watch looks after the health of the upstreams in use: it gives their states the configuration in force, runs a prober for each, and logs
// every change once, for upstreams and for pools. States keep their changes until they are read, so none is missed however short it is.
type watch struct {
	log *slog.Logger

	mu    sync.Mutex
	wards []*ward
	pools []*poolWatch
	past  map[string]health.Figures // by name, of endpoints that were replaced: their counters must not fall
	fresh []health.Transition       // scratch
}

// ward is one endpoint under watch.
type ward struct {
	endpoint *transport.Endpoint
	state    *health.State
	prober   *prober.Prober
	troubles map[netip.AddrPort]error // of its addresses, as logged
}

func newWatch(log *slog.Logger) *watch { return &watch{log: log, past: map[string]health.Figures{}} }

// follow puts the health settings of entries into force and replaces the endpoints that are watched by theirs. An endpoint that stays keeps
// its state and its prober.
func (w *watch) follow(entries []entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := map[*transport.Endpoint]*ward{}
	for _, old := range w.wards {
		before[old.endpoint] = old
		w.past[old.endpoint.Name] = old.state.Figures()
	}
	w.wards = nil
	for i := range entries {
		u := &entries[i].upstream
		for _, e := range entries[i].endpoints {
			kept := before[e]
			delete(before, e)
			w.wards = append(w.wards, w.look(e, u, kept))
		}
	}
	w.gather(entries)
	var closing sync.WaitGroup
	for _, gone := range before {
		closing.Go(gone.prober.Close)
	}
	closing.Wait()
}

// look begins to look after e, or goes on with kept. mu is held.
func (w *watch) look(e *transport.Endpoint, u *config.Upstream, kept *ward) *ward {
	probe := prober.Settings{Timeout: u.Health.Timeout, Jitter: u.Health.Jitter, Name: u.Health.Name, Type: u.Health.Type, RCodes: u.Health.RCodes}
	if kept != nil {
		kept.state.Configure(int64(transport.Now()), u.Health.Config)
		kept.prober.Configure(probe)
		return kept
	}
	state := e.Health.(*health.State)
	state.Carry(w.past[e.Name])
	state.Configure(int64(transport.Now()), u.Health.Config)
	return &ward{endpoint: e, state: state, prober: prober.Start(e, state, probe)}
}

// run reads changes until ctx ends.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(healthPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.read()
		}
	}
}

// read logs what has changed and tells the probers.
func (w *watch) read() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ward := range w.wards {
		w.readAddresses(ward)
		var dropped uint64
		w.fresh, dropped = ward.state.Transitions(w.fresh[:0])
		if dropped != 0 {
			w.log.Warn("upstream changes too often for the log", "upstream", ward.endpoint.Name, "changes_not_logged", dropped)
		}
		for i := range w.fresh {
			t := &w.fresh[i]
			level := slog.LevelInfo
			if t.To == health.Down || t.Reason.Cause == health.CauseBarred {
				level = slog.LevelError
			}
			w.log.Log(context.Background(), level, "upstream "+t.To.String(), "upstream", ward.endpoint.Name, "was", t.From.String(), "reason", t.Reason.Error())
		}
		if len(w.fresh) != 0 {
			ward.prober.Wake()
		}
	}
	w.readPools()
}

// readAddresses logs which of several addresses of an upstream fail, and which work again. An upstream with one address is up or down.
func (w *watch) readAddresses(ward *ward) {
	troubles := ward.endpoint.AddressTroubles()
	for address, reason := range troubles {
		if _, known := ward.troubles[address]; !known {
			w.log.Warn("upstream address fails", "upstream", ward.endpoint.Name, "address", address, "reason", reason)
		}
	}
	for address := range ward.troubles {
		if _, still := troubles[address]; !still && slices.Contains(ward.endpoint.Addresses.Load(), address) {
			w.log.Info("upstream address works again", "upstream", ward.endpoint.Name, "address", address)
		}
	}
	ward.troubles = troubles
}

// close ends the probers.
func (w *watch) close() { w.follow(nil) }
