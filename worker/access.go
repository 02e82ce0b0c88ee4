package worker

import (
	"fmt"
	"net/netip"
	"slices"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy/acl"
)

// Access says who may ask. The zero value lets everybody ask.
type Access struct {
	Lists  []AccessList // by listener, in the order of Listeners.Addrs
	Silent bool         // those who may not get no answer over UDP, instead of REFUSED
}

// AccessList holds prefixes of clients; the longest that holds a client's address decides, and without one it may not ask.
type AccessList struct {
	Allow, Deny []netip.Prefix
}

// fits makes sure that there is a list for each listener, or none at all.
func (a *Access) fits(listeners int) error {
	if n := len(a.Lists); n != 0 && n != listeners {
		return fmt.Errorf("access lists for %d listeners, %d listeners", n, listeners)
	}
	return nil
}

// compile returns the tables, by listener. Listeners with the same prefixes share one.
func (a *Access) compile() ([]*acl.List, error) {
	var lists []*acl.List
	for i := range a.Lists {
		l := &a.Lists[i]
		same := slices.IndexFunc(a.Lists[:i], func(other AccessList) bool {
			return slices.Equal(other.Allow, l.Allow) && slices.Equal(other.Deny, l.Deny)
		})
		if same >= 0 {
			lists = append(lists, lists[same])
			continue
		}
		list, err := acl.New(l.Allow, l.Deny)
		if err != nil {
			return nil, fmt.Errorf("access to listener %d: %w", i, err)
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// mayAsk reports whether whoever sent a datagram to a listener may; connections have been looked at when they came.
func (w *worker) mayAsk(from *origin) bool {
	return from.tcp || w.active.access[from.listener].Allows(from.path.Addr().Addr())
}

// prohibit treats a query of a client that may not ask. It is answered from its header alone, whatever else is in it.
func (w *worker) prohibit(l *lookup, from *origin) {
	w.stats.Prohibited++
	if w.active.silent {
		w.stats.Drops[DropProhibited]++
		return
	}
	w.client = l.query.Client(wire.ReplyBytesMin)
	w.replyError(from, wire.RCodeRefused, wire.EDEProhibited)
}

// mayConnect reports whether a TCP client may talk to a listener.
func (w *worker) mayConnect(listener uint32, peer netip.Addr) bool {
	return w.active.access == nil || w.active.access[listener].Allows(peer)
}

// closeProhibited ends the connections of clients who may not ask any more.
func (w *worker) closeProhibited() {
	if w.active.access == nil {
		return
	}
	for id := range w.conns.All() {
		if c := w.conns.Conn(id); !w.mayConnect(uint32(c.Listener), c.Peer.Addr().Addr()) {
			w.stats.Streams[StreamProhibited]++
			w.closeStream(id)
		}
	}
}
