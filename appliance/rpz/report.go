package rpz

import (
	"time"

	"secure-dns-proxy/worker/rpz"
)

// Report is what is known of one zone.
type Report struct {
	Name     string
	Tag      int // in worker.ZoneStats
	InForce  bool
	Serial   uint32
	Triggers [rpz.Triggers]int
	Bytes    int
	Age      time.Duration // since it was last known to be the newest
	Ignored  int           // records that policies have no use for

	Loaded, Rejected                     uint64 // files
	Full, Incremental, UpToDate, Failed  uint64 // conversations with primaries
	Notified, Expired, CopyLost, Skipped uint64
}

// Reports returns one for each zone, in order, and how many NOTIFYs were refused.
func (k *Keeper) Reports() (list []Report, notifiesRefused uint64) {
	k.mu.Lock()
	sources := k.sources
	k.mu.Unlock()
	for _, e := range sources {
		list = append(list, e.report())
	}
	if k.notifier != nil {
		notifiesRefused = k.notifier.refused.Load()
	}
	return list, notifiesRefused
}

func (e *entry) report() Report {
	e.mu.Lock()
	z, since := e.zone, e.since
	e.mu.Unlock()
	c := &e.counters
	r := Report{
		Name: e.spec.Name, Tag: e.tag, InForce: z != nil,
		Loaded: c.Loaded.Load(), Rejected: c.Rejected.Load(), Full: c.Full.Load(), Incremental: c.Incremental.Load(), UpToDate: c.UpToDate.Load(),
		Failed: c.Failed.Load(), Notified: c.Notified.Load(), Expired: c.Expired.Load(), CopyLost: c.CopyLost.Load(), Skipped: c.Skipped.Load(),
	}
	if z != nil {
		r.Serial, r.Bytes, r.Age, r.Ignored = z.SOA().Serial, z.Bytes(), time.Since(since), z.Ignored()
		for t := range r.Triggers {
			r.Triggers[t] = z.Count(rpz.Trigger(t))
		}
	}
	return r
}
