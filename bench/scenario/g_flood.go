package scenario

import (
	"context"
	"errors"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/load"
	"secure-dns-proxy/bench/server"
)

const (
	// floodFactor times its capacity is sent to a server.
	floodFactor = 2
	// floodTimeout: answers of the flood that come later are not goodput.
	floodTimeout = 500 * time.Millisecond
	// lightRate is the light client's, lightSource its address: not the flood's, as in life.
	lightRate   = 200
	lightSource = "127.0.0.2"
	// floodSource is the first of the floodSources addresses that the flood comes from, in equal parts: a few heavy clients.
	floodSource  = "127.0.0.8"
	floodSources = 4
	// floodFlows sockets send it: one has 1024 queries outstanding at most, and what a server sheds is outstanding until floodTimeout.
	floodFlows = 512
	// floodType: a flood comes from more ports than the generator can send from one by one. It sends several queries from each; their answers
	// are texts of 64 lengths, so that a server cannot send them together, as it could not to as many ports as queries.
	floodType = "TXT"
	// lightDelay is how much later the light client begins than the flood, and earlier it ends.
	lightDelay = 300 * time.Millisecond
)

// flood: what is left of a server that is asked twice as much as it can answer, for itself and for a client that asks little?
func flood() *Scenario {
	return &Scenario{
		ID: Flood, Title: "flood at twice capacity",
		Question: "What is left of a server that is asked twice as much as it can answer, and for a client that asks little?",
		Load: "UDP, hits on 10,000 names, whose answers are of 64 lengths, from 4 addresses and 512 sockets at twice the closed-loop rate of the same turn; " +
			"beside it 200 queries/s from another address",
		Bar:      "goodput 0.95 of capacity; the light client loses under 1 %, its p99 is under 20 ms",
		Programs: everyone, Takes: func(s Settings) time.Duration { return 2*s.Full + time.Second },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(hitNames)); err != nil {
				return nil, err
			}
			if err := t.fillAs(ctx, hitNames, load.Run{Type: floodType}); err != nil {
				return nil, err
			}
			capacity, err := t.measure(ctx, load.Run{
				Names: hitNames, Type: floodType, Window: window, Flows: floodFlows, Duration: t.Full, Source: floodSource, Sources: floodSources,
			})
			if err != nil {
				return nil, err
			}
			s := capacity.sample()
			if err := t.floodAndLight(ctx, s); err != nil {
				return nil, err
			}
			return s, t.addRSS(s)
		},
	}
}

func (t *Turn) floodAndLight(ctx context.Context, s figure.Sample) error {
	rate := floodFactor * s[figure.QPS]
	type outcome struct {
		report *load.Report
		err    error
	}
	light := make(chan outcome, 1)
	// At least a second, so that the light client asks a few hundred times.
	duration := max(t.Full, time.Second+2*lightDelay)
	go func() {
		time.Sleep(lightDelay)
		report, err := t.Tool.Run(ctx, load.Run{
			Target: t.process.Setup.Listen, Names: hitNames, Type: floodType, Rate: lightRate, Flows: 4, Duration: duration - 2*lightDelay,
			Timeout: lossTimeout, Source: lightSource, Urgent: true,
		})
		light <- outcome{report, err}
	}()
	heavy, err := t.measure(ctx, load.Run{
		Names: hitNames, Type: floodType, Rate: rate, Flows: floodFlows, Duration: duration, Timeout: floodTimeout,
		Source: floodSource, Sources: floodSources,
	})
	l := <-light
	if err := errors.Join(err, l.err); err != nil {
		return err
	}
	s[figure.Offered] = float64(heavy.report.Queries) / heavy.report.Seconds / s[figure.QPS]
	s[figure.Goodput] = heavy.report.QPS / s[figure.QPS]
	s[figure.LightLost] = l.report.LostShare()
	s[figure.Light50], s[figure.Light99] = l.report.LatencyUs.P50, l.report.LatencyUs.P99
	return nil
}
