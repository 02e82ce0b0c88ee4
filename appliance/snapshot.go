package appliance

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/rpz"
	"secure-dns-proxy/worker/stream"
)

// workerConfig is the part of a configuration that is fixed for the life of the process.
func workerConfig(c *config.Checked, policies *rpz.Set, log *slog.Logger) worker.Config {
	return worker.Config{
		Workers:         c.Workers.Count,
		CPUs:            c.Workers.CPUs,
		Steering:        c.Workers.Steering,
		Receivers:       receivers(c.Listen),
		BusyPoll:        c.Workers.BusyPoll,
		Backend:         c.Backend,
		Slots:           c.Workers.InFlight,
		Waiters:         c.Workers.Waiters,
		UDPSizeMax:      c.UDP.PayloadMax,
		TCP:             streamConfig(c),
		RecvBufferBytes: c.UDP.ReceiveBuffer,
		Log:             log,
		Policies:        policies,
	}
}

// streamConfig is one worker's share of the TCP clients. Its pools of buffers keep the proportions of stream.Defaults.
func streamConfig(c *config.Checked) stream.Config {
	share := stream.Defaults()
	conns := (c.TCP.MaxConnections + c.Workers.Count - 1) / c.Workers.Count
	share.PoolSmall = max(1, (conns*share.PoolSmall+share.Conns/2)/share.Conns)
	share.Conns = conns
	share.ConnsPerClient = min(c.TCP.MaxConnectionsPerClient, conns)
	share.InFlightPerConn = c.TCP.MaxInFlight
	share.IdleTimeout = c.TCP.IdleTimeout
	return share
}

// snapshot is the part of a configuration that a reload replaces.
func snapshot(c *config.Checked, entries []entry) *worker.Snapshot {
	s := &worker.Snapshot{
		TTLMin:          uint32(c.Cache.MinTTL / time.Second),
		TTLMax:          uint32(c.Cache.MaxTTL / time.Second),
		NegativeTTLMin:  uint32(c.Cache.MinNegativeTTL / time.Second),
		NegativeTTLMax:  uint32(c.Cache.MaxNegativeTTL / time.Second),
		StaleMax:        uint32(c.Cache.MaxStale / time.Second),
		PrefetchPercent: c.Cache.Prefetch,
		PrefetchRate:    c.Cache.PrefetchRate,
		SharedPercent:   c.Cache.SharedPercent,
		FailureTTL:      c.Cache.FailureTTL,
		FailureTTLMax:   c.Cache.MaxFailureTTL,
		QueryTimeout:    c.Timeouts.Query,
		AttemptTimeout:  c.Timeouts.Upstream,
		Admission: worker.Admission{
			Enabled: c.Admission.Enabled, Target: c.Admission.TargetDelay, Exempt: c.Admission.Exempt, KernelFilter: c.Admission.KernelFilter,
			ShedMisses: c.Admission.ShedMisses, Shed: c.Admission.Shed,
		},
	}
	s.Local, s.Requests = localSpec(&c.Local), c.Requests
	s.DNS64, s.Rebinding = translation(&c.DNS64), rebinding(&c.Rebinding)
	s.NXDomainCut = c.Cache.NXDomainCut
	s.Census = c.Blocks.Census()
	s.Limits = c.Limits
	s.Cookies, s.NSID = worker.Cookies{Enabled: c.Cookies.Enabled, Secrets: c.Cookies.All()}, c.Cookies.NSID
	s.PassOptions, s.PassErrors = c.EDNS.PassOptions, c.EDNS.PassErrors
	s.Access.Silent = c.ACL.Silent
	s.Rules, s.Views = c.Rules, c.Views
	for _, listener := range c.Listen {
		allow, deny := c.ACL.Of(listener)
		s.Access.Lists = append(s.Access.Lists, worker.AccessList{Allow: allow, Deny: deny})
	}
	for _, suffix := range c.Cache.Never {
		s.NeverKept = append(s.NeverKept, wireName(suffix))
	}
	if c.Cache.Enabled {
		s.CacheBytes = c.Cache.Bytes
	} else {
		s.Views = slices.Clone(s.Views)
		for i := range s.Views {
			s.Views[i].CacheBytes = 0
		}
	}
	members := map[string][]int{}
	for _, e := range entries {
		for _, endpoint := range e.endpoints {
			for _, name := range e.upstream.Pools {
				members[name] = append(members[name], len(s.Upstreams))
			}
			s.Upstreams = append(s.Upstreams, worker.Upstream{
				Endpoint: endpoint, Weight: e.upstream.Weight, MaxOutstanding: e.upstream.MaxOutstanding,
			})
		}
	}
	for i := range c.Pools {
		p := poolOf(&c.Pools[i], c.Cache, members[c.Pools[i].Name])
		p.Subnet = c.EDNS.SubnetOf(&c.Pools[i])
		if !c.Cache.Enabled {
			p.CacheBytes = 0
		}
		s.Pools = append(s.Pools, p)
	}
	for scheme, limits := range map[transport.Scheme]config.Cap{
		transport.UDP: c.Caps.UDP, transport.TCP: c.Caps.TCP, transport.TLS: c.Caps.TLS,
		transport.QUIC: c.Caps.QUIC, transport.HTTPS: c.Caps.HTTPS,
	} {
		s.Transports[scheme].MaxOutstanding = limits.MaxOutstanding
	}
	return s
}

// localSpec is what workers answer by themselves.
func localSpec(c *config.Local) local.Spec {
	s := local.Spec{
		Localhost: c.Localhost, PrivateReverse: c.PrivateReverse, ResolverARPA: c.ResolverARPA, ApplicationDNS: c.ApplicationDNS,
		Any: c.Any, Version: c.Version, ID: c.ID,
	}
	for _, name := range c.Nonexistent {
		s.Nonexistent = append(s.Nonexistent, wireName(name))
	}
	return s
}

// poolOf is one pool as workers want it.
func poolOf(p *config.Pool, all config.Cache, members []int) worker.Pool {
	out := worker.Pool{
		Name: p.Name, Members: members, Policy: p.Policy, Fanout: p.Fanout, HedgePercent: p.HedgeBudget, RetryPercent: p.RetryBudget,
		LoadPercent: p.HashLoad, NoCache: !p.Cache, WhenDown: p.WhenDown, MaxOutstanding: p.MaxOutstanding, MaxRate: p.MaxRate, CacheBytes: p.CacheSize, Adaptive: p.Adaptive,
	}
	if own := p.CacheOf(all); p.TTLs != (config.PoolTTLs{}) {
		out.TTLs = &worker.TTLBounds{
			Min: uint32(own.MinTTL / time.Second), Max: uint32(own.MaxTTL / time.Second),
			NegativeMin: uint32(own.MinNegativeTTL / time.Second), NegativeMax: uint32(own.MaxNegativeTTL / time.Second),
		}
	}
	out.StaleAfter = p.StaleAfter
	for _, suffix := range p.NeverStale {
		out.NeverStale = append(out.NeverStale, wireName(suffix))
	}
	for _, suffix := range p.Suffixes {
		out.Suffixes = append(out.Suffixes, wireName(suffix))
	}
	return out
}

// wireName packs a name that the configuration has found valid.
func wireName(name string) []byte {
	buf := make([]byte, nameBytesMax)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		panic(fmt.Sprintf("appliance: name %q was checked: %v", name, err))
	}
	return buf[:n]
}

// nameBytesMax is RFC 1035 §2.3.4.
const nameBytesMax = 255
