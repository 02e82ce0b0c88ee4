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
	rules    rules
	groups   [256]*rules // of sources with limits of their own, by number; nil: rules
	exempt   *acl.List   // nil: nobody
	replies  bool
	window   int64 // ns
	bits4    int
	bits6    int
	offences watch

	_ [128]byte
}

// Group is a group of sources with limits of its own: they have other buckets than the rest.
type Group struct {
	Number uint8   // 1 and more; the same for as long as its buckets are to stay
	Config *Config // of which only what is about queries counts
}

// New returns a limiter of one of so many workers, each of which allows its share.
func New(cfg *Config, groups []Group, workers int) (*Limiter, error) {
	l := new(Limiter)
	if err := l.Set(cfg, groups, workers); err != nil {
		return nil, err
	}
	return l, l.table.open()
}

// Close gives the memory back.
func (l *Limiter) Close() error { return l.table.close() }

// Set replaces the configuration; buckets stay as they are.
func (l *Limiter) Set(cfg *Config, groups []Group, workers int) error {
	err := cfg.Validate()
	for _, g := range groups {
		err = errors.Join(err, g.Config.Validate())
	}
	if err != nil {
		return err
	}
	if workers < 1 {
		return errors.New("limits: no worker")
	}
	var exempt *acl.List
	if len(cfg.Exempt) != 0 {
		if exempt, err = acl.New(cfg.Exempt, nil); err != nil {
			return err
		}
	}
	l.exempt = exempt
	l.rules = rulesOf(cfg, workers)
	l.groups = [256]*rules{}
	for _, g := range groups {
		own := rulesOf(g.Config, workers)
		l.groups[g.Number] = &own
	}
	l.replies, l.window, l.bits4, l.bits6 = cfg.replies(), int64(cfg.Window), cfg.IPv4Bits, cfg.IPv6Bits
	return nil
}

// rules is how all kinds of buckets fill.
type rules [KindCount]rule

func rulesOf(cfg *Config, workers int) (out rules) {
	for k := range out {
		r := cfg.Rates[k]
		if r.PerSecond == 0 {
			continue
		}
		burst := r.Burst
		if burst == 0 || Kind(k) >= Answers {
			burst = r.PerSecond
		}
		interval := int64(workers) * int64(time.Second) / int64(r.PerSecond)
		out[k] = rule{interval: interval, depth: interval * int64(max(1, burst/workers))}
	}
	return out
}

// Query is what a limiter must know of a query.
type Query struct {
	Path   *ring.Path
	Group  uint8 // that its source is of; 0, or one without limits of its own: the rest
	TCP    bool
	Proven bool // by a cookie: its sender receives what is sent to its address
}

// Admit takes a token for a query from all buckets of its source, and reports whether there was one in each; if not, kind says in which there was
// none and nothing was taken.
func (l *Limiter) Admit(q *Query, now int64) (kind Kind, ok bool) {
	s := sourceOf(q.Path)
	r, group := &l.rules, uint8(0)
	if q.Group != 0 && l.groups[q.Group] != nil {
		r, group = l.groups[q.Group], q.Group
	}
	switch {
	case l.exempt != nil && l.exempt.Allows(q.Path.Addr().Addr()):
		return 0, true
	case q.TCP:
		return TCP, l.single(bucketOf{r, TCP, group}, s, now)
	case q.Proven && r[Cookie].interval != 0:
		return Cookie, l.single(bucketOf{r, Cookie, group}, s, now)
	case s.v6:
		return l.climb(ladder6[:], bucketOf{rules: r, group: group}, s, now)
	}
	return l.climb(ladder4[:], bucketOf{rules: r, group: group}, s, now)
}

// bucketOf says which buckets are meant.
type bucketOf struct {
	rules *rules
	kind  Kind
	group uint8
}

// single takes from the only bucket of a kind that a source has.
func (l *Limiter) single(of bucketOf, s source, now int64) bool {
	r := &of.rules[of.kind]
	if r.interval == 0 {
		return true
	}
	bits := s.whole()
	s = s.masked(bits)
	tag := l.table.tag(of.kind, of.group, s)
	if l.table.bucket(tag).take(r, now) {
		return true
	}
	l.offences.add(tag, of.kind, s, bits, now)
	return false
}

// climb takes from every bucket of a ladder, or gives back what it has taken.
func (l *Limiter) climb(ladder []step, of bucketOf, s source, now int64) (kind Kind, ok bool) {
	var taken [stepsMax]struct {
		bucket *entry
		before entry
	}
	n := 0
	for _, step := range ladder {
		r := &of.rules[step.kind]
		if r.interval == 0 {
			continue
		}
		part := s.masked(step.bits)
		tag := l.table.tag(step.kind, of.group, part)
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
