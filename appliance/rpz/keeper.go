package rpz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/worker/rpz"
)

// Keeper keeps the zones of a configuration up to date. Its methods are safe from any goroutine, but Plan and what it returns are called by one at a time.
type Keeper struct {
	log      *slog.Logger
	hits     *hitLog
	notifier *notifier // nil: no listener
	running  context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup
	serving  sync.Once

	mu      sync.Mutex // guards what is below
	config  Config
	sources []*entry
	tags    map[string]int // by name; never used again
	put     func(*rpz.Set) // the workers'; nil: there are none yet
}

// entry is a source in use, with what is said of it beside where it comes from.
type entry struct {
	*source
	policy Zone
	tag    int
}

// NewKeeper returns a keeper without zones, whose listener for NOTIFYs is bound: it may need privileges.
func NewKeeper(c *Config, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{log: log, hits: newHitLog(log), tags: map[string]int{}}
	k.running, k.stop = context.WithCancel(context.Background())
	if c.Notify.IsValid() {
		var err error
		if k.notifier, err = listenNotify(c.Notify); err != nil {
			return nil, fmt.Errorf("rpz.notify_listen: %w", err)
		}
	}
	return k, nil
}

// Plan reads the files of a configuration, and returns what puts it into force. An error says that one is wrong; nothing has changed then. Zones that
// come from where they came from before keep what they have.
func (k *Keeper) Plan(c *Config) (commit func(), err error) {
	k.mu.Lock()
	before := map[string]*entry{}
	for _, e := range k.sources {
		before[e.spec.Name] = e
	}
	directory := k.config.Directory
	k.mu.Unlock()

	var list, fresh []*entry
	var errs []error
	for i := range c.Zones {
		z := &c.Zones[i]
		if old := before[z.Name]; old != nil && old.spec.sameSource(z) && directory == c.Directory {
			list = append(list, &entry{source: old.source, policy: *z, tag: old.tag})
			delete(before, z.Name)
			continue
		}
		e, err := k.enter(z, c.Directory)
		if errs = append(errs, err); e != nil {
			fresh = append(fresh, e)
		}
		list = append(list, e)
	}
	if err := errors.Join(errs...); err != nil {
		for _, e := range fresh {
			e.stop()
		}
		return nil, err
	}
	return func() { k.commit(c, list, before) }, nil
}

// commit puts a plan into force; gone are the sources that it leaves out.
func (k *Keeper) commit(c *Config, list []*entry, gone map[string]*entry) {
	for _, old := range gone {
		old.stop()
	}
	k.mu.Lock()
	k.config = *c
	k.sources = list
	k.mu.Unlock()
	for _, e := range list {
		e.begin(k)
	}
	k.hits.setRate(c.LogRate)
	if k.notifier != nil {
		k.serving.Do(func() { k.notifier.serve(k.find, k.key) })
	}
	k.publish()
}

// find returns the source of a zone in use, nil if there is none.
func (k *Keeper) find(name string) *entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return indexOf(k.sources, name)
}

// key returns the key of that name, nil if no zone has it.
func (k *Keeper) key(name string) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.config.Zones {
		if key := k.config.Zones[i].Key; key.Name == name && name != "" {
			return &key
		}
	}
	return nil
}

func indexOf(list []*entry, name string) *entry {
	for _, e := range list {
		if e.spec.Name == name {
			return e
		}
	}
	return nil
}

// enter makes the source of a zone, which is not in use yet.
func (k *Keeper) enter(z *Zone, directory string) (*entry, error) {
	k.mu.Lock()
	begun := k.put != nil // workers answer
	tag, known := k.tags[z.Name]
	if !known {
		if tag = len(k.tags); tag == tagsMax {
			k.mu.Unlock()
			return nil, fmt.Errorf("response policy zone %s: %d names have been in use since the start, more need a restart", z.Name, tagsMax)
		}
		k.tags[z.Name] = tag
	}
	k.mu.Unlock()
	s := &source{log: k.log, changed: k.publish, refresh: make(chan struct{}, 1), spec: *z}
	if len(z.Primaries) != 0 {
		s.copyPath = copyPath(directory, z.Name)
	}
	s.context, s.stop = context.WithCancel(k.running)
	var gently *pace.Pace
	if begun {
		gently = pace.Until(s.context)
	}
	return &entry{source: s, policy: *z, tag: tag}, s.load(gently)
}

// begin lets a new source follow its primaries. Files are looked at by Run.
func (e *entry) begin(k *Keeper) {
	e.once.Do(func() {
		if len(e.spec.Primaries) != 0 {
			k.tasks.Go(func() { e.follow(e.context) })
		}
	})
}

// Set returns the zones in force, nil if the configuration has none.
func (k *Keeper) Set() *rpz.Set {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.sources) == 0 {
		return nil
	}
	var policies []rpz.Policy
	for _, e := range k.sources {
		p := rpz.Policy{
			Name: e.spec.Name, Tag: e.tag, Zone: e.current(), Override: e.policy.Override, BreakDNSSEC: !e.policy.KeepSigned, Log: e.policy.Log,
		}
		if p.Override == rpz.OverrideCNAME {
			p.CNAME = wireName(e.policy.CNAME)
		}
		policies = append(policies, p)
	}
	set, err := rpz.NewSet(policies)
	if err != nil {
		panic("rpz: the configuration was checked: " + err.Error())
	}
	return set
}

// publish gives the workers the zones in force.
func (k *Keeper) publish() {
	k.mu.Lock()
	put := k.put
	k.mu.Unlock()
	if put != nil {
		put(k.Set())
	}
}

// Group is what the keeper needs of the workers: *worker.Group.
type Group interface {
	ResponsePolicies(*rpz.Set)
	ZoneHits(func(*rpz.Hit)) (lost uint64)
}

// Run looks after the files and logs hits, until ctx ends; with it end transfers, and the reading of files.
func (k *Keeper) Run(ctx context.Context, group Group) {
	defer context.AfterFunc(ctx, k.stop)() // a file may just be read
	defer k.stop()
	k.mu.Lock()
	k.put = group.ResponsePolicies
	k.mu.Unlock()
	k.publish() // what has changed since the workers began
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			k.mu.Lock()
			list := k.sources
			k.mu.Unlock()
			for _, e := range list {
				if e.spec.File != "" {
					e.look(now)
				}
			}
			k.hits.collect(now, group)
		}
	}
}

// Close ends transfers and the listener.
func (k *Keeper) Close() error {
	k.stop()
	k.tasks.Wait()
	if k.notifier != nil {
		return k.notifier.close()
	}
	return nil
}
