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
	"secure-dns-proxy/worker/policy"
)

// setWatch reads the files of sets again when they change. A file with an error changes nothing. What is read is exchanged in one step, and no
// worker waits for it.
type setWatch struct {
	log *slog.Logger

	reading sync.Mutex // held while files are read, so that a reload and the watch do not read the same ones at a time

	mu   sync.Mutex // for moments: scrapes take it
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

// whileReading calls read, which may read files of sets, with the sets that are in use.
func (w *setWatch) whileReading(read func(inUse []config.Set)) {
	w.reading.Lock()
	defer w.reading.Unlock()
	read(w.inUse())
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
			w.look(ctx)
		}
	}
}

// look reads the files that have changed and have been left alone since the last look.
func (w *setWatch) look(ctx context.Context) {
	w.reading.Lock()
	defer w.reading.Unlock()
	for _, s := range w.changed() {
		w.read(ctx, s)
	}
}

// changed returns the sets whose files are to be read.
func (w *setWatch) changed() []watchedSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []watchedSet
	for i := range w.sets {
		s := &w.sets[i]
		var now config.Stamp
		if info, err := os.Stat(s.File); err == nil {
			now = config.StampOf(info)
		}
		still := now == s.seen
		if s.seen = now; now != s.Stamp && now != s.told && still {
			list = append(list, *s)
		}
	}
	return list
}

// read puts what a file holds now in the place of the set in use, if it is good. s is a copy: nobody waits for mu meanwhile.
func (w *setWatch) read(ctx context.Context, s watchedSet) {
	began := time.Now()
	var set *policy.Set
	var stamp config.Stamp
	var problems config.Problems
	gently := pace.Until(ctx)
	gently.Aside(func() { set, stamp, problems = config.ReadSet(s.File, s.Kind, gently) })
	if ctx.Err() != nil {
		return // the process ends
	}
	if set == nil {
		w.note(&s, s.Stamp, s.seen)
		w.reloads.Refused.Add(1)
		logProblems(w.log, problems)
		w.log.Error("set not replaced, the one in use stays", "set", s.Name, "file", s.File, "entries", s.Ref.Set().Len())
		return
	}
	was := s.Ref.Set().Len()
	s.Ref.Use(set)
	w.note(&s, stamp, config.Stamp{})
	w.reloads.Applied.Add(1)
	w.log.Info("set replaced", "set", s.Name, "file", s.File, "entries", set.Len(), "before", was, "took", time.Since(began).Round(time.Millisecond))
}

// note keeps which state of its file a set has, and which was bad, unless a reload has put another set in its place.
func (w *setWatch) note(s *watchedSet, has, told config.Stamp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sets {
		if now := &w.sets[i]; now.Ref == s.Ref {
			now.Stamp, now.told = has, told
		}
	}
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
