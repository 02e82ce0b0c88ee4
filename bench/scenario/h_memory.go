package scenario

import (
	"context"
	"fmt"
	"time"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/server"
)

// memory: what does a cached answer cost in memory, all overheads counted?
func memory() *Scenario {
	return &Scenario{
		ID: Memory, Title: "memory per cached answer",
		Question: "What does a cached answer cost in memory, all overheads counted?",
		Load:     fmt.Sprintf("UDP, 1M names once each; answers of %d bytes on the wire", EntryBytes-64-30),
		Bar:      fmt.Sprintf("wire length + key + 64 B = %d B, by the larger of the program's own account and the growth of RSS", EntryBytes),
		Programs: speakers, TurnsMax: 2,
		Takes: func(s Settings) time.Duration { return time.Duration(s.Entries)*20*time.Microsecond + 2*time.Second },
		Run: func(ctx context.Context, t *Turn) (figure.Sample, error) {
			if err := t.start(ctx, server.UDP, roomFor(t.Entries)); err != nil {
				return nil, err
			}
			before, err := proc.ReadRSS(t.process.PID)
			if err != nil {
				return nil, err
			}
			if err := t.fill(ctx, t.Entries); err != nil {
				return nil, err
			}
			after, err := proc.ReadRSS(t.process.PID)
			if err != nil {
				return nil, err
			}
			s := figure.Sample{
				figure.RSS:      float64(after) / (1 << 20),
				figure.EntryRSS: float64(int64(after)-int64(before)) / float64(t.Entries),
			}
			if !t.Program.Metrics {
				return s, nil
			}
			m, err := readMetrics(ctx, t.process.Setup.Control)
			if err != nil {
				return nil, err
			}
			s[figure.Entries] = m["sdp_cache_entries"]
			s[figure.EntryBytes] = m["sdp_cache_bytes"] / max(1, m["sdp_cache_entries"])
			return s, nil
		},
	}
}
