package rpz

import (
	"fmt"
	"strings"
	"time"

	"secure-dns-proxy/worker/rpz"
)

// Report is what is known of one zone.
type Report struct {
	Name      string
	Tag       int // in worker.ZoneStats
	InForce   bool
	Serial    uint32
	Triggers  [rpz.Triggers]int
	Bytes     int
	Policy    string // as in the configuration
	Source    string // the file or the primaries
	From      string // where what is in force came from
	Problem   string // of the last attempt to read or fetch it; "": there was none
	ProblemAt time.Time
	Age       time.Duration // since it was last known to be the newest
	Ignored   int           // records that policies have no use for

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
	z, since, from, problem, at := e.zone, e.since, e.from, e.problem, e.troubled
	e.mu.Unlock()
	c := &e.counters
	r := Report{
		Name: e.spec.Name, Tag: e.tag, InForce: z != nil,
		Loaded: c.Loaded.Load(), Rejected: c.Rejected.Load(), Full: c.Full.Load(), Incremental: c.Incremental.Load(), UpToDate: c.UpToDate.Load(),
		Failed: c.Failed.Load(), Notified: c.Notified.Load(), Expired: c.Expired.Load(), CopyLost: c.CopyLost.Load(), Skipped: c.Skipped.Load(),
	}
	if r.Policy, r.Source, r.From = rpz.OverrideNames[e.policy.Override], e.spec.File, from; r.Source == "" {
		r.Source = strings.Trim(fmt.Sprint(e.spec.Primaries), "[]")
	}
	if problem != nil {
		r.Problem, r.ProblemAt = problem.Error(), at
	}
	if z != nil {
		r.Serial, r.Bytes, r.Age, r.Ignored = z.SOA().Serial, z.Bytes(), time.Since(since), z.Ignored()
		for t := range r.Triggers {
			r.Triggers[t] = z.Count(rpz.Trigger(t))
		}
	}
	return r
}
