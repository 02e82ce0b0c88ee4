package appliance

import (
	"context"
	"log/slog"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/policy"
)

// ruleLog writes what rules with the action log have seen. Their rates bound how much that is; a worker keeps some hundred lines at most.
type ruleLog struct{ log *slog.Logger }

// run looks at the group now and then until ctx ends.
func (l ruleLog) run(ctx context.Context, group *worker.Group) {
	ticker := time.NewTicker(ruleLogPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if lost := group.Journal(l.write); lost > 0 {
				l.log.Warn("rules log more than can be written", "lines_lost", lost)
			}
		}
	}
}

func (l ruleLog) write(id policy.RuleID, line *policy.Line) {
	transport := "udp"
	if line.TCP {
		transport = "tcp"
	}
	l.log.Info("rule", "chain", id.Chain.String(), "rule", id.Name, "name", line.NameText(), "type", dns.Type(line.Type).String(),
		"client", line.Source, "transport", transport)
}
