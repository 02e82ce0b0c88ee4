package appliance

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"secure-dns-proxy/appliance/bootstrap"
	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/embedded"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/health"
	"secure-dns-proxy/transport/trust"
)

// roster turns configured upstreams into endpoints and keeps the addresses of their names fresh. An upstream that a reload leaves as
// it is keeps its endpoint, and with it its connections and its health. Not for concurrent use.
type roster struct {
	log       *slog.Logger
	entries   []entry
	embedded  *embedded.Server    // started when first wanted; then kept, for its connections may still be draining
	follower  *bootstrap.Follower // nil: no name to follow
	ech       *bootstrap.Follower // of configurations for Encrypted Client Hello; nil: before the first adopt
	keyLogs   []*trust.KeyLog     // open; more than one only until adopt
	keyLogsMu sync.Mutex          // seekers open some too
	lookups   bootstrap.Counters
	inUse     atomic.Pointer[[]*transport.Endpoint] // of the entries, in the order in which names are looked up through them
	seekers   atomic.Pointer[[]seeker]
	upgrades  chan upgrade // from the seekers, to whoever runs the service; nil: nobody does
	serving   atomic.Bool  // the upstreams are in use: names may be looked up through them
}

// entry is one configured upstream with all that went into its endpoints.
type entry struct {
	upstream  config.Upstream
	shared    shared
	endpoints []*transport.Endpoint // two for embedded:, else one
	ddr       designated
}

// shared is what endpoints take from outside of their upstream's own settings.
type shared struct {
	dial, idle, dead time.Duration
	prewarm          bool
	tls              config.TLS
	connection       config.Connection
	quic             config.QUIC
	addresses        config.Addresses
}

func sharedOf(c *config.Checked) shared {
	return shared{c.Timeouts.Dial, c.Timeouts.Idle, c.Timeouts.Dead, c.Prewarm, c.TLS, c.Connection, c.QUIC, c.Addresses}
}

func (s shared) same(other shared) bool {
	if s.tls.Roots != nil && other.tls.Roots != nil && s.tls.Roots.Equal(other.tls.Roots) {
		s.tls.Roots = other.tls.Roots // a pool holds functions, which reflect cannot compare
	}
	s.tls.CAFile, s.tls.ExpiryWarning = other.tls.CAFile, other.tls.ExpiryWarning // no connection is different for them
	return reflect.DeepEqual(s, other)
}

// plan returns the entries for a configuration; nothing in use changes until adopt.
func (r *roster) plan(c *config.Checked) ([]entry, error) {
	var planned []entry
	for _, u := range c.Upstreams {
		if e, ok := r.find(&u, sharedOf(c)); ok {
			e.upstream = u // what Same leaves out may differ
			planned = append(planned, e)
			continue
		}
		endpoints, err := r.endpoints(&u, sharedOf(c))
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.URL, err)
		}
		e := entry{upstream: u, shared: sharedOf(c), endpoints: endpoints}
		if err := r.prepare(&e); err != nil {
			return nil, fmt.Errorf("upstream %s: %w", u.URL, err)
		}
		planned = append(planned, e)
	}
	return planned, nil
}

func (r *roster) find(u *config.Upstream, s shared) (entry, bool) {
	for _, e := range r.entries {
		if e.upstream.Same(u) && e.shared.same(s) {
			return e, true
		}
	}
	return entry{}, false
}

// endpointsOf lists the endpoints in the order of the configuration.
func endpointsOf(entries []entry) []*transport.Endpoint {
	var all []*transport.Endpoint
	for _, e := range entries {
		all = append(all, e.endpoints...)
	}
	return all
}

// plainOf lists the endpoints that are asked over plain DNS, which may forward to us; what is embedded asks nobody.
func plainOf(entries []entry) []*transport.Endpoint {
	var plain []*transport.Endpoint
	for _, e := range entries {
		if e.upstream.Scheme == "udp" || e.upstream.Scheme == "tcp" {
			plain = append(plain, e.endpoints...)
		}
	}
	return plain
}

// adopt makes planned the entries in use and follows their names from now on. The returned channel is closed once every name was looked
// up for the first time.
func (r *roster) adopt(planned []entry, c *config.Checked) <-chan struct{} {
	r.setEntries(planned)
	r.closeKeyLogs(c.TLS.KeyLogFile)
	r.seek(c)
	cfg := r.bootstrapConfig(c)
	r.followECH(cfg)
	return both(r.followNames(cfg), r.ech.Tried())
}

// followNames begins to look up the names of the entries in use.
func (r *roster) followNames(cfg bootstrap.Config) <-chan struct{} {
	if r.follower != nil {
		r.follower.Close()
		r.follower = nil
	}
	var names []string
	waiting := map[string][]*transport.Endpoint{}
	for _, e := range r.entries {
		if len(e.upstream.Addresses) > 0 || !e.upstream.Name() {
			continue
		}
		if waiting[e.upstream.Host] == nil {
			names = append(names, e.upstream.Host)
		}
		waiting[e.upstream.Host] = append(waiting[e.upstream.Host], e.endpoints...)
	}
	if len(names) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	r.follower = bootstrap.Follow(cfg, r.log, names, func(name string, addrs []netip.Addr) {
		for _, e := range waiting[name] { // the map does not change any more
			e.Addresses.Store(withPort(addrs, e.Port))
		}
	})
	return r.follower.Tried()
}

// bootstrapConfig says who is asked for names.
func (r *roster) bootstrapConfig(c *config.Checked) bootstrap.Config {
	b := c.Bootstrap
	cfg := bootstrap.Config{
		Timeout: b.Timeout, RefreshThreshold: b.RefreshThreshold, MinTTL: b.MinTTL, FailureRetry: b.FailureRetry,
		JitterPercent: b.JitterPercent, Counters: &r.lookups,
	}
	for i := range b.Servers {
		u, off := b.Servers[i], config.ECHOff // nobody could be asked for the configuration
		u.ECH = &off
		server, err := r.located(&u, sharedOf(c), "")
		if err != nil {
			r.log.Error("bootstrap server cannot be used", "server", b.Servers[i].URL, "error", err)
			continue
		}
		cfg.Servers = append(cfg.Servers, server)
	}
	if b.ThroughUpstreams {
		cfg.Upstreams = r.resolvers
	}
	return cfg
}

// setEntries makes planned the entries in use.
func (r *roster) setEntries(planned []entry) {
	r.entries = planned
	var encrypted, plain []*transport.Endpoint
	for _, e := range planned {
		for _, end := range e.endpoints {
			switch {
			case e.upstream.Scheme == "embedded": // knows no names but its own
			case end.Scheme.Encrypted():
				encrypted = append(encrypted, end)
			default:
				plain = append(plain, end)
			}
		}
	}
	all := append(encrypted, plain...)
	r.inUse.Store(&all)
}

// resolvers lists the upstreams to ask for a name: encrypted ones first, none that is down. Any goroutine.
func (r *roster) resolvers() []*transport.Endpoint {
	all := r.inUse.Load()
	if all == nil || !r.serving.Load() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(*all), isDown)
}

func isDown(e *transport.Endpoint) bool { return e.Health.(*health.State).Status() == health.Down }

// close ends the look-ups and the embedded server.
func (r *roster) close() error {
	r.stopSeeking()
	if r.follower != nil {
		r.follower.Close()
	}
	if r.ech != nil {
		r.ech.Close()
	}
	r.closeKeyLogs("")
	if r.embedded != nil {
		return r.embedded.Close()
	}
	return nil
}

var schemes = map[string]transport.Scheme{
	"udp": transport.UDP, "tcp": transport.TCP, "tls": transport.TLS, "quic": transport.QUIC, "https": transport.HTTPS, "h3": transport.HTTPS,
}

// endpoints makes the endpoints of one upstream.
func (r *roster) endpoints(u *config.Upstream, s shared) ([]*transport.Endpoint, error) {
	if u.Scheme == "embedded" {
		return r.embeddedEndpoints(u, s)
	}
	e, err := r.located(u, s, "")
	if err != nil {
		return nil, err
	}
	if u.Name() && len(u.Addresses) == 0 {
		e.Addresses.Store(withPort(r.known(u.Host), u.Port))
	}
	return []*transport.Endpoint{e}, nil
}

// known returns the addresses that an upstream of this name has now: they are better than none until its name is looked up again.
func (r *roster) known(host string) []netip.Addr {
	for _, e := range r.entries {
		if e.upstream.Host != host || len(e.upstream.Addresses) > 0 || len(e.endpoints) != 1 {
			continue
		}
		var addrs []netip.Addr
		for _, a := range e.endpoints[0].Addresses.Load() {
			addrs = append(addrs, a.Addr())
		}
		return addrs
	}
	return nil
}

// located makes the endpoint of an upstream with the addresses that the configuration gives it. also is another name or address that its
// certificate must be valid for; empty: none.
func (r *roster) located(u *config.Upstream, s shared, also string) (*transport.Endpoint, error) {
	e := endpoint(u.URL, schemes[u.Scheme], u, s)
	e.Host, e.Port = u.Host, u.Port
	if u.HTTP() {
		if err := setHTTP(e, u); err != nil {
			return nil, err
		}
	}
	if u.HTTP() || e.Scheme == transport.QUIC {
		e.Notice = notices(r.log, e.Name)
	}
	e.Addresses = transport.NewAddresses(withPort(u.Addresses, u.Port)...)
	if e.Scheme.Encrypted() {
		policy, err := policyOf(u, s.tls)
		policy.Also = also
		if err == nil {
			err = r.protect(e, policy, s.tls.KeyLogFile)
		}
		if err != nil {
			return nil, err
		}
	}
	return e, e.Validate()
}

// embeddedEndpoints starts the embedded server if it does not run yet.
func (r *roster) embeddedEndpoints(u *config.Upstream, s shared) ([]*transport.Endpoint, error) {
	if r.embedded == nil {
		server, err := embedded.Start()
		if err != nil {
			return nil, err
		}
		r.embedded = server
	}
	var both []*transport.Endpoint
	for _, at := range []struct {
		scheme transport.Scheme
		addr   netip.AddrPort
	}{{transport.TLS, r.embedded.DoT()}, {transport.QUIC, r.embedded.DoQ()}} {
		e := endpoint(u.URL+at.scheme.String(), at.scheme, u, s)
		e.Host, e.Port = at.addr.Addr().String(), at.addr.Port()
		e.Addresses = transport.NewAddresses(at.addr)
		policy := trust.Policy{Name: embedded.Name, Roots: r.embedded.Roots(), MinVersion: s.tls.MinVersion, Groups: s.tls.Groups}
		if err := r.protect(e, policy, s.tls.KeyLogFile); err != nil {
			return nil, err
		}
		if err := e.Validate(); err != nil {
			return nil, err
		}
		both = append(both, e)
	}
	return both, nil
}

// endpoint fills in what does not depend on where the upstream is.
func endpoint(name string, scheme transport.Scheme, u *config.Upstream, s shared) *transport.Endpoint {
	e := &transport.Endpoint{
		ConnCaps: new(transport.ConnCaps),
		Name:     name, Scheme: scheme, Conns: u.Connections, Prewarm: s.prewarm,
		DialTimeout: u.Dial(s.dial), IdleTimeout: u.Idle(s.idle), DeadAfter: s.dead,
		AttemptDelay: s.addresses.AttemptDelay, IPv4First: s.addresses.IPv4First,
		Health: health.New(func() int64 { return int64(transport.Now()) }),
	}
	c := u.Connection(s.connection)
	e.MaxQueries, e.MaxAge, e.AskKeepalive, e.FastOpen = c.MaxQueries, c.MaxAge, c.EDNSKeepalive, c.FastOpen
	if scheme.Encrypted() {
		e.PaddingBlock = c.Padding
	}
	e.QUIC = quicSettings(u.QUIC(s.quic))
	return e
}

// quicSettings says what is configured in the words of transport, where zero is the default.
func quicSettings(q config.QUIC) transport.QUICSettings {
	s := transport.QUICSettings{
		Versions: q.Versions, EarlyData: q.EarlyData, KeepAlive: q.KeepAlive, MaxIdle: q.MaxIdle,
		Streams: q.MaxStreams, StreamWindow: q.StreamWindow, ConnectionWindow: q.ConnectionWindow,
	}
	if s.KeepAlive == 0 {
		s.KeepAlive = -1
	}
	return s
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, port)
	}
	return out
}
