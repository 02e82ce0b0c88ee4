package scenario

import (
	"context"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
)

// IDs of scenarios that criteria refer to.
const (
	Hits       = "a"
	HitsLone   = "a-lone"
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
	Engines    = "m"
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
			return t.hits(ctx, load.Run{Names: hitNames, Window: window})
		},
	}
}

// hitsLone: what is a hit for clients that ask one thing at a time? There is nothing that a server could send them together.
func hitsLone() *Scenario {
	return &Scenario{
		ID: HitsLone, Title: "cache hits, one query outstanding on each socket", Chart: true,
		Question: "What does a cache hit cost where every client asks one thing at a time, so that answers cannot be sent together?",
		Load:     "UDP, 10,000 names uniform, all cached; one query outstanding on each of 1000 sockets",
		Bar:      "as (a): 0.90 of the echo, 1.25x dnsdist tuned",
		Programs: contest, Takes: fullTakes(time.Second / 2),
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			return t.hits(ctx, load.Run{Names: hitNames, Window: loneClients, Flows: loneClients})
		},
	}
}

// hits starts the program with everything cached, and measures it.
func (t *Turn) hits(ctx context.Context, run load.Run) (figure.Sample, error) {
	if err := t.startFull(ctx); err != nil {
		return nil, err
	}
	return t.full(ctx, func() load.Run { return run })
}
