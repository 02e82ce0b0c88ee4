package transport

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Addresses is the list of addresses of an endpoint, replaced as a whole by whoever resolves its name, and what is known of each: whether
// it failed lately. It is shared by all workers and by the goroutines that own connections. The zero value is empty.
//
// UDP and TCP of one endpoint share the list but not the knowledge: a server that refuses TCP may answer over UDP.
type Addresses struct {
	list atomic.Pointer[[]netip.AddrPort]

	mu     sync.Mutex // guards the rest; never taken for a query, only when connections or sockets come and go
	marks  map[path]mark
	worked map[Scheme]netip.AddrPort // the address that was last connected to, or answered; absent once it failed
}

// path is one way to an upstream.
type path struct {
	address netip.AddrPort
	scheme  Scheme
}

// mark is what is held against a path.
type mark struct {
	failures int           // since it last answered
	until    time.Duration // since Base: at the back of the order before
	reason   error         // of the last failure
}

// NewAddresses returns a list that holds a copy of addresses.
func NewAddresses(addresses ...netip.AddrPort) *Addresses {
	a := new(Addresses)
	a.Store(addresses)
	return a
}

// Load returns the current list, in the order in which it was given. It is shared: do not modify it.
func (a *Addresses) Load() []netip.AddrPort {
	if list := a.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Store replaces the list with a copy of addresses. Open connections stay; the next dial uses the new list. What is known of addresses
// that are no longer listed is forgotten.
func (a *Addresses) Store(addresses []netip.AddrPort) {
	list := slices.Clone(addresses)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list.Store(&list)
	for p := range a.marks {
		if !slices.Contains(list, p.address) {
			delete(a.marks, p)
		}
	}
	for scheme, address := range a.worked {
		if !slices.Contains(list, address) {
			delete(a.worked, scheme)
		}
	}
}

// AddressFailed records that an address of e did not connect, or that a connection to it or a socket for it went silent or was lost. It
// is at the back of the order until a rest is over that doubles with each further failure.
func (e *Endpoint) AddressFailed(address netip.AddrPort, now time.Duration, reason error) {
	a, p := e.Addresses, path{address, e.Scheme}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.Load(), address) {
		return // replaced meanwhile
	}
	if a.marks == nil {
		a.marks = map[path]mark{}
	}
	m := a.marks[p]
	if m.failures > 0 && now < m.until {
		return // the lanes of several workers fail together: that is one failure
	}
	rest := addressRestMax
	if m.failures < 8 { // 1 s << 6 is over a minute already
		rest = min(addressRestFirst<<m.failures, addressRestMax)
	}
	a.marks[p] = mark{m.failures + 1, now + rest, reason}
	if a.worked[e.Scheme] == address {
		delete(a.worked, e.Scheme)
	}
}

// AddressWorked records that an address of e answered: nothing is held against it any more, and it comes first in the order.
func (e *Endpoint) AddressWorked(address netip.AddrPort) {
	a := e.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.marks, path{address, e.Scheme})
	e.prefer(address)
}

// addressConnected records a handshake that succeeded. It is first in the order until something better or worse is known; its failures are
// forgiven only when it answers, or a server that takes connections and says nothing would never rest for long.
func (e *Endpoint) addressConnected(address netip.AddrPort) {
	e.Addresses.mu.Lock()
	defer e.Addresses.mu.Unlock()
	e.prefer(address)
}

// prefer puts address first in the order. mu is held.
func (e *Endpoint) prefer(address netip.AddrPort) {
	a := e.Addresses
	if !slices.Contains(a.Load(), address) {
		return
	}
	if a.worked == nil {
		a.worked = map[Scheme]netip.AddrPort{}
	}
	a.worked[e.Scheme] = address
}

// AddressOrder returns the addresses of e in the order in which to connect to them (RFC 8305 §4): the one that worked last; then the
// families in turn, IPv6 first unless IPv4First, each in the order of the list; last those that rest after a failure, the one whose rest
// ends first in front. usable is how many of them do not rest. The slice is the caller's.
func (e *Endpoint) AddressOrder(now time.Duration) (order []netip.AddrPort, usable int) {
	a := e.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.Load()
	order = make([]netip.AddrPort, 0, len(list))
	var first, second, resting []netip.AddrPort
	until := func(address netip.AddrPort) time.Duration { return a.marks[path{address, e.Scheme}].until }
	rests := func(address netip.AddrPort) bool {
		return a.marks[path{address, e.Scheme}].failures > 0 && now < until(address)
	}
	worked, known := a.worked[e.Scheme]
	sixFirst := !e.IPv4First
	if known && !rests(worked) {
		order = append(order, worked)
		sixFirst = worked.Addr().Is4()
	}
	for _, address := range list {
		switch {
		case rests(address):
			resting = append(resting, address)
		case slices.Contains(order, address):
		case address.Addr().Is6() == sixFirst:
			first = append(first, address)
		default:
			second = append(second, address)
		}
	}
	for i := range max(len(first), len(second)) {
		order = append(order, first[min(i, len(first)):min(i+1, len(first))]...)
		order = append(order, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	usable = len(order)
	slices.SortStableFunc(resting, func(x, y netip.AddrPort) int { return cmp.Compare(until(x), until(y)) })
	return append(order, resting...), usable
}

// AddressSpread sorts the addresses of e for somebody who uses all that work at once. good are those against which no failure is held; on
// trial are those whose rest is over. Both are the caller's.
func (e *Endpoint) AddressSpread(now time.Duration) (good, trial []netip.AddrPort) {
	a := e.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, address := range a.Load() {
		switch m := a.marks[path{address, e.Scheme}]; {
		case m.failures == 0:
			good = append(good, address)
		case now >= m.until:
			trial = append(trial, address)
		}
	}
	return good, trial
}

// AddressTroubles returns, if e has several addresses, those that a failure is held against, each with the reason. The map is the caller's;
// nil: none.
func (e *Endpoint) AddressTroubles() (troubles map[netip.AddrPort]error) {
	a := e.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.Load()) < 2 {
		return nil
	}
	for p, m := range a.marks {
		if p.scheme == e.Scheme {
			if troubles == nil {
				troubles = map[netip.AddrPort]error{}
			}
			troubles[p.address] = m.reason
		}
	}
	return troubles
}

// AddressHealth returns how many addresses of e are known, and against how many of them no failure is held.
func (e *Endpoint) AddressHealth() (known, healthy int) {
	a := e.Addresses
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, address := range a.Load() {
		known++
		if a.marks[path{address, e.Scheme}].failures == 0 {
			healthy++
		}
	}
	return known, healthy
}
