package appliance

import (
	"context"
	"fmt"
	"slices"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/ddr"
	"secure-dns-proxy/appliance/telemetry"
	"secure-dns-proxy/transport"
)

// designated is what an entry with ddr has beside its endpoints. The zero value is for one without.
type designated struct {
	plain   *transport.Endpoint   // the resolver that is asked, nil without ddr
	before  []*transport.Endpoint // endpoints of the entry while there is no upgrade
	upgrade *ddr.Upgrade          // nil: none yet
}

// seeker is one search for a designated resolver.
type seeker struct {
	upstream string
	*ddr.Seeker
}

// upgrade asks for the endpoint of an upstream to be replaced.
type upgrade struct {
	upstream string
	to       *ddr.Upgrade // nil: back to the plain resolver
	done     chan error
}

// prepare readies a new entry for ddr. An upstream that must not be used in plain gets an endpoint without an address: there is nowhere
// to send anything to.
func (r *roster) prepare(e *entry) error {
	if !e.upstream.Designates() {
		return nil
	}
	e.ddr = designated{plain: e.endpoints[0], before: e.endpoints}
	if e.upstream.DDR == config.DDRUpgrade {
		return nil
	}
	mute, err := r.located(&e.upstream, e.shared, "")
	if err != nil {
		return err
	}
	mute.Addresses.Store(nil)
	e.endpoints, e.ddr.before = []*transport.Endpoint{mute}, []*transport.Endpoint{mute}
	return nil
}

// seek replaces the seekers by those for the entries in use.
func (r *roster) seek(c *config.Checked) {
	r.stopSeeking()
	var list []seeker
	for _, e := range r.entries {
		if e.ddr.plain == nil {
			continue
		}
		u, s := e.upstream, e.shared
		list = append(list, seeker{u.URL, ddr.Seek(ddr.Config{
			Plain: e.ddr.plain, Address: u.Addresses[0], Opportunistic: u.DDROpportunistic, Downgrade: u.DDRDowngrade,
			Timeout: max(c.Bootstrap.Timeout, s.dial), MinTTL: c.Bootstrap.MinTTL, FailureRetry: c.Bootstrap.FailureRetry,
			Log: r.log.With("upstream", u.URL), Down: isDown,
			Build: func(d *ddr.Designation, verify bool) (*transport.Endpoint, error) {
				return r.designatedEndpoint(&u, s, d, verify)
			},
			Use: func(ctx context.Context, to *ddr.Upgrade) error { return r.requestUpgrade(ctx, u.URL, to) },
		}, e.ddr.upgrade)})
	}
	r.seekers.Store(&list)
}

// stopSeeking ends all searches; what they found stays in use.
func (r *roster) stopSeeking() {
	if list := r.seekers.Swap(nil); list != nil {
		for _, s := range *list {
			s.Close()
		}
	}
}

// designatedEndpoint makes the endpoint of a designation: an upstream with the settings, and the label, of the one that designates. Any
// goroutine.
func (r *roster) designatedEndpoint(u *config.Upstream, s shared, d *ddr.Designation, verify bool) (*transport.Endpoint, error) {
	v, off := *u, config.ECHOff
	v.Scheme, v.Host, v.Port, v.Path, v.Addresses, v.ECH = d.Scheme, d.Target, d.Port, d.Path, d.Addrs, &off
	also := u.Addresses[0].String()
	if !verify {
		v.InsecureTLS, v.Pins, also = true, nil, ""
	}
	return r.located(&v, s, also)
}

// requestUpgrade asks the service for a change and waits until it is in force. Any goroutine.
func (r *roster) requestUpgrade(ctx context.Context, upstream string, to *ddr.Upgrade) error {
	q := upgrade{upstream, to, make(chan error, 1)}
	select {
	case r.upgrades <- q:
		return <-q.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upgraded returns the entries with the change carried out.
func (r *roster) upgraded(q upgrade) ([]entry, error) {
	planned := slices.Clone(r.entries)
	for i := range planned {
		e := &planned[i]
		if e.upstream.URL != q.upstream || e.ddr.plain == nil {
			continue
		}
		e.ddr.upgrade, e.endpoints = q.to, e.ddr.before
		if q.to != nil {
			e.endpoints = []*transport.Endpoint{q.to.Endpoint}
		}
		return planned, nil
	}
	return nil, fmt.Errorf("upstream %s is not in use", q.upstream)
}

// upgrade puts a change into force that a seeker asks for.
func (s *service) upgrade(q upgrade) error {
	planned, err := s.roster.upgraded(q)
	if err != nil {
		return err
	}
	s.caps.apply(s.checked, planned)
	snap := snapshot(s.checked, planned)
	snap.Tier, snap.Inspection = tierOf(s.remote.store, &s.checked.Cache.Remote), s.inspector.current().snapshot()
	if err := s.group.Reload(snap); err != nil {
		return err
	}
	s.roster.setEntries(planned)
	s.watch.follow(planned)
	s.loops.Follow(plainOf(planned), s.checked.LoopInterval)
	s.papers.follow(endpointsOf(planned), s.roster.openKeyLogs(), s.checked.TLS.ExpiryWarning)
	return nil
}

// designations is what the metrics page shows of ddr. Any goroutine.
func (r *roster) designations() []telemetry.Designation {
	var out []telemetry.Designation
	if list := r.seekers.Load(); list != nil {
		for _, s := range *list {
			out = append(out, telemetry.Designation{Upstream: s.upstream, State: s.State()})
		}
	}
	return out
}
