package session

import (
	"context"
	"fmt"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/report"
)

const (
	// A turn counts if server and generator were not further apart, before it and after it, than farFactor times the least distance of the session.
	farFactor = 2
	// scoutTime is how long the least distance is looked for at the start, and awaitMost how long a turn waits for the CPUs to be near again; a host moves
	// them every few seconds to minutes.
	scoutTime, awaitMost, lookEvery = 10 * time.Second, 20 * time.Second, 250 * time.Millisecond
	// turnTries bounds how often a turn is repeated because the CPUs were moved meanwhile.
	turnTries = 3
	// patienceShare of the time that all turns take is what waiting and repeating may take together. Used up: turns are what they are, and the reader is told.
	patienceShare = 0.5
)

// placement knows how far server and generator are from each other. On a machine of its own that never changes; a host moves the CPUs of a virtual one, and
// a server's rate on far CPUs is a fifth less than on near ones, whichever server that is: more than what servers are to be told apart by.
type placement struct {
	look     func() (time.Duration, error) // nil: never mind
	nearest  time.Duration
	patience time.Duration // what is left of it
}

// scout finds the least distance.
func (p *placement) scout(ctx context.Context) error {
	for since := time.Now(); p.look != nil && ctx.Err() == nil && time.Since(since) < scoutTime; pause(ctx, lookEvery) {
		if _, err := p.distance(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// distance looks once.
func (p *placement) distance() (time.Duration, error) {
	d, err := p.look()
	if err == nil && (p.nearest == 0 || d < p.nearest) {
		p.nearest = d
	}
	return d, err
}

func (p *placement) isFar(d time.Duration) bool { return d > farFactor*p.nearest }

// await waits until the CPUs are near, but not for ever, and returns how far they are.
func (p *placement) await(ctx context.Context) (time.Duration, error) {
	since := time.Now()
	most := min(awaitMost, p.patience)
	defer func() { p.patience -= time.Since(since) }()
	for ; ; pause(ctx, lookEvery) {
		d, err := p.distance()
		if err != nil || !p.isFar(d) || time.Since(since) >= most || ctx.Err() != nil {
			return d, err
		}
	}
}

// turn runs a turn while the CPUs are near, as often as it takes and may take.
func (p *placement) turn(ctx context.Context, run func() (figure.Sample, error)) (figure.Sample, error) {
	if p.look == nil {
		return run()
	}
	for try := 1; ; try++ {
		before, err := p.await(ctx)
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		sample, err := run()
		if err != nil {
			return sample, err
		}
		after, err := p.distance()
		if err != nil {
			return nil, err
		}
		if d := max(before, after); !p.isFar(d) || try == turnTries || p.patience <= 0 || ctx.Err() != nil {
			sample[figure.Distance] = float64(d.Nanoseconds())
			return sample, nil
		}
		p.patience -= time.Since(begun)
	}
}

// remark tells the reader of the figures how the CPUs lay.
func (p *placement) remark(r *report.Results) {
	turns, far := 0, 0
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			for _, sample := range row.Turns {
				if d, known := sample[figure.Distance]; known {
					if turns++; p.isFar(time.Duration(d)) {
						far++
					}
				}
			}
		}
	}
	if far > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d of %d turns were measured while the host had server and generator on CPUs further apart than the nearest (%v there and back): rates are up to a fifth lower then.",
			far, turns, p.nearest))
	}
}

// pause sleeps, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
