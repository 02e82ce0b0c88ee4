package appliance

import (
	"context"
	"log/slog"
	"time"

	"secure-dns-proxy/worker"
)

// limitLog writes a line when a limit begins to hold a source back, and one when that is over.
type limitLog struct {
	log     *slog.Logger
	active  map[worker.LimitedSource]time.Time // since when
	recent  []time.Time                        // of the last lines about a beginning
	unnamed int                                // beginnings without a line since the last line
}

func newLimitLog(log *slog.Logger) *limitLog {
	return &limitLog{log: log, active: map[worker.LimitedSource]time.Time{}}
}

// run looks at the group now and then until ctx ends.
func (l *limitLog) run(ctx context.Context, group *worker.Group) {
	ticker := time.NewTicker(limitPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			l.see(group.Limited(), now)
		}
	}
}

// see takes in who is limited now. In a time of limitLinesTime there are limitLines lines about beginnings at most; who has had no line then has
// none at the end either.
func (l *limitLog) see(now []worker.LimitedSource, at time.Time) {
	still := map[worker.LimitedSource]bool{}
	for _, s := range now {
		still[s] = true
		if _, known := l.active[s]; !known {
			l.begins(s, at)
		}
	}
	for s, since := range l.active {
		if still[s] {
			continue
		}
		delete(l.active, s)
		if !since.IsZero() {
			l.log.Info("no longer over its limit", "source", sourceText(s.Prefix), "limit", s.Limit, "lasted", at.Sub(since).Round(time.Second))
		}
	}
}

func (l *limitLog) begins(s worker.LimitedSource, at time.Time) {
	for len(l.recent) > 0 && at.Sub(l.recent[0]) >= limitLinesTime {
		l.recent = l.recent[1:]
	}
	if len(l.recent) == limitLines {
		l.active[s] = time.Time{}
		l.unnamed++
		return
	}
	l.active[s] = at
	l.recent = append(l.recent, at)
	what, advice := "over its limit: queries are held back", "exempt it with limits.exempt, or raise the limit, if this is wanted"
	if s.Replies {
		what, advice = "over its limit: replies are held back", "exempt it with limits.exempt, or raise limits.rrl, if this is wanted; it may be a victim in whose name others ask"
	}
	fields := []any{"source", sourceText(s.Prefix), "limit", s.Limit, "advice", advice}
	if l.unnamed > 0 {
		fields = append(fields, "others_since_the_last_line", l.unnamed)
		l.unnamed = 0
	}
	l.log.Warn(what, fields...)
}
