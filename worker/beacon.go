package worker

import (
	"maps"
	"sync"
	"sync/atomic"

	"secure-dns-proxy/transport/wire"
)

// BeaconType is the type that beacons are asked for: hardly anybody asks for it, so that it costs other queries one comparison.
const BeaconType = wire.TypeHINFO

// Beacons are names that upstreams are asked for to see whether the question comes back to this proxy: then they forward to it, in whatever way.
// Nobody can guess them, so nobody but that upstream, or somebody on the way, can make believe that one has come back.
type Beacons struct {
	mu  sync.Mutex // of Light and Douse
	lit atomic.Pointer[map[string]*Beacon]
}

// Beacon is one such name.
type Beacon struct {
	name     string
	returned atomic.Bool
}

// Returned reports whether the question has come back.
func (b *Beacon) Returned() bool { return b.returned.Load() }

// Light makes workers look for name, in wire form and lower case, from now on.
func (b *Beacons) Light(name []byte) *Beacon {
	beacon := &Beacon{name: string(name)}
	b.change(func(lit map[string]*Beacon) { lit[beacon.name] = beacon })
	return beacon
}

// Douse ends that.
func (b *Beacons) Douse(beacon *Beacon) {
	b.change(func(lit map[string]*Beacon) { delete(lit, beacon.name) })
}

// change replaces the map, which workers may be reading.
func (b *Beacons) change(edit func(map[string]*Beacon)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := map[string]*Beacon{}
	if now := b.lit.Load(); now != nil {
		maps.Copy(next, *now)
	}
	edit(next)
	b.lit.Store(&next)
}

// seen notes that name has been asked for here, and reports whether it is a beacon. Any goroutine; it takes no lock.
func (b *Beacons) seen(name []byte) bool {
	lit := b.lit.Load()
	if lit == nil {
		return false
	}
	beacon := (*lit)[string(name)]
	if beacon == nil {
		return false
	}
	beacon.returned.Store(true)
	return true
}

// returned refuses a query of our own that has come back, so that it goes round no further, and reports whether it is one.
func (w *worker) returned(l *lookup, from *origin) bool {
	if w.cfg.Beacons == nil || l.query.Class != wire.ClassINET || !w.cfg.Beacons.seen(l.name()) {
		return false
	}
	w.stats.Returned++
	w.replyError(from, wire.RCodeRefused, wire.ReasonLoop)
	return true
}
