package admission

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// MissLook is what a worker knows of its questions to upstreams. Counts are since the last look.
type MissLook struct {
	Now        int64   // ns
	Ended      uint64  // questions that were answered
	Quickest   int64   // ns: of the exchanges that ended with an answer, the shortest; 0: none has
	Limited    uint64  // that no upstream had room for, or no slot was free for
	Occupancy  float64 // of the table of questions under way, 0 to 1
	Overloaded bool    // more datagrams arrive than the worker can receive
}

// Misses decides which questions are not asked at all while more come than upstreams, or the worker, can deal with. It is told of every question
// that would be asked (Admit), counts them by source and by zone in two sketches, and once in MissInterval says who has to be content with how
// much: as in Controller by max-min fairness, in each dimension, so that light sources and zones lose nothing. A flood of random names
// below one zone is heavy as a zone, however many sources it comes from. Where neither accounts for the excess, as with random names of random
// zones from forged addresses, it is shed of the questions whose senders have not proven where they are: those who have lose nothing.
//
// How much is let in follows from what is answered: nine tenths of that when there is no room, less until no queue stands at the upstreams, then
// slowly more, and fast as soon as more than ever since goes through.
type Misses struct {
	sources, zones dimension
	random         uint64
	unproven       uint64  // questions since the last look whose senders have proven nothing
	unknown        uint64  // of those, of neither a heavy source nor a heavy zone
	doubt          uint32  // odds of those of being shed, in 2^-32
	doubted        bool    // there was doubt lately
	quota          float64 // questions since the last look by which somebody is heavy who was not then

	at       int64 // ns, of the last look; 0: there was none
	pressed  int   // looks in a row
	lastFull int64 // ns: of the last look that was pressed
	lack     lack
	paused   int64 // ns: of the last look after a pause of the worker, whose clients' queries then came at once
	shedding bool
	calmAt   int64   // ns, since when there has been nothing to shed
	answered float64 // questions/s
	admitted float64 // questions/s that are let in, while shedding
	ceiling  float64 // the rate at which there was no room last
	probeAt  int64   // ns: when more than that is tried
	pace     float64 // by how many times more a second
	outage   outage
	queue    queue
	stood    bool   // a queue did, at the last look
	drainEnd int64  // ns: until when less is let in if a queue stands
	offered  uint64 // since the last look
	let      uint64 // since the last look: that may be asked
}

// dimension is one way to tell questions apart.
type dimension struct {
	sketch Sketch
	heavy  []weight // sorted by key
	alert  bool     // some were heavy lately: others may be from now on
	counts []Count  // scratch
}

// weight is a source or zone that has to be content with less.
type weight struct {
	key  Source
	odds uint32 // of being shed, in 2^-32
	seen uint32
}

// NewMisses returns one whose sketches cannot be predicted.
func NewMisses(seed uint64) *Misses {
	m := &Misses{random: seed | 1}
	for _, d := range []*dimension{&m.sources, &m.zones} {
		d.sketch.Seed(m.next())
		d.heavy = make([]weight, 0, heavyMax)
		d.counts = make([]Count, 0, 2*setsPerFamily*ways)
	}
	return m
}

// next is xorshift64.
func (m *Misses) next() uint64 {
	m.random ^= m.random << 13
	m.random ^= m.random >> 7
	m.random ^= m.random << 17
	return m.random
}

// Shedding reports whether some questions are not asked.
func (m *Misses) Shedding() bool { return m.shedding }

// Admit counts a question and reports whether it may be asked. zone is a keyed hash of ZoneOf of its name; proven says that its sender receives
// what is sent to source: it has a DNS cookie, or came over TCP.
func (m *Misses) Admit(source Source, zone uint64, proven bool) bool {
	m.offered++
	if !proven {
		m.unproven++
	}
	z := Source{Bits: zone >> 1, V6: zone&1 == 1} // both halves of the sketch
	bySource, byZone := m.sources.sketch.Add(source), m.zones.sketch.Add(z)
	if m.shedding && (m.sheds(max(m.sources.odds(source, bySource, m.quota), m.zones.odds(z, byZone, m.quota))) || !proven && m.doubts()) {
		return false
	}
	m.let++
	return true
}

// sheds draws for a question.
func (m *Misses) sheds(odds uint32) bool { return odds != 0 && uint32(m.next()>>32) < odds }

// doubts draws for a question whose sender has proven nothing.
func (m *Misses) doubts() bool {
	m.unknown++
	return m.sheds(m.doubt) || m.doubted && m.doubt == 0 && float64(m.unknown) > m.quota
}

// Heavy is a source, or a zone, of which some questions are shed.
type Heavy struct {
	Source Source
	Zone   uint64 // the hash that Admit was given
	IsZone bool
	Seen   uint32 // questions in the last interval
	Share  float64
}

// AppendHeavy appends all that some is shed of.
func (m *Misses) AppendHeavy(list []Heavy) []Heavy {
	for _, h := range m.sources.heavy {
		list = append(list, Heavy{Source: h.key, Seen: h.seen, Share: float64(h.odds) / (1 << 32)})
	}
	for _, h := range m.zones.heavy {
		zone := h.key.Bits << 1
		if h.key.V6 {
			zone |= 1
		}
		list = append(list, Heavy{Zone: zone, IsZone: true, Seen: h.seen, Share: float64(h.odds) / (1 << 32)})
	}
	return list
}

// Rates returns how many questions a second are answered, and how many are let in.
func (m *Misses) Rates() (answered, admitted float64) { return m.answered, m.admitted }

// odds returns the odds of being shed of one who has asked so much since the last look. Who is not listed may have begun since, and who is may ask more
// than when its odds were found.
func (d *dimension) odds(key Source, asked uint32, quota float64) uint32 {
	at, found := slices.BinarySearchFunc(d.heavy, key, func(w weight, key Source) int { return compareSources(w.key, key) })
	switch {
	case found && float64(asked) <= loose(float64(d.heavy[at].seen)):
		return d.heavy[at].odds
	case found, d.alert && float64(asked) > quota:
		return math.MaxUint32
	}
	return 0
}

// loose returns a number that what comes at random, n on average, hardly ever exceeds.
func loose(n float64) float64 { return n + 3*math.Sqrt(n) + 1 }

func compareSources(a, b Source) int {
	if a.V6 != b.V6 {
		if a.V6 {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.Bits, b.Bits)
}

// Look takes in what has happened. Call it every MissInterval while questions come, and now and then while shedding.
func (m *Misses) Look(l *MissLook) {
	defer func() { m.offered, m.let, m.unproven, m.unknown = 0, 0, 0, 0 }()
	defer m.sources.sketch.Reset()
	defer m.zones.sketch.Reset()
	dt := float64(l.Now-m.at) / float64(time.Second)
	first := m.at == 0 || dt <= 0 || dt > missStale.Seconds()
	m.at = l.Now
	if first {
		m.pressed, m.lastFull, m.lack = 0, 0, lack{}
		return
	}
	offered := float64(m.offered) / dt
	rate := float64(l.Ended) / dt
	returning, over := m.outage.see(l.Now, m.answered, rate)
	m.answered += (rate - m.answered) * min(1, dt/missLearn.Seconds())
	pressed := float64(l.Limited) > float64(l.Ended)*lackMost || l.Occupancy > occupancyMost || l.Overloaded
	queued := m.queue.stands(l.Now, l.Quickest)
	if !m.shedding {
		m.begin(l, pressed, offered, dt)
	}
	if !m.shedding {
		return
	}
	if over {
		m.ceiling, m.probeAt, m.pace, m.drainEnd = max(m.answered, rate), l.Now, leap, l.Now
	}
	if returning && !l.Overloaded {
		m.forget() // what was shed while nothing was answered is to be asked again
		m.regain(pressed, rate, dt)
	} else {
		m.steer(l, pressed, queued, rate, dt)
	}
	heavy := m.weigh(offered, dt)
	m.quota = max(loose(m.admitted*MissInterval.Seconds()), quotaLeast)
	if heavy || pressed {
		m.calmAt = l.Now
	}
	if l.Now-m.calmAt > int64(hold) {
		m.shedding, m.pressed, m.lack = false, 0, lack{}
		m.forget()
	}
}

// forget sheds nothing of anybody any more.
func (m *Misses) forget() {
	m.sources.forget()
	m.zones.forget()
	m.doubt, m.doubted = 0, false
}

// lack is how many questions found no room lately, and how many were answered; what is long past counts little.
type lack struct{ limited, ended float64 }

func (k *lack) see(limited, ended uint64, fading float64) {
	k.limited, k.ended = k.limited*fading+float64(limited), k.ended*fading+float64(ended)
}

func (k *lack) isMuch() bool { return k.limited > (k.limited+k.ended)*lackInBursts }

// begin starts to shed when there has been no room for long enough, as one burst is no overload (CoDel's interval, RFC 8289): in so many looks in a row, or
// again and again for a good part of what was asked. A table that is half full shows only in the former: what fills it stays for longer than a look.
func (m *Misses) begin(l *MissLook, pressed bool, offered, dt float64) {
	m.lack.see(l.Limited, l.Ended, math.Pow(lackFade, dt/MissInterval.Seconds()))
	if dt > pauseLooks*MissInterval.Seconds() {
		m.paused = l.Now
	}
	if !pressed {
		m.pressed = 0
		return
	}
	again := m.lastFull != 0 && l.Now-m.lastFull < int64(hold) && m.lack.isMuch() && l.Now-m.paused > int64(pauseLooks*MissInterval)
	m.lastFull = l.Now
	if m.pressed++; m.pressed >= missPressedLooks || again {
		m.shedding, m.calmAt = true, m.at
		m.admitted = offered
	}
}

// steer decides how much is let in: nine tenths of what can be done when there was no room, so that the queue at the upstreams goes, soon nearly
// all of it, and after a rest more and more to find out whether there is more room by now.
func (m *Misses) steer(l *MissLook, pressed, queued bool, rate, dt float64) {
	known := max(m.admitted, m.answered)
	resting := l.Now < m.probeAt
	switch {
	case l.Overloaded:
		m.admitted *= backOff
	case pressed:
		m.full(l.Now, rate) // answers come late: at first this is too little
		off := backOff
		if float64(l.Limited) > float64(m.let)*farLeast {
			off = farOff
		}
		m.admitted = max(m.admitted*off, m.ceiling*drainMost)
	case queued && (!resting || l.Now < m.drainEnd || !m.stood):
		if !resting {
			m.full(l.Now, rate)
		} else if !m.stood {
			m.drainEnd = l.Now + int64(drainLongest)
		}
		m.admitted = m.ceiling * drainMost
	case resting:
		m.ceiling = max(m.ceiling, m.answered)
		m.admitted = max(m.admitted, min(known+m.ceiling*creep*dt, m.ceiling*nearly))
	default:
		m.admitted = known * (1 + m.pace*dt)
		m.pace = min(m.pace*(1+dt), leap)
	}
	m.admitted, m.stood = max(m.admitted, leastAdmitted), queued
}

// regain decides the same while upstreams come back from an outage.
func (m *Misses) regain(pressed bool, rate, dt float64) {
	if pressed {
		m.admitted = max(m.admitted*backOff, rate)
	} else {
		m.admitted = max(m.admitted, rate) * (1 + dt*returnPace)
	}
	m.admitted = max(min(m.admitted, m.outage.before), rate, leastAdmitted)
}

// full takes in that upstreams can do no more than now.
func (m *Misses) full(now int64, rate float64) {
	m.ceiling = max(m.answered, rate)
	m.probeAt, m.pace, m.drainEnd = now+int64(probeRest), creep, now+int64(drainLongest)
}

// weigh finds out who has to be content with how much, and reports whether anybody has. The dimension that has more to account for comes first,
// and what it sheds is no longer the other one's. Where neither has much to account for, all who have proven nothing are doubted. While that is not
// long ago others may begin at any time, as a flood may come in pulses, or from one zone after the other: who then asks more than all may is heavy.
func (m *Misses) weigh(offered, dt float64) bool {
	excess, total := (offered-m.admitted)*dt, float64(m.offered)
	first, second := &m.sources, &m.zones
	if first.blame(total) < second.blame(total) {
		first, second = second, first
	}
	shed := first.weigh(excess, total)
	if rest := excess - shed; shed > 0 && rest < 1 {
		second.forget()
	} else {
		shed += second.weigh(rest, total)
	}
	m.doubt = 0
	if excess > 0 {
		m.doubted = shed < excess*blameLeast && m.unproven > 0
	}
	if excess > 0 && m.doubted {
		m.doubt = uint32(min((excess-shed)/float64(m.unproven), refusedMost) * (1 << 32))
	}
	return shed > 0 || m.doubt > 0
}

// forget lists nobody any more.
func (d *dimension) forget() { d.heavy, d.alert = d.heavy[:0], false }

// blame lists who is heavy and returns how much they ask beyond what is light.
func (d *dimension) blame(total float64) float64 {
	light := total * heavyLeast
	d.counts = d.sketch.AppendCounts(d.counts[:0], uint32(max(2, light)))
	slices.SortFunc(d.counts, func(a, b Count) int { return cmp.Compare(b.Seen, a.Seen) })
	d.counts = d.counts[:min(len(d.counts), heavyMax)]
	sum := 0.0
	for _, c := range d.counts {
		sum += float64(c.Seen) - light
	}
	return sum
}

// weigh levels those that blame has listed down until the excess is shed, or they are light, and returns how much that is. Where they do not
// account for a good part of the excess, nobody is to blame.
func (d *dimension) weigh(excess, total float64) (shed float64) {
	d.heavy = d.heavy[:0]
	sum, level, n := 0.0, 0.0, 0
	for n < len(d.counts) && surely(d.counts[n].Seen, 1) > level {
		sum += float64(d.counts[n].Seen)
		n++
		level = (sum - excess) / float64(n)
	}
	level = max(level, total*heavyLeast)
	if shed = sum - float64(n)*level; excess <= 0 || shed < excess*blameLeast {
		return 0
	}
	for _, c := range d.counts[:n] {
		if share := 1 - level/float64(c.Seen); share > 0 {
			d.heavy = append(d.heavy, weight{c.Source, uint32(min(share, refusedMost) * (1 << 32)), c.Seen})
		}
	}
	slices.SortFunc(d.heavy, func(a, b weight) int { return compareSources(a.key, b.key) })
	d.alert = true
	return shed
}

// ZoneOf returns the end of a name, in wire form and lower case, that one owner is likely to answer for: two labels; three where the second one
// looks like a category of a country (co.uk, com.au); four below arpa. A guess, where a list of all such suffixes would cost as much as the
// rest of a miss: names that it throws together share a fate only while there is no room.
func ZoneOf(name []byte) []byte {
	var starts [128]uint8
	labels := 0
	for at := 0; at < len(name) && name[at] != 0 && labels < len(starts); at += 1 + int(name[at]) {
		starts[labels] = uint8(at)
		labels++
	}
	if labels <= 2 {
		return name
	}
	top, second := name[starts[labels-1]], name[starts[labels-2]]
	depth := 2
	switch {
	case string(name[starts[labels-1]:]) == arpa:
		depth = 4
	case top == 2 && second <= 3:
		depth = 3
	}
	return name[starts[max(0, labels-depth)]:]
}

const arpa = "\x04arpa\x00"
