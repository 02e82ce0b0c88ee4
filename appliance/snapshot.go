package appliance

import (
	"log/slog"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/balance"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/stream"
)

// workerConfig is the part of a configuration that is fixed for the life of the process.
func workerConfig(c *config.Checked, log *slog.Logger) worker.Config {
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
func snapshot(c *config.Checked, upstreams []*transport.Endpoint) (*worker.Snapshot, error) {
	policy, err := balance.ParsePolicy(c.Policy)
	if err != nil {
		return nil, err
	}
	s := &worker.Snapshot{
		Upstreams:      upstreams,
		Policy:         policy,
		TTLMin:         uint32(c.Cache.MinTTL / time.Second),
		TTLMax:         uint32(c.Cache.MaxTTL / time.Second),
		NegativeTTLMax: uint32(c.Cache.MaxNegativeTTL / time.Second),
		QueryTimeout:   c.Timeouts.Query,
		AttemptTimeout: c.Timeouts.Upstream,
	}
	if c.Cache.Enabled {
		s.CacheBytes = c.Cache.Bytes
	}
	return s, nil
}
