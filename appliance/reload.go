package appliance

import (
	"context"
	"log/slog"

	"secure-dns-proxy/appliance/config"
)

// reload reads the configuration file again and puts into force what can change while running. Whatever goes wrong, what is in force
// stays.
func (s *service) reload() {
	if s.checked.File == "" {
		s.log.Info("nothing to reload: started without a configuration file")
		return
	}
	s.tell(s.notify.reloading())
	status := "reloaded"
	if s.adopt() {
		s.reloads.Applied.Add(1)
	} else {
		s.reloads.Refused.Add(1)
		s.log.Error("reload refused, the running configuration stays in force", "config", s.checked.File)
		status = "reload refused, see the log"
	}
	s.tell(s.notify.ready(status))
}

// adopt reports whether the file is in force now.
func (s *service) adopt() bool {
	next, problems := config.Reload(s.checked.File, s.sets.inUse())
	logProblems(s.log, problems)
	if next == nil {
		return false
	}
	merged, held := next.Adopt(s.checked)
	planned, err := s.roster.plan(merged)
	if err != nil {
		s.log.Error("reload", "error", err)
		return false
	}
	commitZones, err := s.zones.Plan(&merged.RPZ)
	if err != nil {
		s.log.Error("reload", "error", err)
		return false
	}
	s.caps.apply(merged, planned)
	store, err := s.remote.plan(&merged.Cache.Remote)
	if err != nil {
		s.caps.apply(s.checked, s.roster.entries)
		s.log.Error("reload", "error", err)
		return false
	}
	eye, err := s.inspector.plan(&merged.Inspect)
	if err != nil {
		s.remote.discard(store)
		s.caps.apply(s.checked, s.roster.entries)
		s.log.Error("reload", "error", err)
		return false
	}
	snap := snapshot(merged, planned)
	snap.Tier, snap.Inspection = tierOf(store, &merged.Cache.Remote), eye.snapshot()
	if err = s.group.Reload(snap); err != nil {
		s.remote.discard(store)
		s.inspector.discard(eye)
		s.caps.apply(s.checked, s.roster.entries)
		s.log.Error("reload", "error", err)
		return false
	}
	if err := s.allow(merged); err != nil {
		s.log.Error("metrics.allow stays as it was", "error", err) // the check has seen all that can be wrong with it
	}
	logProblems(s.log, held)
	commitZones()
	s.roster.adopt(planned, merged)
	s.blocks.Adopt(merged.Blocks)
	s.remote.adopt(store, &merged.Cache.Remote)
	s.inspector.adopt(eye)
	s.watch.follow(planned)
	s.loops.Follow(plainOf(planned), merged.LoopInterval)
	s.sets.follow(merged.Sets)
	s.papers.follow(endpointsOf(planned), s.roster.openKeyLogs(), merged.TLS.ExpiryWarning)
	s.keeper.adopt(&merged.Cache)
	s.level.Set(merged.Logging.Level)
	s.checked = merged
	s.log.Info("reloaded", "config", merged.File, "upstreams", len(snap.Upstreams), "pools", poolsText(merged), "cache_bytes", snap.CacheBytes)
	return true
}

// logProblems writes each problem as a record of its own.
func logProblems(log *slog.Logger, problems config.Problems) {
	for _, p := range problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		fields := []any{"file", p.File}
		if p.Line > 0 {
			fields = append(fields, "line", p.Line)
		}
		if p.Key != "" {
			fields = append(fields, "key", p.Key)
		}
		log.Log(context.Background(), level, "configuration", append(fields, "problem", p.Text)...)
	}
}
