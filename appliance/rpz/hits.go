package rpz

import (
	"log/slog"
	"sync"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/rpz"
)

// hitLog writes a line for each hit of a zone that is to be logged, as many a second as are allowed, and a line for how many were not.
type hitLog struct {
	log *slog.Logger

	mu      sync.Mutex
	rate    int
	left    int       // of this second
	second  time.Time // when it began
	omitted uint64
	lost    uint64 // as the workers have told it last
}

func newHitLog(log *slog.Logger) *hitLog { return &hitLog{log: log} }

func (h *hitLog) setRate(rate int) {
	h.mu.Lock()
	h.rate = rate
	h.mu.Unlock()
}

// collect logs what there is since the last call.
func (h *hitLog) collect(now time.Time, group Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.second) >= time.Second {
		if h.omitted != 0 {
			h.log.Warn("response policy: hits not logged, there are more than rpz.log_rate", "hits", h.omitted)
		}
		h.second, h.left, h.omitted = now, h.rate, 0
	}
	lost := group.ZoneHits(h.write)
	h.omitted += lost - h.lost
	h.lost = lost
}

func (h *hitLog) write(hit *rpz.Hit) {
	if h.left == 0 {
		h.omitted++
		return
	}
	h.left--
	name, _, err := dns.UnpackDomainName(hit.Name(), 0)
	if err != nil {
		name = "?"
	}
	action := hit.Action.String()
	if hit.Action == rpz.None {
		action = "disabled"
	}
	h.log.Info("response policy", "zone", hit.Policy.Name, "trigger", hit.Trigger.String(), "action", action, "name", name, "type", dns.Type(hit.Type).String(), "client", hit.Client)
}
