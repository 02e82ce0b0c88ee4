package scenario

import (
	"context"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// IDs of scenarios that criteria refer to.
const (
	Hits       = "a"
	Zipf       = "b"
	ZipfCached = "b-cached"
	MissUDP    = "c"
	MissTCP    = "c-tcp"
	MissTLS256 = "d-256"
	MissTLS    = "d-2048"
	MissQUIC   = "e-doq"
	MissHTTPS  = "e-doh"
	Pipelined  = "f"
	Flood      = "g"
	Memory     = "h"
	Startup    = "i"
	Workers    = "j"
	Alone      = "k"
	Pauses     = "l"
)

// hits: how close does a cache hit come to what the kernel's sockets allow?
func hits() *Scenario {
	return &Scenario{
		ID: Hits, Title: "cache hits", Chart: true,
		Question: "How close does a cache hit come to what the kernel's sockets allow?",
		Load:     "UDP, 10,000 names uniform, all cached; 2048 outstanding from 128 sockets",
		Bar:      "0.90 of the echo, 1.25x dnsdist tuned, 1.7x as shipped, 0.35 us of user time",
		Programs: everyone, Takes: fullTakes(time.Second / 2),
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			if err := t.fill(ctx, hitNames); err != nil {
				return nil, err
			}
			return t.full(ctx, func() load.Run { return load.Run{Names: hitNames, Window: window} })
		},
	}
}
