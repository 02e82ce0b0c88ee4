package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"secure-dns-proxy/worker"
)

// overloadLog writes a line when more begins to arrive at a worker than it can answer, and one when that is over.
type overloadLog struct {
	log    *slog.Logger
	states map[int]*overloadState // by worker
	sheds  map[int]*overloadState // by worker: questions that are not asked
	reason string                 // the last one logged for refusing outside the kernel
}

// overloadState is what was logged of a worker.
type overloadState struct {
	active bool
	at     time.Time
}

func newOverloadLog(log *slog.Logger) *overloadLog {
	return &overloadLog{log: log, states: map[int]*overloadState{}, sheds: map[int]*overloadState{}}
}

// run looks at the group now and then until ctx ends.
func (l *overloadLog) run(ctx context.Context, group *worker.Group) {
	ticker := time.NewTicker(overloadPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			l.see(group.Overloads(), now)
			l.seeShedding(group.Sheddings(), now)
		}
	}
}

// see takes in the last report of every worker. A state that did not last until the next line may be written is not logged.
func (l *overloadLog) see(reports []*worker.Overload, now time.Time) {
	for _, o := range reports {
		state := l.states[o.Worker]
		if state == nil {
			state = new(overloadState)
			l.states[o.Worker] = state
		}
		if o.Active == state.active || !state.at.IsZero() && now.Sub(state.at) < overloadPause {
			continue
		}
		if o.Active {
			l.begins(o)
		} else {
			l.log.Info("overload is over", "worker", o.Worker, "lasted", now.Sub(state.at).Round(time.Second))
		}
		state.active, state.at = o.Active, now
	}
}

func (l *overloadLog) begins(o *worker.Overload) {
	fields := []any{"worker", o.Worker, "offered", fmt.Sprintf("%.0f/s", o.Offered), "capacity", fmt.Sprintf("%.0f/s", o.Capacity)}
	if len(o.Refused) == 0 {
		l.log.Warn("overload: more queries arrive than can be answered, from no few sources that could be refused it (forged addresses?); queries are lost at random",
			append(fields, "advice", "filter in front of this machine, or add CPUs and workers")...)
		return
	}
	var heaviest []string
	for _, r := range o.Refused {
		heaviest = append(heaviest, fmt.Sprintf("%v %.0f/s, %.1f%% refused", sourceText(r.Prefix), r.Offered, 100*r.Share))
	}
	l.log.Warn("overload: more queries arrive than can be answered; the heaviest sources are refused the excess",
		append(fields, "heaviest", strings.Join(heaviest, "; "), "in_kernel", o.Kernel,
			"advice", "exempt a source with admission.exempt, or add workers if this load is wanted")...)
	if o.Reason != "" && o.Reason != l.reason {
		l.reason = o.Reason
		l.log.Warn("the kernel does not let us refuse sources, the workers do it at half of the cost of an answer", "reason", o.Reason)
	}
}

// sourceText is an address for a prefix of one, else the prefix.
func sourceText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
