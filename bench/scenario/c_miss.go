package scenario

import (
	"context"
	"fmt"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// missUDP: what does forwarding cost, over plain UDP? The floor is two passes of the kernel's UDP path, twice the echo.
func missUDP() *Scenario {
	s := miss(MissUDP, "misses over Do53", server.UDP, window)
	s.Bar = "1.15x less CPU than dnsdist tuned, at most 2.3x the echo's"
	return s
}

// missTCP: is pipelined TCP as cheap as pipelined TLS?
func missTCP() *Scenario {
	s := miss(MissTCP, "misses over pipelined TCP", server.TCP, window)
	s.Bar = "no dearer than over DoT"
	return s
}

// miss is every miss scenario: each name is asked once. The cache is on and takes all of them, as it does in operation.
func miss(id, title string, scheme server.Scheme, outstanding int) *Scenario {
	return &Scenario{
		ID: id, Title: title, Chart: true,
		Question: fmt.Sprintf("What does a query cost that is forwarded over %s?", scheme),
		Load:     fmt.Sprintf("UDP, every name new, %d outstanding; the backend over %s answers at once", outstanding, scheme),
		Programs: everyone, Takes: fullTakes(missWarm),
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, scheme, server.Cache{Entries: missCache}); err != nil {
				return nil, err
			}
			next := func() load.Run {
				return load.Run{First: t.newNames(), Names: namesPerRun, Once: true, Window: outstanding}
			}
			warm := next()
			warm.Duration = min(missWarm, t.Full)
			if _, err := t.measure(ctx, warm); err != nil {
				return nil, err
			}
			return t.full(ctx, next)
		},
	}
}
