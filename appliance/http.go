package appliance

import (
	"log/slog"
	"sync"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/transport"
)

var http3Modes = map[string]transport.HTTP3{"off": transport.HTTP3Off, "probe": transport.HTTP3Probe, "only": transport.HTTP3Only}

// setHTTP fills in what only HTTP has.
func setHTTP(e *transport.Endpoint, u *config.Upstream) error {
	resource, err := transport.ParseResource(u.Path)
	if err != nil {
		return err
	}
	e.Path, e.Get = u.Path, u.Method == "get" || u.Method == "auto" && resource.Template
	e.HTTP3 = http3Modes[u.HTTP3]
	if u.Scheme == "h3" {
		e.HTTP3 = transport.HTTP3Only
	}
	return nil
}

// notices returns where the lanes of an endpoint tell of changes: one line for all lanes that tell the same one after the other.
func notices(log *slog.Logger, name string) func(string, error) {
	var (
		mu   sync.Mutex
		last string
	)
	return func(event string, reason error) {
		mu.Lock()
		repeated := event == last
		last = event
		mu.Unlock()
		switch {
		case repeated:
		case reason == nil:
			log.Info("upstream: "+event, "upstream", name)
		default:
			log.Warn("upstream: "+event, "upstream", name, "reason", reason)
		}
	}
}
