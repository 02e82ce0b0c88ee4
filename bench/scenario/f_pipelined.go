package scenario

import (
	"context"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

const (
	// streamFlows connections with streamWindow queries outstanding in all: 64 on each, what this proxy allows by default.
	streamFlows  = 16
	streamWindow = 1024
)

// pipelined: what does a hit cost over TCP, where many queries share a segment?
func pipelined() *Scenario {
	return &Scenario{
		ID: Pipelined, Title: "hits over pipelined TCP", Chart: true,
		Question: "How many cache hits are answered over TCP, where many queries share a segment?",
		Load:     "TCP, 16 connections with 64 outstanding each, 10,000 names uniform, all cached",
		Bar:      "1.5x dnsdist tuned",
		Programs: speakers, Takes: fullTakes(time.Second),
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			// dnsdist keeps answers for TCP apart from those for UDP.
			if err := t.fillAs(ctx, hitNames, load.Run{Transport: "tcp"}); err != nil {
				return nil, err
			}
			return t.full(ctx, func() load.Run {
				return load.Run{Transport: "tcp", Names: hitNames, Window: streamWindow, Flows: streamFlows}
			})
		},
	}
}
