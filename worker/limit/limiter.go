package limit

import (
	"errors"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/policy/acl"
)

// Limiter is one worker's.
type Limiter struct {
	_ [128]byte // workers' limiters may lie side by side: see worker's TestWorkersShareNoLine

	table    table
	rules    [KindCount]rule
	exempt   *acl.List // nil: nobody
	replies  bool
	window   int64 // ns
	bits4    int
	bits6    int
	offences watch

	_ [128]byte
}

// New returns a limiter of one of so many workers, each of which allows its share.
func New(cfg *Config, workers int) (*Limiter, error) {
	l := new(Limiter)
	if err := l.Set(cfg, workers); err != nil {
		return nil, err
	}
	return l, l.table.open()
}

// Close gives the memory back.
func (l *Limiter) Close() error { return l.table.close() }

// Set replaces the configuration; buckets stay as they are.
func (l *Limiter) Set(cfg *Config, workers int) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if workers < 1 {
		return errors.New("limits: no worker")
	}
	var exempt *acl.List
	if len(cfg.Exempt) != 0 {
		var err error
		if exempt, err = acl.New(cfg.Exempt, nil); err != nil {
			return err
		}
	}
	l.exempt = exempt
	for k := range l.rules {
		l.rules[k] = rule{}
		if r := cfg.Rates[k]; r.PerSecond != 0 {
			burst := r.Burst
			if burst == 0 || Kind(k) >= Answers {
				burst = r.PerSecond
			}
			interval := int64(workers) * int64(time.Second) / int64(r.PerSecond)
			l.rules[k] = rule{interval: interval, depth: interval * int64(max(1, burst/workers))}
		}
	}
	l.replies, l.window, l.bits4, l.bits6 = cfg.replies(), int64(cfg.Window), cfg.IPv4Bits, cfg.IPv6Bits
	return nil
}

// Query is what a limiter must know of a query.
type Query struct {
	Path   *ring.Path
	TCP    bool
	Proven bool // by a cookie: its sender receives what is sent to its address
}

// Admit takes a token for a query from all buckets of its source, and reports whether there was one in each; if not, kind says in which there was
// none and nothing was taken.
func (l *Limiter) Admit(q *Query, now int64) (kind Kind, ok bool) {
	s := sourceOf(q.Path)
	switch {
	case l.exempt != nil && l.exempt.Allows(q.Path.Addr().Addr()):
		return 0, true
	case q.TCP:
		return TCP, l.single(TCP, s, now)
	case q.Proven && l.rules[Cookie].interval != 0:
		return Cookie, l.single(Cookie, s, now)
	case s.v6:
		return l.climb(ladder6[:], s, now)
	}
	return l.climb(ladder4[:], s, now)
}

// single takes from the only bucket of a kind that a source has.
func (l *Limiter) single(k Kind, s source, now int64) bool {
	r := &l.rules[k]
	if r.interval == 0 {
		return true
	}
	bits := s.whole()
	s = s.masked(bits)
	tag := l.table.tag(k, s)
	if l.table.bucket(tag).take(r, now) {
		return true
	}
	l.offences.add(tag, k, s, bits, now)
	return false
}

// climb takes from every bucket of a ladder, or gives back what it has taken.
func (l *Limiter) climb(ladder []step, s source, now int64) (kind Kind, ok bool) {
	var taken [stepsMax]struct {
		bucket *entry
		before entry
	}
	n := 0
	for _, step := range ladder {
		r := &l.rules[step.kind]
		if r.interval == 0 {
			continue
		}
		part := s.masked(step.bits)
		tag := l.table.tag(step.kind, part)
		e := l.table.bucket(tag)
		taken[n].bucket, taken[n].before = e, *e
		n++
		if e.take(r, now) {
			continue
		}
		for _, t := range taken[:n-1] {
			if t.bucket.tag == t.before.tag { // else its place was taken by a later step
				*t.bucket = t.before
			}
		}
		l.offences.add(tag, step.kind, part, step.bits, now)
		return step.kind, false
	}
	return 0, true
}
