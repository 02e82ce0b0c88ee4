package scenario

import (
	"context"
	"slices"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/server"
)

// Scenario is one question.
type Scenario struct {
	ID       string
	Title    string
	Question string
	Load     string   // in words
	Bar      string   // the criterion in words; the numbers are in package report
	Programs []string // that it is about
	TurnsMax int      // 0: as many as the settings say
	// Chart tells that CPU and rate per program are the point, and worth a panel of the plot.
	Chart bool
	// Takes is the time of one turn besides start and stop, for the estimate.
	Takes func(Settings) time.Duration
	Run   func(context.Context, *Turn) (figure.Sample, error)
}

// Turns of this scenario under the given settings.
func (s *Scenario) Turns(settings Settings) int {
	if s.TurnsMax > 0 {
		return min(s.TurnsMax, settings.Turns)
	}
	return settings.Turns
}

// Has tells whether a program takes part.
func (s *Scenario) Has(id string, settings Settings) bool {
	if settings.Quick && s.ID != Hits && !slices.Contains(contest, id) {
		return false
	}
	return slices.Contains(s.Programs, id)
}

// All scenarios, in order. Layout decides whether workers can be varied.
func All(l Layout) []*Scenario {
	all := []*Scenario{
		hits(), hitsLone(), zipf(), zipfCached(), missUDP(), missTCP(), missTLS(256), missTLS(2048), missQUIC(), missHTTPS(), pipelined(), flood(),
		memory(), startup(), alone(), pauses(), engines(),
	}
	return append(all, workers(l)...)
}

// Programs of several scenarios.
var (
	everyone = server.All()
	speakers = without(server.Echo)
	ours     = []string{server.URing, server.Mmsg}
	// contest is ours, the one to beat, and the ceiling: where all would take too long.
	contest = append(slices.Clone(ours), server.DnsdistTuned, server.Echo)
)

func without(ids ...string) []string {
	return slices.DeleteFunc(server.All(), func(id string) bool { return slices.Contains(ids, id) })
}

// fullTakes is what Turn.full takes, and perhaps some more.
func fullTakes(more time.Duration) func(Settings) time.Duration {
	return func(s Settings) time.Duration { return s.Full + s.Half + more }
}

// roomFor is a cache for so many names, with room to spare.
func roomFor(names int) server.Cache { return server.Cache{Entries: int(float64(names) * cacheRoom)} }
