package scenario

import (
	"context"
	"fmt"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

// workers: does a second worker double the rate? One scenario per number, 1, 2, 4... up to half of the CPUs: the other half is
// the generator's. There is none on a machine with fewer than four.
func workers(l Layout) []*Scenario {
	var all []*Scenario
	for n := 1; len(l.All) >= 4 && n <= len(l.All)/2; n *= 2 {
		all = append(all, &Scenario{
			ID: fmt.Sprintf("%s-%d", Workers, n), Title: fmt.Sprintf("cache hits, workers: %d", n), Chart: true,
			Question: "Do workers share anything that keeps them from doubling the rate?",
			Load:     fmt.Sprintf("as (a), %d CPUs for the server and as many for the generator; 2048 outstanding per CPU", n),
			Bar:      "none; the rate per worker should stay that of one",
			Programs: contest, Takes: fullTakes(0),
			Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
				tool := t.Tool
				defer func() { t.Tool = tool }()
				t.Tool.CPUs = l.All[len(l.All)-n:]
				if err := t.startWorkers(ctx, server.UDP, roomFor(hitNames*n), l.All[:n]); err != nil {
					return nil, err
				}
				if err := t.fill(ctx, hitNames); err != nil {
					return nil, err
				}
				return t.full(ctx, func() load.Run { return load.Run{Names: hitNames, Window: n * window} })
			},
		})
	}
	return all
}
