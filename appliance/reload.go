package appliance

import (
	"context"
	"log/slog"

	"secure-dns-proxy/appliance/config"
)

// draft is what a reload has read: a configuration that is not in force yet.
type draft struct {
	next        *config.Checked // nil: it cannot be used
	problems    config.Problems // of the file
	held        config.Problems // what needs a restart
	commitZones func()
	zonesFault  error
}

// reload reads the configuration file again and puts into force what can change while running. Whatever goes wrong, what is in force
// stays.
func (s *service) reload() {
	if read := s.read(); read != nil {
		s.settle(<-read)
	}
}

// read begins to read the configuration file, the sets and the zones that it names, beside everything: large ones take seconds. The draft is for settle; nil: there
// is no file. There must be no other draft until settle has had this one.
func (s *service) read() <-chan *draft {
	if s.checked.File == "" {
		s.log.Info("nothing to reload: started without a configuration file")
		return nil
	}
	s.tell(s.notify.reloading())
	done, now := make(chan *draft, 1), s.checked
	go func() {
		d := new(draft)
		s.sets.whileReading(func(inUse []config.Set) { d.next, d.problems = config.Reload(s.ctx, now.File, inUse) })
		if s.ctx.Err() != nil {
			return // nobody waits for it
		}
		if d.next != nil {
			d.next, d.held = d.next.Adopt(now)
			d.commitZones, d.zonesFault = s.zones.Plan(&d.next.RPZ)
		}
		done <- d
	}()
	return done
}

// settle puts what was read into force.
func (s *service) settle(d *draft) {
	status := "reloaded"
	if s.adopt(d) {
		s.reloads.Applied.Add(1)
	} else {
		s.reloads.Refused.Add(1)
		s.log.Error("reload refused, the running configuration stays in force", "config", s.checked.File)
		status = "reload refused, see the log"
	}
	s.tell(s.notify.ready(status))
}

// adopt reports whether the file is in force now.
func (s *service) adopt(d *draft) bool {
	logProblems(s.log, d.problems)
	merged := d.next
	if merged == nil {
		return false
	}
	if d.zonesFault != nil {
		s.log.Error("reload", "error", d.zonesFault)
		return false
	}
	planned, err := s.roster.plan(merged)
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
	logProblems(s.log, d.held)
	d.commitZones()
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
