package worker

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/worker/admission"
)

// gate keeps datagrams of heavy sources out while more arrive than the worker can answer: it feeds an admission.Controller and puts its
// refusals in force. As long as the worker does not receive crowds it does nothing but count.
type gate struct {
	cfg     admission.Config
	control *admission.Controller // nil: off
	sketch  admission.Sketch
	sockets []gateSocket

	lookAt  int64 // ns: of the next look
	readAt  int64 // ns: when the sockets were last read
	taken   uint64
	crowd   bool // this turn
	crowded bool // in a turn since the last look
	random  uint64

	filter  sys.SourceFilter
	filters bool             // on the sockets
	reason  string           // why not, though it was wanted
	drops   []sys.SourceDrop // in force, in order
	byHand  bool             // the worker itself drops them
	dropped uint64           // by hand since the last look

	since int64 // ns: of the overload that lasts
	told  bool  // it was reported
}

// Admission is what an operator decides about overload.
type Admission = admission.Config

// gateSocket is a datagram socket of clients. The engine closes it, and with it goes its filter.
type gateSocket struct {
	fd    int
	drops uint32 // that the kernel had counted at the last look
}

// Overload is what a worker knows of an overload that began or ended.
type Overload struct {
	Worker            int
	Active            bool
	Offered, Capacity float64         // datagrams/s
	Refused           []RefusedSource // the heaviest first, overloadSources at most; none: there is nobody to blame
	Kernel            bool            // the kernel refuses them, not the worker
	Reason            string          // why not the kernel, though it was wanted
}

// RefusedSource is somebody who sends too much.
type RefusedSource struct {
	Prefix  netip.Prefix
	Offered float64 // datagrams/s that they send
	Share   float64 // of them that is refused
}

// Overloads returns the last report of every worker that ever was overloaded.
func (g *Group) Overloads() []*Overload {
	var list []*Overload
	for _, w := range g.workers {
		if w == nil {
			continue
		}
		if o := w.overload.Load(); o != nil {
			list = append(list, o)
		}
	}
	return list
}

// setAdmission takes over a configuration. What was learnt under another one is forgotten.
func (w *worker) setAdmission(cfg admission.Config) {
	g := &w.gate
	if g.cfg.Enabled == cfg.Enabled && g.cfg.Target == cfg.Target && g.cfg.KernelFilter == cfg.KernelFilter && slices.Equal(g.cfg.Exempt, cfg.Exempt) {
		return
	}
	w.openGate()
	w.stats.Overloaded = 0
	if g.told {
		w.reportOverload(false)
	}
	g.cfg, g.control, g.reason = cfg, nil, ""
	if cfg.Enabled {
		g.control = admission.NewController(cfg)
		g.sketch.Seed(w.random.Uint64())
		g.random = w.random.Uint64() | 1
	}
}

// sample counts the sources of the datagrams of clients among events.
func (g *gate) sample(events []ring.Event) {
	for i := range events {
		if ev := &events[i]; ev.Kind == ring.Datagram && ev.Tag&upstreamTag == 0 {
			g.sketch.Add(admission.SourceOf(ev.Path))
		}
	}
}

// next is xorshift64: chance needs no more here.
func (g *gate) next() uint64 {
	g.random ^= g.random << 13
	g.random ^= g.random >> 7
	g.random ^= g.random << 17
	return g.random
}

// refuse turns datagrams that are refused, where the kernel does not do it, into no events.
func (g *gate) refuse(events []ring.Event) {
	for i := range events {
		ev := &events[i]
		if ev.Kind != ring.Datagram || ev.Tag&upstreamTag != 0 {
			continue
		}
		s := admission.SourceOf(ev.Path)
		at, found := slices.BinarySearchFunc(g.drops, s, func(d sys.SourceDrop, s admission.Source) int {
			return cmp.Or(compareBool(d.V6, s.V6), cmp.Compare(d.First, s.Bits))
		})
		if found && uint32(g.next()>>32) < g.drops[at].Odds {
			ev.Kind = 0
			g.dropped++
		}
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// admit is the part of a turn that is the gate's.
func (w *worker) admit() {
	g := &w.gate
	g.crowded = g.crowded || g.crowd
	idle := !g.crowd && len(g.drops) > 0 && w.now-g.readAt >= int64(idleLook) // too much is refused
	if w.now < g.lookAt && !idle {
		return
	}
	g.lookAt = w.now + int64(admission.LookInterval)
	if idle {
		g.lookAt = w.now + int64(idleLook) // so much is let in now that the next change must not be missed
	}
	busy := g.control != nil && (g.crowded || w.stats.Overloaded != 0)
	if !busy && w.now-g.readAt < int64(gateRest) {
		return
	}
	look, ok := w.readSockets()
	if !ok || g.control == nil {
		return
	}
	changed := g.control.Look(&look, &g.sketch)
	g.crowded = false
	if changed {
		w.enforce()
	}
	w.noteOverload()
}

// noteOverload keeps the gauge, and reports an overload that begins, once its sources are known well, and one that ends.
func (w *worker) noteOverload() {
	g := &w.gate
	over := g.control.Overloaded()
	switch {
	case over && w.stats.Overloaded == 0:
		w.stats.Overloaded, g.since = 1, w.now
	case over && !g.told && w.now-g.since >= int64(overloadKnown) && (len(g.drops) > 0 || g.control.Nobody()):
		w.reportOverload(true)
	case !over:
		w.stats.Overloaded = 0
		if g.told {
			w.reportOverload(false)
		}
	}
}

// readSockets makes a look of what has happened since the last one, and counts what was lost.
func (w *worker) readSockets() (look admission.Look, ok bool) {
	g := &w.gate
	look = admission.Look{Now: w.now, Datagrams: g.taken, Drops: g.dropped, ByHand: g.byHand}
	lost := uint64(0)
	for i := range g.sockets {
		s := &g.sockets[i]
		q, err := sys.ReceiveQueueOf(s.fd)
		if err != nil {
			return look, false // a socket of ours answers, unless a filter of system calls forbids to ask: then nobody is refused anything
		}
		lost += uint64(q.Drops - s.drops)
		s.drops = q.Drops
		look.Queued += uint64(q.Bytes)
		look.Fill = max(look.Fill, float64(q.Bytes)/float64(max(q.Room, 1)))
		if look.Room == 0 || uint64(q.Room) < look.Room {
			look.Room = uint64(q.Room)
		}
	}
	refused := uint64(0)
	if g.filters {
		if refused = lost; look.Fill > nearlyFull { // some found no room
			refused = min(lost, uint64(w.refusing()*float64(w.now-g.readAt)/float64(time.Second)))
		}
	}
	look.Drops += lost
	w.stats.Refused += refused + g.dropped
	w.stats.SocketFull += lost - refused
	g.taken, g.dropped, g.readAt = 0, 0, w.now
	return look, true
}

// refusing returns how many datagrams a second the refusals in force are estimated to stop.
func (w *worker) refusing() float64 {
	sum := 0.0
	for _, r := range w.gate.control.Refused() {
		sum += r.Offered * r.Share
	}
	return sum
}

// enforce puts the controller's refusals in force: in the kernel, or if it does not let us by hand.
func (w *worker) enforce() {
	g := &w.gate
	g.drops = g.control.AppendDrops(g.drops[:0])
	if len(g.drops) == 0 {
		w.openGate()
		return
	}
	w.stats.RefusedSources = uint64(len(g.drops))
	if g.cfg.KernelFilter && g.reason == "" {
		err := g.filter.Set(g.drops)
		for i := 0; i < len(g.sockets) && err == nil; i++ {
			err = g.filter.Attach(g.sockets[i].fd)
			g.filters = true
		}
		if err == nil {
			return
		}
		w.openGate()
		g.reason = err.Error()
		g.drops = g.control.AppendDrops(g.drops)
		w.stats.RefusedSources = uint64(len(g.drops))
	}
	slices.SortFunc(g.drops, func(a, b sys.SourceDrop) int {
		return cmp.Or(compareBool(a.V6, b.V6), cmp.Compare(a.First, b.First))
	})
	g.byHand = true
}

// openGate refuses nobody anything any more.
func (w *worker) openGate() {
	g := &w.gate
	if g.filters {
		for i := range g.sockets {
			_ = sys.DetachFilter(g.sockets[i].fd) // fails only where attaching it failed
		}
	}
	g.filters, g.byHand, g.drops = false, false, g.drops[:0]
	w.stats.RefusedSources = 0
}

// reportOverload leaves a report for whoever writes the log.
func (w *worker) reportOverload(active bool) {
	g := &w.gate
	g.told = active
	o := &Overload{Worker: w.index, Active: active, Kernel: g.filters, Reason: g.reason}
	if g.control != nil {
		o.Offered, o.Capacity = g.control.Offered(), g.control.Capacity()
		refused := g.control.Refused()
		for _, r := range refused[:min(len(refused), overloadSources)] {
			o.Refused = append(o.Refused, RefusedSource{r.Source.Prefix(), r.Offered, r.Share})
		}
	}
	w.overload.Store(o)
}
