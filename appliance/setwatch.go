package appliance

import (
	"context"
	"log/slog"
	"os"
	"slices"
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
	seen config.Stamp  // at the last look; reading waits until it stays
	told *config.Stamp // the state of the file that was logged as bad; nil: none
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

// look reads the files that have changed and have been left alone since the last look; not while a reload reads: there is another look in a second.
func (w *setWatch) look(ctx context.Context) {
	if !w.reading.TryLock() {
		return
	}
	defer w.reading.Unlock()
	for _, s := range w.list() {
		if now := stampOf(s.File); ctx.Err() == nil && w.due(s, now) {
			w.read(ctx, s)
		}
	}
}

// list returns the sets as they are now.
func (w *setWatch) list() []watchedSet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sets)
}

// stampOf looks at a file; a stamp of nothing: it is not there.
func stampOf(file string) config.Stamp {
	info, err := os.Stat(file)
	if err != nil {
		return config.Stamp{}
	}
	return config.StampOf(info)
}

// due reports whether a file that is like now is to be read.
func (w *setWatch) due(s watchedSet, now config.Stamp) bool {
	due := now == s.seen && now != s.Stamp && (s.told == nil || now != *s.told)
	s.seen = now
	w.note(s)
	return due
}

// note keeps what is known of the file of a set, unless a reload has put another set in its place.
func (w *setWatch) note(s watchedSet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sets {
		if w.sets[i].Ref == s.Ref {
			w.sets[i] = s
		}
	}
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
		s.told = &stamp
		w.note(s)
		w.reloads.Refused.Add(1)
		logProblems(w.log, problems)
		w.log.Error("set not replaced, the one in use stays", "set", s.Name, "file", s.File, "entries", s.Ref.Set().Len())
		return
	}
	was := s.Ref.Set().Len()
	s.Ref.Use(set)
	s.Stamp, s.told = stamp, nil
	w.note(s)
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
