package worker

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/worker/inflight"
)

// path is one address of a Do53 upstream as this worker sees it. What all workers know of it is in the endpoint's addresses; that takes a
// lock, so it is told only of changes.
type path struct {
	addr     netip.AddrPort
	silent   int   // exchanges in a row that ended without an answer
	answered bool  // since it was last abandoned
	sweptAt  int64 // ns: when its exchanges were last ended together
}

// errSilent is why an address is abandoned that nothing comes from.
var errSilent = fmt.Errorf("%d queries in a row without an answer", silentMax)

// pathTo returns the path to addr, and forgets those that are neither listed nor used any more.
func (u *upstream) pathTo(addr netip.AddrPort) *path {
	if i := slices.IndexFunc(u.paths, func(p *path) bool { return p.addr == addr }); i >= 0 {
		return u.paths[i]
	}
	listed := u.endpoint.Addresses.Load()
	u.paths = slices.DeleteFunc(u.paths, func(p *path) bool { return !slices.Contains(listed, p.addr) })
	p := &path{addr: addr}
	u.paths = append(u.paths, p)
	return p
}

// nextAddress returns the address that the next socket of u goes to: the good ones take turns; one whose rest is over gets a single socket,
// to be tried. u has an address.
func (w *worker) nextAddress(u *upstream) netip.AddrPort {
	all := u.endpoint.Addresses.Load()
	if len(all) == 1 {
		return all[0]
	}
	good, trial := u.endpoint.AddressSpread(time.Duration(w.now))
	for _, addr := range trial {
		if !slices.ContainsFunc(u.sockets, func(sock uint16) bool { return w.sockets[sock].path.addr == addr }) {
			return addr
		}
	}
	if len(good) > 0 {
		return good[u.opened%len(good)]
	}
	order, _ := u.endpoint.AddressOrder(time.Duration(w.now)) // all rest: the one that has rested longest
	return order[0]
}

// heard is called for an answer that changes what is known of p.
func (p *path) heard(u *upstream) {
	p.silent = 0
	if !p.answered {
		p.answered = true
		u.endpoint.AddressWorked(p.addr)
	}
}

// unanswered is called when an exchange over p has had its time, and reports whether that is the address's fault and not the upstream's:
// another address answers.
func (w *worker) unanswered(u *upstream, p *path) bool {
	if p == nil {
		return false // the socket was closed with the exchange outstanding
	}
	others := u.answersBeside(p)
	if p.silent++; p.silent >= silentMax {
		w.abandon(u, p, errSilent)
	}
	return others
}

// answersBeside reports whether another address of u than p's answers.
func (u *upstream) answersBeside(p *path) bool {
	return slices.ContainsFunc(u.paths, func(other *path) bool { return other != p && other.answered })
}

// abandon replaces the sockets of u to an address that does not answer by some to another one, and reports whether there is one. Without,
// they stay.
func (w *worker) abandon(u *upstream, p *path, reason error) bool {
	p.silent, p.answered = 0, false
	u.endpoint.AddressFailed(p.addr, time.Duration(w.now), reason)
	if good, trial := u.endpoint.AddressSpread(time.Duration(w.now)); len(good)+len(trial) == 0 {
		return false
	}
	u.sockets = slices.DeleteFunc(u.sockets, func(sock uint16) bool {
		gone := w.sockets[sock].path == p
		if gone {
			w.exchanges.Retire(sock, w.now)
		}
		return gone
	})
	w.openSockets(u)
	return len(u.sockets) > 0
}

// move lets an exchange go on from a socket to another address of its upstream, and reports whether there is one. Its query has to be
// transmitted again. No allocation.
func (w *worker) move(slot uint32, s *inflight.Slot, e *inflight.Exchange) bool {
	u, from := w.upstreams[e.Upstream], w.sockets[e.Key>>16].path
	var others [socketsPerUpstream]uint16
	n := 0
	for _, sock := range u.sockets {
		if n < len(others) && w.sockets[sock].path != from {
			others[n] = sock
			n++
		}
	}
	sock, ok := w.exchanges.Choose(others[:n])
	if !ok {
		return false
	}
	id, ok := w.exchanges.Open(sock, slot, s.Gen)
	if !ok {
		return false
	}
	w.exchanges.Close(uint16(e.Key>>16), uint16(e.Key))
	e.Key = uint32(sock)<<16 | uint32(id)
	return true
}
