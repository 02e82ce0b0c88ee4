package blocks

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/block"
)

// subject is who or what is blocked: the key of the list.
type subject struct {
	prefix netip.Prefix
	name   string
}

func (s subject) String() string {
	if s.prefix.IsValid() {
		return s.prefix.String()
	}
	return Text(s.name)
}

// kept is a line of the list with what the workers have of it.
type kept struct {
	entry *block.Entry
	by    string
	since time.Time
	until time.Time
	value float64
	early uint64 // queries that the kernel dropped before a worker saw them
}

// blocked returns how many queries were blocked.
func (b *kept) blocked() uint64 { return b.entry.Blocked() + b.early }

// Keeper keeps the list. Its methods are safe from any goroutine.
type Keeper struct {
	log     *slog.Logger
	workers int
	put     func(*block.Table)
	kernel  Kernel // nil: the workers alone block

	saving sync.Mutex // the file is being written

	mu      sync.Mutex // guards everything below
	judge   *judge
	list    map[subject]*kept
	pardons map[subject]time.Time // taken off by hand: no rule puts them back before that
	warned  map[warning]bool
	totals  Totals
	lines   int // in the log in this period
	omitted int
	stale   bool      // the file does not say what the list does
	saved   time.Time // when it was written last
	failing bool      // that could not be done
}

type warning struct {
	rule string
	who  subject
}

// Kernel drops what sources send before it reaches a worker; see appliance/xdp.
type Kernel interface {
	Set([]netip.Prefix) error
	Dropped() map[netip.Prefix]uint64 // since the last call
}

// NewKeeper returns an empty list. put is given every table that is to hold from then on; kernel, if it is not nil, the sources that are dropped.
func NewKeeper(log *slog.Logger, workers int, put func(*block.Table), kernel Kernel) *Keeper {
	return &Keeper{
		log: log, workers: workers, put: put, kernel: kernel, judge: newJudge(Config{}),
		list: map[subject]*kept{}, pardons: map[subject]time.Time{}, warned: map[warning]bool{},
		totals: Totals{Added: map[string]uint64{}, Blocked: map[string]uint64{}},
	}
}

// Adopt puts a configuration in force. What the old rules have blocked stays until its time is over, unless its rule is gone or it is exempt now.
func (k *Keeper) Adopt(cfg Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stale = k.stale || cfg.File != k.judge.cfg.File
	k.judge = newJudge(cfg)
	clear(k.warned)
	changed := false
	for who, b := range k.list {
		ruled := b.by == Operator || slices.ContainsFunc(cfg.Rules, func(r Rule) bool { return r.Name == b.by })
		if !ruled || b.by != Operator && k.judge.spares(who) {
			k.end(who, b, "the configuration")
			changed = true
		}
	}
	if changed {
		k.publish()
	}
}

// spares reports whether no rule may block who.
func (j *judge) spares(who subject) bool {
	if !who.prefix.IsValid() {
		return j.exempt(who.name)
	}
	return slices.ContainsFunc(j.cfg.Exempt, func(p netip.Prefix) bool { return p.Overlaps(who.prefix) })
}

// Run looks at what the group counts, once a second, until ctx ends.
func (k *Keeper) Run(ctx context.Context, group *worker.Group) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			k.save(time.Now(), true)
			return
		case <-ticker.C:
			now := time.Now()
			second := NewSecond()
			group.Tallies(second.Add)
			k.countEarly(second, now.Sub(last))
			k.Look(second, now.Sub(last), now)
			k.save(now, false)
			last = now
		}
	}
}

// Look takes in what was counted in the time that has passed until now, and brings the list up to date.
func (k *Keeper) Look(second *Second, passed time.Duration, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines, k.omitted = 0, 0
	changed := k.expire(now)
	seen := map[warning]bool{}
	for _, f := range k.judge.look(second, passed) {
		if f.Warn || f.Public {
			k.warn(&f, seen)
		} else if k.find(&f, now) {
			changed = true
		}
	}
	k.warned = seen
	if changed {
		k.publish()
	}
	if k.omitted > 0 {
		k.log.Warn("more blocks began or ended than are logged one by one: see sdpctl blocks", "left_out", k.omitted)
	}
}

// countEarly counts what the kernel dropped, as queries too: nobody else sees them, and whoever goes on sending is to stay blocked.
func (k *Keeper) countEarly(second *Second, passed time.Duration) {
	if k.kernel == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for prefix, n := range k.kernel.Dropped() {
		b := k.list[subject{prefix: prefix}]
		if b == nil {
			continue
		}
		b.early += n
		k.totals.Early += n
		if b.by != Operator {
			second.addDropped(prefix, float64(n)/passed.Seconds())
		}
	}
}

// expire ends blocks and pardons whose time is over, and reports whether there were blocks among them.
func (k *Keeper) expire(now time.Time) (changed bool) {
	for who, b := range k.list {
		if !b.until.IsZero() && now.After(b.until) {
			k.end(who, b, "time")
			changed = true
		}
	}
	for who, until := range k.pardons {
		if now.After(until) {
			delete(k.pardons, who)
		}
	}
	return changed
}

// end takes a block off the list.
func (k *Keeper) end(who subject, b *kept, why string) {
	delete(k.list, who)
	k.totals.Blocked[b.by] += b.blocked()
	k.say(slog.LevelInfo, "block ended", "who", who.String(), "rule", b.by, "ended_by", why, "blocked_queries", b.blocked())
}

// say writes a line, of linesMax in a period.
func (k *Keeper) say(level slog.Level, text string, fields ...any) {
	if k.lines++; k.lines > linesMax {
		k.omitted++
		return
	}
	k.log.Log(context.Background(), level, text, fields...)
}

// warn logs a finding that blocks nobody, once while it lasts.
func (k *Keeper) warn(f *Finding, seen map[warning]bool) {
	w := warning{f.Rule.Name, f.subject()}
	if seen[w] = true; k.warned[w] {
		return
	}
	fields := []any{"who", w.who.String(), "rule", f.Rule.Name, "watch", f.Rule.Watch.String(), "value", round(f.Value), "block_at", f.Rule.Threshold}
	if f.Public {
		k.say(slog.LevelWarn, "over a threshold, but not blocked: many owners have names below a public suffix", fields...)
		return
	}
	k.say(slog.LevelWarn, "over a warning threshold", fields...)
}

func (f *Finding) subject() subject { return subject{f.Prefix, f.Name} }

func round(v float64) float64 { return float64(int64(v*10+0.5)) / 10 }

// find blocks who was found, or goes on blocking them, and reports whether the table changes.
func (k *Keeper) find(f *Finding, now time.Time) (changed bool) {
	who := f.subject()
	if _, pardoned := k.pardons[who]; pardoned {
		return false
	}
	until := now.Add(f.Rule.Duration)
	if b := k.list[who]; b != nil {
		if b.by != Operator && until.After(b.until) {
			b.until, k.stale = until, true
		}
		return false
	}
	entry, err := k.entry(who, f.Rule.Action, f.Rule.Rate)
	if err != nil {
		k.totals.Full++
		k.say(slog.LevelError, "not blocked", "who", who.String(), "rule", f.Rule.Name, "error", err)
		return false
	}
	k.list[who] = &kept{entry: entry, by: f.Rule.Name, since: now, until: until, value: f.Value}
	k.totals.Added[f.Rule.Name]++
	k.say(slog.LevelWarn, "blocked", "who", who.String(), "rule", f.Rule.Name, "watch", f.Rule.Watch.String(), "value", round(f.Value),
		"threshold", f.Rule.Threshold, "action", f.Rule.Action.String(), "for", f.Rule.Duration,
		"advice", "sdpctl blocks remove, or exempt it in [blocks], if this is wanted")
	return true
}

// entry makes what the workers need.
func (k *Keeper) entry(who subject, action block.Action, rate int) (*block.Entry, error) {
	if len(k.list) >= block.EntriesMax {
		return nil, fmt.Errorf("%d blocks are all that there may be", block.EntriesMax)
	}
	var name []byte
	if !who.prefix.IsValid() {
		name = []byte(who.name)
	}
	return block.NewEntry(who.prefix, name, action, rate, k.workers)
}

// publish gives the workers the list as it is now.
func (k *Keeper) publish() {
	k.stale = true
	var entries []*block.Entry
	var dropped []netip.Prefix
	for who, b := range k.list {
		entries = append(entries, b.entry)
		if who.prefix.IsValid() && b.entry.Action == block.Drop {
			dropped = append(dropped, who.prefix)
		}
	}
	if k.kernel != nil {
		if err := k.kernel.Set(dropped); err != nil {
			k.log.Error("some blocked sources are not dropped in the kernel, but by the workers", "error", err)
		}
	}
	table, err := block.New(entries)
	if err != nil {
		k.log.Error("list of blocks not put in force, the last one holds", "error", err) // nothing that got on the list can be the cause
		return
	}
	k.put(table)
}
