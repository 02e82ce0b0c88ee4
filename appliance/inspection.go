package appliance

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/appliance/wasm"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/inspect"
)

// inspection is who looks at questions before they are asked, as the configuration in force has it. Its methods belong to the service's goroutine, but for figures.
type inspection struct {
	log      *slog.Logger
	registry inspect.Registry // what this program offers beside modules

	mu   sync.Mutex
	host *inspect.Host // nil: off
	cfg  config.Inspect
	past inspect.Figures // of hosts that there were, so that counters never fall
}

// planned is an inspector that is not in use yet. What is planned is adopted or discarded.
type planned struct {
	host   *inspect.Host  // for the workers; nil: off
	source inspect.Source // that the host in use is to change to; nil: it has it already
	cfg    config.Inspect
}

// plan makes the inspector for a configuration, unless it is the one in use.
func (i *inspection) plan(c *config.Inspect) (planned, error) {
	p := planned{cfg: *c}
	if c.Kind == config.InspectOff {
		return p, nil
	}
	p.host = i.host
	if i.host != nil && i.cfg.SameInspector(c) {
		return p, nil
	}
	source, err := i.open(c)
	switch {
	case err != nil:
		return planned{}, err
	case i.host == nil:
		p.host = inspect.NewHost(source, i.log)
	default:
		p.source = source
	}
	return p, nil
}

func (i *inspection) open(c *config.Inspect) (inspect.Source, error) {
	if c.Kind == config.InspectWASM {
		m, err := wasm.Load(c.Code, c.WASM())
		if err != nil { // the file was found good before: memory, or the kernel
			return nil, fmt.Errorf("inspect.module: %s: %w", c.Module, err)
		}
		return m, nil
	}
	if err := checkInspector(i.registry, c); err != nil {
		return nil, err
	}
	source, err := i.registry[c.Name]()
	if err != nil {
		return nil, fmt.Errorf("inspect.name: %s: %w", c.Name, err)
	}
	return source, nil
}

// checkInspector finds a name that this program does not have.
func checkInspector(registry inspect.Registry, c *config.Inspect) error {
	if c.Kind != config.InspectGo || registry[c.Name] != nil {
		return nil
	}
	has := "none: it takes a program that embeds the proxy, see appliance/cmd/inspected-dns-proxy"
	if len(registry) != 0 {
		has = strings.Join(slices.Sorted(maps.Keys(registry)), ", ")
	}
	return fmt.Errorf("inspect.name: %q is no inspector of this program, which has %s", c.Name, has)
}

// adopt makes a planned inspector, which the workers ask now, the one in use.
func (i *inspection) adopt(p planned) {
	i.mu.Lock()
	before := i.host
	if before != nil && before != p.host {
		i.past = addInspections(i.past, before.Figures())
	}
	same := p.cfg.Kind == config.InspectOff && before == nil || before != nil && before == p.host && p.source == nil && i.cfg.Where() == p.cfg.Where() && i.cfg.KeptMax == p.cfg.KeptMax
	i.host, i.cfg = p.host, p.cfg
	i.mu.Unlock()
	switch {
	case p.source != nil:
		p.host.Use(p.source)
	case p.host != nil:
		p.host.Forget() // what was said under other rules
	}
	if before != nil && before != p.host {
		before.Close()
	}
	switch c := &p.cfg; {
	case same:
	case c.Kind == config.InspectOff:
		i.log.Info("questions are no longer inspected")
	case c.Kind == config.InspectWASM:
		i.log.Info("questions are inspected", "module", c.Module, "bytes", len(c.Code), "sha256", fmt.Sprintf("%x", c.Sum()), "at", c.Where(), "kept_verdicts", c.KeptMax)
	default:
		i.log.Info("questions are inspected", "name", c.Name, "at", c.Where(), "kept_verdicts", c.KeptMax)
	}
}

// discard gives back a planned inspector that was not adopted.
func (i *inspection) discard(p planned) {
	if p.source != nil {
		p.source.Close()
	}
	if p.host != nil && p.host != i.host {
		p.host.Close()
	}
}

// close gives back the inspector in use; the workers have ended.
func (i *inspection) close() {
	if i.host != nil {
		i.host.Close()
	}
}

// snapshot is what workers need to know.
func (p *planned) snapshot() worker.Inspection {
	out := worker.Inspection{Host: p.host, Tags: p.cfg.TagBits, Kept: p.cfg.KeptMax}
	for at := range out.Points {
		out.Points[at] = worker.InspectPoint{On: p.cfg.Asks(inspect.Point(at)), Budget: p.cfg.Budget[at], Refuse: p.cfg.OnFailure[at] == config.InspectRefuse}
	}
	return out
}

// current is what is in use, as a plan.
func (i *inspection) current() *planned { return &planned{host: i.host, cfg: i.cfg} }

// figures are those of all hosts that there were. Any goroutine.
func (i *inspection) figures() inspect.Figures {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.host == nil {
		return i.past
	}
	return addInspections(i.past, i.host.Figures())
}

func addInspections(a, b inspect.Figures) inspect.Figures {
	return inspect.Figures{
		Expired: a.Expired + b.Expired, Failed: a.Failed + b.Failed, Panicked: a.Panicked + b.Panicked, Unopened: a.Unopened + b.Unopened,
		Rested: a.Rested + b.Rested, Rests: a.Rests + b.Rests,
	}
}
