package rpz

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/worker/rpz"
)

// source is where one zone comes from, with what is in force of it.
type source struct {
	log      *slog.Logger
	changed  func()        // another zone is in force
	refresh  chan struct{} // a NOTIFY has come
	spec     Zone          // where it comes from: only what sameSource compares
	copyPath string        // "": no copy
	once     sync.Once     // begins to follow its primaries
	context  context.Context
	stop     context.CancelFunc

	mu       sync.Mutex // guards what is below
	zone     *rpz.Zone
	since    time.Time // when it was found to be the newest
	from     string
	seen     stamp     // of the file that was read last, good or bad
	fresh    stamp     // of a file that has changed
	freshAt  time.Time // when it was seen first
	problem  error     // of the last attempt to read or fetch it; nil: there was none
	troubled time.Time

	counters counters
}

// counters are the figures of a zone since the start.
type counters struct {
	Loaded, Rejected            atomic.Uint64 // files
	Full, Incremental, Failed   atomic.Uint64 // transfers
	UpToDate                    atomic.Uint64 // looks at a primary that had nothing newer
	Notified, Expired, CopyLost atomic.Uint64
	Skipped                     atomic.Uint64 // gauge: records of the last transfers that are no policies
}

// current returns the zone in force, nil if there is none.
func (s *source) current() *rpz.Zone {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.zone
}

// put brings a zone into force; nil takes the one that there is out of it.
func (s *source) put(z *rpz.Zone, since time.Time, from string) {
	s.mu.Lock()
	s.zone, s.since, s.from = z, since, from
	s.mu.Unlock()
	s.changed()
}

// note keeps what came of an attempt to read or fetch the zone.
func (s *source) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem = err; err != nil {
		s.troubled = time.Now()
	}
}

// askSoon has the primaries asked without waiting for the SOA's timers.
func (s *source) askSoon() {
	select {
	case s.refresh <- struct{}{}:
	default: // they are about to be
	}
}

// readAgain reads the zone's file whether it has changed or not. An error leaves the zone in force.
func (s *source) readAgain() error {
	z, err := s.readFile(s.spec.File, pace.Until(s.context))
	if s.context.Err() != nil {
		return s.context.Err() // the process ends, or a reload has dropped the zone
	}
	if s.note(err); err != nil {
		s.log.Error("response policy zone refused, the one in force stays", "zone", s.spec.Name, "error", err)
		return err
	}
	s.put(z, time.Now(), s.spec.File)
	return nil
}

// describe is what is logged of a zone.
func (s *source) describe(z *rpz.Zone, took time.Duration) []any {
	return []any{
		"zone", s.spec.Name, "serial", z.SOA().Serial, "triggers", z.Len(), "bytes", z.Bytes(), "ignored", z.Ignored(), "took", took.Round(time.Millisecond),
	}
}

// load reads the zone's file, or the copy of what its primary last sent, at the given pace. It is called before the source is in use.
func (s *source) load(gently *pace.Pace) error {
	if s.spec.File != "" {
		z, err := s.readFile(s.spec.File, gently)
		if err != nil {
			return err
		}
		s.zone, s.since, s.from = z, time.Now(), s.spec.File
		return nil
	}
	s.loadCopy(gently)
	return nil
}

// readFile reads a file and remembers which state of it that was.
func (s *source) readFile(path string, gently *pace.Pace) (*rpz.Zone, error) {
	seen, _ := stampOf(path)
	s.mu.Lock()
	s.seen, s.fresh = seen, seen
	s.mu.Unlock()
	from := time.Now()
	var z *rpz.Zone
	var err error
	gently.Aside(func() { z, err = readZone(path, s.spec.Name, gently) })
	if err != nil && s.context.Err() == nil {
		s.counters.Rejected.Add(1)
	}
	if err != nil {
		return nil, err
	}
	s.counters.Loaded.Add(1)
	s.log.Info("response policy zone loaded", append(s.describe(z, time.Since(from)), "file", path)...)
	return z, nil
}

// loadCopy brings the last good copy into force, if there is one that has not expired.
func (s *source) loadCopy(gently *pace.Pace) {
	if s.copyPath == "" {
		return
	}
	info, err := os.Stat(s.copyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var z *rpz.Zone
	if err == nil {
		z, err = s.readFile(s.copyPath, gently)
	}
	if s.context.Err() != nil {
		return // nobody wants it any more
	}
	if err != nil {
		s.log.Warn("response policy zone: its last good copy cannot be read; its primary is asked", "zone", s.spec.Name, "error", err)
		return
	}
	if age := time.Since(info.ModTime()); age > z.SOA().Expire {
		s.log.Warn("response policy zone: its last good copy has expired; its primary is asked", "zone", s.spec.Name, "age", age.Round(time.Second), "expire", z.SOA().Expire)
		return
	}
	s.zone, s.since, s.from = z, info.ModTime(), s.copyPath
}

// stampOf looks at a file.
func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	st := stamp{size: info.Size(), time: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.inode = sys.Ino
	}
	return st, nil
}

// look reads the zone's file again if it has changed and has been left alone since.
func (s *source) look(now time.Time) {
	st, err := stampOf(s.spec.File)
	if err != nil {
		return // it is being replaced, or has gone: what is in force stays
	}
	s.mu.Lock()
	if st != s.fresh {
		s.fresh, s.freshAt = st, now
	}
	due := s.fresh != s.seen && now.Sub(s.freshAt) >= settleTime
	s.mu.Unlock()
	if !due {
		return
	}
	_ = s.readAgain() // it has been logged
}

// follow keeps the zone as new as its primaries', until ctx ends.
func (s *source) follow(ctx context.Context) {
	wait := time.Duration(0) // at once
	if z := s.current(); z != nil {
		wait = max(0, s.bounded(z.SOA().Refresh)-time.Since(s.since))
	}
	failing := false
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.refresh:
			timer.Stop()
		}
		from := time.Now()
		var err error
		new(pace.Pace).Aside(func() { err = s.update(ctx) })
		if ctx.Err() != nil {
			return
		}
		s.note(err)
		z := s.current()
		switch {
		case err == nil:
			if failing {
				s.log.Info("response policy zone: its primary answers again", "zone", s.spec.Name)
			}
			failing = false
			wait = s.bounded(z.SOA().Refresh)
			wait -= rand.N(wait/10 + 1) // so that not all who have the zone ask at once
		case !failing: // once, not at each retry
			s.log.Error("response policy zone not refreshed", "zone", s.spec.Name, "error", err)
			failing = true
			fallthrough
		default:
			wait = s.spec.MinRefresh
			if z != nil {
				wait = s.bounded(z.SOA().Retry)
				wait = min(wait, max(0, s.untilExpiry(z)))
			}
		}
		if err != nil && z != nil && s.untilExpiry(z) <= 0 {
			s.counters.Expired.Add(1)
			s.log.Error("response policy zone has expired: none of its primaries could be asked for too long; its policies are out of force", "zone", s.spec.Name, "expire", z.SOA().Expire)
			s.put(nil, time.Time{}, "")
			wait = s.spec.MinRefresh
		}
		pause := max(0, notifyPause-time.Since(from)) // NOTIFYs of this time are one
		sleep(ctx, pause)
		wait = max(0, wait-pause)
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// bounded is a timer of the SOA within the configured bounds.
func (s *source) bounded(d time.Duration) time.Duration {
	return min(max(d, s.spec.MinRefresh), s.spec.MaxRefresh)
}

func (s *source) untilExpiry(z *rpz.Zone) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return z.SOA().Expire - time.Since(s.since)
}

// update asks the primaries in turn, until one has answered.
func (s *source) update(ctx context.Context) error {
	var errs []error
	for _, primary := range s.spec.Primaries {
		from := time.Now()
		o, err := fetch(ctx, &s.spec, primary, s.current())
		if err == nil {
			s.adopt(o, from)
			return nil
		}
		s.counters.Failed.Add(1)
		errs = append(errs, &primaryError{primary.String(), err})
	}
	return errors.Join(errs...)
}

// primaryError is what went wrong with one primary.
type primaryError struct {
	primary string
	err     error
}

func (e *primaryError) Error() string { return "primary " + e.primary + ": " + e.err.Error() }
func (e *primaryError) Unwrap() error { return e.err }

// adopt puts what a primary said into force, and on disk.
func (s *source) adopt(o *outcome, from time.Time) {
	if o.zone == nil {
		s.counters.UpToDate.Add(1)
		s.mu.Lock()
		s.since = time.Now()
		s.mu.Unlock()
		if s.copyPath != "" {
			if err := os.Chtimes(s.copyPath, time.Time{}, time.Now()); err != nil {
				s.keepCopy(s.current())
			}
		}
		return
	}
	if o.kind == "axfr" {
		s.counters.Full.Add(1)
		s.counters.Skipped.Store(0)
	} else {
		s.counters.Incremental.Add(1)
	}
	s.counters.Skipped.Add(uint64(o.skipped))
	s.put(o.zone, time.Now(), o.primary.String())
	s.log.Info("response policy zone transferred", append(s.describe(o.zone, time.Since(from)), "primary", o.primary, "by", o.kind)...)
	if o.skipped != 0 {
		s.log.Warn("response policy zone: records that are no policies were left out", "zone", s.spec.Name, "records", o.skipped, "first", errors.Join(o.reasons...))
	}
	s.keepCopy(o.zone)
}

func (s *source) keepCopy(z *rpz.Zone) {
	if s.copyPath == "" {
		return
	}
	if err := writeZone(s.copyPath, s.spec.Name, z); err != nil {
		s.counters.CopyLost.Add(1)
		s.log.Warn("response policy zone: no copy of it could be kept", "zone", s.spec.Name, "error", err)
	}
}
