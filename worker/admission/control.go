package admission

import (
	"math"
	"time"

	"secure-dns-proxy/ring/sys"
)

// Look is what a worker found at its clients' sockets. Counts are since the last look.
type Look struct {
	Now       int64  // ns
	Datagrams uint64 // taken from the sockets
	Drops     uint64 // by the kernel: no room, or refused
	Queued    uint64 // bytes that wait now, in all sockets
	Fill      float64
	ByHand    bool   // the worker itself drops what is refused: it does not become less in the queue
	Room      uint64 // bytes that the smallest socket's queue may have; Fill is the fullest one's share of its own
}

// Controller turns looks into refusals. See the package's documentation for how.
type Controller struct {
	cfg Config

	at      int64 // ns, of the last look; 0: there was none
	queued  float64
	pressed int     // looks in a row in which a queue that was too long grew
	grew    int     // the same since the queue got too long
	net     float64 // by how many datagrams more arrived than were taken since the first of them
	others  int64   // ns, when a source was last seen beside the heaviest
	calmAt  int64   // ns, since when nobody has had to be refused anything
	placed  int64   // ns, when the refusals in force were last changed

	overloaded bool
	nobody     bool    // there is an excess and nobody to blame
	capacity   float64 // datagrams/s
	begun      float64 // the capacity when the overload began
	offered    float64

	refused    []Refusal // in force
	list       []Refusal // scratch
	counts     []Count   // of this look, and what a datagram among them stands for: datagrams/s
	each       float64
	before     []Count // the same of the look before
	eachBefore float64
}

// NewController returns a Controller for a valid configuration.
func NewController(cfg Config) *Controller {
	return &Controller{
		cfg:     cfg,
		refused: make([]Refusal, 0, RefusedMax),
		list:    make([]Refusal, 0, 2*setsPerFamily*ways+RefusedMax),
		counts:  make([]Count, 0, 2*setsPerFamily*ways),
		before:  make([]Count, 0, 2*setsPerFamily*ways),
	}
}

// Overloaded reports whether more arrives, or arrived in the last two seconds, than can be answered.
func (c *Controller) Overloaded() bool { return c.overloaded }

// Nobody reports whether the excess has no heavy sources, so that it is not refused to anybody.
func (c *Controller) Nobody() bool { return c.nobody }

// Capacity returns how many datagrams a second the worker can answer, as far as it is known; it is known while overloaded.
func (c *Controller) Capacity() float64 { return c.capacity }

// Offered returns how many datagrams a second arrive, refused ones included.
func (c *Controller) Offered() float64 { return c.offered }

// Refused returns the refusals in force, the heaviest first, until the next look.
func (c *Controller) Refused() []Refusal { return c.refused }

// AppendDrops appends the ranges of the filter that puts the refusals in force.
func (c *Controller) AppendDrops(drops []sys.SourceDrop) []sys.SourceDrop {
	for _, r := range c.refused {
		drops = append(drops, r.Source.drop(r.Share))
	}
	return drops
}

// Look takes in what was found, and the sources of a sample of the datagrams, which it resets. It reports whether the refusals are others
// than before; they are then to be put in force.
func (c *Controller) Look(l *Look, sketch *Sketch) (changed bool) {
	defer sketch.Reset()
	dt := float64(l.Now-c.at) / float64(time.Second)
	queued := float64(l.Queued) / datagramBytes
	growth := queued - c.queued
	first := c.at == 0 || dt <= 0
	c.at, c.queued = l.Now, queued
	if first {
		return false
	}
	rate := float64(l.Datagrams) / dt
	offered := max(0, rate+(float64(l.Drops)+growth*growthWeight)/dt)
	if c.overloaded && queued > c.goal(l) { // a burst is over, perhaps, and the next one will come; no room is wasted while there is work
		offered = max(offered, c.offered*burstFade)
	}
	c.offered = offered
	c.before, c.counts = c.counts, sketch.AppendCounts(c.before[:0], 1)
	c.eachBefore, c.each = c.each, rate/max(float64(sketch.Total()), 1)
	c.company(sketch.Total())
	excess := float64(l.Drops) + growth
	long := c.isLong(l, rate)
	pressed := long && excess >= 0
	if !c.overloaded {
		if dt > pauseLooks*LookInterval.Seconds() {
			excess = min(excess, 0) // the worker stood still: what came meanwhile is not held against those who sent it
		}
		c.begin(long, excess, rate)
	}
	if !c.overloaded {
		return false
	}
	c.learn(rate, queued, dt)
	if l.ByHand {
		c.capacity = max(c.capacity, c.begun)
	}
	// What is taken was let in by the shares of then, so the longer the queue the less is learnt from it at a time.
	trust := min(0.5, dt*c.capacity/(3*queued+1))
	c.gather(rate, trust, sketch)
	wanted, nobody := share(c.list, c.offered, c.admissible(l, queued), c.capacity)
	c.nobody = nobody
	if len(wanted) > 0 || pressed {
		c.calmAt = l.Now
	}
	if l.Now-c.calmAt > int64(hold) {
		c.overloaded, c.pressed, c.grew, c.net = false, 0, 0, 0
	}
	return c.place(wanted)
}

// company notes whether the heaviest source is alone.
func (c *Controller) company(samples uint64) {
	most := uint32(0)
	for _, s := range c.counts {
		most = max(most, s.Seen)
	}
	if uint64(most) < samples {
		c.others = c.at
	}
}

// isLong reports whether the queue is too long.
func (c *Controller) isLong(l *Look, rate float64) bool {
	if l.Drops > 0 && len(c.refused) == 0 {
		return true
	}
	if c.others == 0 || l.Now-c.others > int64(aloneFor) {
		return false
	}
	return l.Fill > fullShare || c.queued > rate*beginFactor*c.cfg.Target.Seconds()
}

// begin starts an overload once the queue has been too long, and grew, in enough looks: in a row, or, as a flood may come in bursts, with others
// between them, if much more arrived than was taken in all of them together. excess is by how many datagrams more arrived than were taken since the
// last look.
func (c *Controller) begin(long bool, excess, rate float64) {
	if !long {
		c.pressed, c.grew, c.net = 0, 0, 0
		return
	}
	if c.grew > 0 {
		c.net += excess
	}
	if excess < 0 {
		c.pressed = 0
		return
	}
	c.pressed, c.grew = c.pressed+1, c.grew+1
	if c.pressed >= pressedLooks || c.grew >= pressedLooks && c.net >= rate*LookInterval.Seconds() {
		c.overloaded, c.capacity, c.begun, c.calmAt = true, rate, rate, c.at
	}
}

// learn keeps capacity true: what was taken while something waited all along. While nothing waits although sources are refused something,
// there is more of it.
func (c *Controller) learn(rate, queued, dt float64) {
	switch {
	case queued >= 32: // a batch or more
		c.capacity += (rate - c.capacity) * min(dt/learnTime.Seconds(), 1)
	case len(c.refused) > 0:
		c.capacity = max(rate, c.capacity*(1+findPace*min(dt, 1)))
	default:
		c.capacity = max(rate, c.capacity)
	}
}

// admissible returns how many datagrams a second may be let in: the capacity, corrected by what the queue is off its goal.
func (c *Controller) admissible(l *Look, queued float64) float64 {
	correction := (c.goal(l) - queued) / (c.capacity*max(horizon, 2*pauseFor(len(c.refused))).Seconds() + 1)
	least := -correctionMost
	if l.ByHand {
		least = -correctionByHand
	}
	return c.capacity * (1 + min(max(correction, least), 0.1))
}

// goal is how many datagrams may wait.
func (c *Controller) goal(l *Look) float64 {
	return min(c.capacity*c.cfg.Target.Seconds(), float64(l.Room)*goalShare/datagramBytes)
}

// gather fills c.list with what every source offers that may be refused something. What a source offers is what was taken of
// it over the share that was let in. Their sum is known better: what was dropped and queued as well as taken. So it is divided among those that were refused something in the proportion of such estimates, or, as long as nobody was, among all in
// the proportion of what was taken.
func (c *Controller) gather(rate, trust float64, sketch *Sketch) {
	each := c.each
	rest, estimates, before := rate, 0.0, 0.0
	for i := range c.refused {
		r := &c.refused[i]
		taken := float64(sketch.Seen(r.Source)) * each
		rest -= taken
		estimates += taken / (1 - r.Share)
		before += r.Offered
	}
	others := 1.0
	if len(c.refused) == 0 && rate > 0 {
		others = c.offered / rate
	}
	refused := max(0, c.offered-max(rest, 0)*others) // what those that are refused something offer
	c.list = c.list[:0]
	for i := range c.refused {
		r := &c.refused[i]
		now, last := float64(sketch.Seen(r.Source))*each/(1-r.Share), r.Offered
		if estimates > 0 {
			now *= refused / estimates
		}
		if before > 0 {
			last *= refused / before
		}
		c.list = append(c.list, Refusal{Source: r.Source, Offered: last + (now-last)*trust})
	}
	known := len(c.list)
	for _, s := range c.counts {
		least := c.capacity * fairMin
		offered := surely(s.Seen, each) * others
		if offered < least || listedIn(c.list[:known], s.Source) || c.cfg.Exempts(s.Source) {
			continue
		}
		// A light source may send a few at once: only what was there at the look before, too, counts.
		if offered = min(offered, c.seenBefore(s.Source)*others); offered >= least {
			c.list = append(c.list, Refusal{Source: s.Source, Offered: offered})
		}
	}
}

// seenBefore returns how many datagrams/s of a source were surely taken until the look before.
func (c *Controller) seenBefore(source Source) float64 {
	for _, s := range c.before {
		if s.Source == source {
			return surely(s.Seen, c.eachBefore)
		}
	}
	return 0
}

// surely is a rate rather below that which so many datagrams, for each so much, make probable: they come at random.
func surely(seen uint32, each float64) float64 {
	n := float64(seen)
	return (n - math.Sqrt(n)) * each
}

func listedIn(list []Refusal, s Source) bool {
	for i := range list {
		if list[i].Source == s {
			return true
		}
	}
	return false
}

// place puts wanted in place of the refusals in force where that makes a difference. A long list is not changed at every look.
func (c *Controller) place(wanted []Refusal) bool {
	same := len(wanted) == len(c.refused)
	for i := range wanted {
		if !same {
			break
		}
		same = listedWith(c.refused, wanted[i])
	}
	if same || len(wanted) > 0 && c.at-c.placed < int64(pauseFor(len(wanted))) {
		for _, w := range wanted { // the estimates are kept all the same
			for i := range c.refused {
				if c.refused[i].Source == w.Source {
					c.refused[i].Offered = w.Offered
				}
			}
		}
		return false
	}
	c.refused = append(c.refused[:0], wanted...)
	c.placed = c.at
	return true
}

// pauseFor is the least time between two filters with so many sources.
func pauseFor(sources int) time.Duration { return time.Duration(sources/attachGrain) * LookInterval }

// listedWith reports whether list has the source of w with about the same share.
func listedWith(list []Refusal, w Refusal) bool {
	for i := range list {
		if list[i].Source == w.Source {
			return math.Abs(list[i].Share-w.Share) < oddsGrain*(1-w.Share)
		}
	}
	return false
}
