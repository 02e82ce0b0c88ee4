package appliance

import (
	"net/netip"

	"secure-dns-proxy/appliance/bootstrap"
	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
)

// followECH begins to look up the configurations for Encrypted Client Hello of the entries in use, where the operator gave none.
func (r *roster) followECH(cfg bootstrap.Config) {
	if r.ech != nil {
		r.ech.Close()
	}
	var targets []bootstrap.ECHTarget
	for _, e := range r.entries {
		for _, end := range e.endpoints {
			if target, ok := echTarget(&e.upstream, end); ok {
				targets = append(targets, target)
			}
		}
	}
	r.ech = bootstrap.FollowECH(cfg, r.log, targets)
}

// echTarget says what to look up for an endpoint; false: nothing.
func echTarget(u *config.Upstream, e *transport.Endpoint) (bootstrap.ECHTarget, bool) {
	if e.Trust == nil || e.Trust.ECH() == nil || u.ECHConfig != nil {
		return bootstrap.ECHTarget{}, false
	}
	if _, err := netip.ParseAddr(u.VerifiedName()); err == nil {
		return bootstrap.ECHTarget{}, false
	}
	target := bootstrap.ECHTarget{Name: u.VerifiedName(), Port: e.Port, Sink: e.Trust.ECH(), HTTPS: e.Scheme == transport.HTTPS}
	switch {
	case e.Scheme == transport.TLS:
		target.ALPN = []string{"dot"}
	case e.Scheme == transport.QUIC:
		target.ALPN = []string{"doq"}
	case e.HTTP3 == transport.HTTP3Only:
		target.ALPN = []string{"h3"}
	case e.HTTP3 == transport.HTTP3Probe:
		target.ALPN = []string{"h2", "h3"}
	default:
		target.ALPN = []string{"h2"}
	}
	return target, true
}

// both is closed when both channels are.
func both(a, b <-chan struct{}) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		<-a
		<-b
		close(done)
	}()
	return done
}
