package appliance

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/trust"
)

// certificates logs what operators have to know about certificates before it hurts: the end of one, once for each; client certificates
// that were renewed or cannot be; where Encrypted Client Hello stands; and a key log that lost lines.
type certificates struct {
	log *slog.Logger

	mu      sync.Mutex
	warning time.Duration // before the end; 0 = no warning
	seen    map[*transport.Endpoint]*certificateMarks
	keyLogs []*trust.KeyLog
	broken  map[*trust.KeyLog]bool
}

// certificateMarks is what was said about one endpoint.
type certificateMarks struct {
	server, client   [sha256.Size]byte // fingerprints of the certificates whose end was announced
	own              [sha256.Size]byte // fingerprint of the client certificate in use
	problem, echText string
}

func newCertificates(log *slog.Logger) *certificates {
	return &certificates{log: log, seen: map[*transport.Endpoint]*certificateMarks{}}
}

// follow replaces what is watched; endpoints that stay keep what was said of them.
func (c *certificates) follow(endpoints []*transport.Endpoint, keyLogs []*trust.KeyLog, warning time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[*transport.Endpoint]*certificateMarks, len(endpoints))
	for _, e := range endpoints {
		switch marks := c.seen[e]; {
		case e.Trust == nil: // no TLS
		case marks != nil:
			next[e] = marks
		default:
			next[e] = &certificateMarks{}
			if own := e.Trust.Identity(); own != nil {
				next[e].own = own.Leaf().Fingerprint
			}
		}
	}
	c.seen, c.keyLogs, c.broken, c.warning = next, append([]*trust.KeyLog(nil), keyLogs...), map[*trust.KeyLog]bool{}, warning
}

// run looks until ctx ends.
func (c *certificates) run(ctx context.Context) {
	ticker := time.NewTicker(certificatePoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			c.look(now)
		}
	}
}

func (c *certificates) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e, marks := range c.seen {
		c.ending(now, "certificate of the upstream", e, e.Trust.Leaf(), &marks.server)
		if own := e.Trust.Identity(); own != nil {
			c.identity(e, own, marks)
			c.ending(now, "client certificate", e, own.Leaf(), &marks.client)
		}
		if ech := e.Trust.ECH(); ech != nil {
			if state := ech.State(); state != marks.echText {
				marks.echText = state
				c.log.Info("encrypted client hello", "upstream", e.Name, "state", state, "required", ech.Required())
			}
		}
	}
	for _, log := range c.keyLogs {
		if problem := log.Problem(); problem != nil && !c.broken[log] {
			c.broken[log] = true
			c.log.Error("the tls key log lacks lines", "file", log.Path, "error", problem)
		}
	}
}

// ending says once for each certificate that its end is near, or past.
func (c *certificates) ending(now time.Time, what string, e *transport.Endpoint, leaf *trust.Leaf, said *[sha256.Size]byte) {
	if leaf == nil || c.warning == 0 || *said == leaf.Fingerprint || now.Before(leaf.WarnFrom(c.warning)) {
		return
	}
	*said = leaf.Fingerprint
	text := what + " expires soon"
	if now.After(leaf.NotAfter) {
		text = what + " has expired"
	}
	c.log.Warn(text, "upstream", e.Name, "subject", leaf.Subject, "not_after", leaf.NotAfter.UTC(), "left", leaf.NotAfter.Sub(now).Round(time.Minute))
}

// identity says when the client certificate is another, or when its files cannot be used.
func (c *certificates) identity(e *transport.Endpoint, own *trust.Identity, marks *certificateMarks) {
	problem := ""
	if err := own.Problem(); err != nil {
		problem = err.Error()
	}
	if problem != marks.problem {
		marks.problem = problem
		if problem != "" {
			c.log.Error("client certificate cannot be read again, the one before stays in use", "upstream", e.Name, "error", problem)
		} else {
			c.log.Info("client certificate can be read again", "upstream", e.Name)
		}
	}
	if leaf := own.Leaf(); leaf.Fingerprint != marks.own {
		marks.own = leaf.Fingerprint
		c.log.Info("client certificate renewed", "upstream", e.Name, "subject", leaf.Subject, "not_after", leaf.NotAfter.UTC())
	}
}
