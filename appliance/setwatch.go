package appliance

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/appliance/telemetry"
)

// setWatch reads the files of sets again when they change. A file with an error changes nothing. What is read is exchanged in one step, and no
// worker waits for it.
type setWatch struct {
	log *slog.Logger

	mu   sync.Mutex
	sets []watchedSet

	reloads telemetry.Reloads
}

// watchedSet is a set with what is known of its file.
type watchedSet struct {
	config.Set
	seen config.Stamp // at the last look; reading waits until it stays
	told config.Stamp // a state of the file that was logged as bad
}

// follow replaces the sets that are watched.
func (w *setWatch) follow(sets []config.Set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sets = nil
	for _, s := range sets {
		w.sets = append(w.sets, watchedSet{Set: s, seen: s.Stamp})
	}
}

// inUse returns the sets that are watched, with the state of their files that is in use.
func (w *setWatch) inUse() []config.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []config.Set
	for i := range w.sets {
		list = append(list, w.sets[i].Set)
	}
	return list
}

// run looks at the files until ctx ends.
func (w *setWatch) run(ctx context.Context) {
	ticker := time.NewTicker(setPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

// look reads the files that have changed and have been left alone since the last look.
func (w *setWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sets {
		s := &w.sets[i]
		info, err := os.Stat(s.File)
		var now config.Stamp
		if err == nil {
			now = config.StampOf(info)
		}
		still := now == s.seen
		s.seen = now
		if now == s.Stamp || now == s.told || !still {
			continue
		}
		w.read(s, now)
	}
}

// read puts what a file holds now in the place of the set in use, if it is good.
func (w *setWatch) read(s *watchedSet, now config.Stamp) {
	began := time.Now()
	set, stamp, problems := config.ReadSet(s.File, s.Kind, new(pace.Pace))
	if set == nil {
		s.told = now
		w.reloads.Refused.Add(1)
		logProblems(w.log, problems)
		w.log.Error("set not replaced, the one in use stays", "set", s.Name, "file", s.File, "entries", s.Ref.Set().Len())
		return
	}
	was := s.Ref.Set().Len()
	s.Ref.Use(set)
	s.Stamp, s.told = stamp, config.Stamp{}
	w.reloads.Applied.Add(1)
	w.log.Info("set replaced", "set", s.Name, "file", s.File, "entries", set.Len(), "before", was, "took", time.Since(began).Round(time.Millisecond))
}

// sizes tells how many entries each set has.
func (w *setWatch) sizes() []telemetry.SetSize {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []telemetry.SetSize
	for i := range w.sets {
		list = append(list, telemetry.SetSize{Name: w.sets[i].Name, Entries: w.sets[i].Ref.Set().Len()})
	}
	return list
}
