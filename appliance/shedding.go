package appliance

import (
	"fmt"
	"strings"
	"time"

	"secure-dns-proxy/appliance/blocks"
	"secure-dns-proxy/worker"
)

// seeShedding takes in what every worker said last of questions that it does not ask.
func (l *overloadLog) seeShedding(reports []*worker.Shedding, now time.Time) {
	for _, r := range reports {
		state := l.sheds[r.Worker]
		if state == nil {
			state = new(overloadState)
			l.sheds[r.Worker] = state
		}
		if r.Active == state.active || !state.at.IsZero() && now.Sub(state.at) < overloadPause {
			continue
		}
		if r.Active {
			l.sheddingBegins(r)
		} else {
			l.log.Info("upstreams have room for all questions again", "worker", r.Worker, "lasted", now.Sub(state.at).Round(time.Second))
		}
		state.active, state.at = r.Active, now
	}
}

func (l *overloadLog) sheddingBegins(r *worker.Shedding) {
	fields := []any{"worker", r.Worker, "answered", fmt.Sprintf("%.0f/s", r.Answered)}
	if len(r.Heavy) == 0 {
		l.log.Warn("upstreams have no room for all questions, and no few clients or zones are to blame: those fail first that have proven nothing by a cookie or TCP",
			append(fields, "advice", "see sdpctl upstreams: are they slow, or are max_outstanding or caps too low?")...)
		return
	}
	var heaviest []string
	for _, h := range r.Heavy {
		who := "zone " + blocks.Text(string(h.Zone))
		switch {
		case h.Zone == nil:
			who = "client " + sourceText(h.Source.Prefix())
		case len(h.Zone) == 0:
			who = "a zone"
		}
		heaviest = append(heaviest, fmt.Sprintf("%s, %.1f%% not asked", who, 100*h.Share))
	}
	l.log.Warn("upstreams have no room for all questions; those who ask most have to be content with their share",
		append(fields, "heaviest", strings.Join(heaviest, "; "), "advice", "a zone with random names is under attack: block it with [[blocks.rule]] or sdpctl blocks add")...)
}
