package lanetest

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// Relay is a path between a client and a server over UDP, as a NAT is one: each client has a port of the relay's towards the server. A test
// can watch it, and make it forget, move or lose flows.
type Relay struct {
	Addr netip.AddrPort // what clients take for the server

	t      testing.TB
	front  *net.UDPConn
	server netip.AddrPort
	group  sync.WaitGroup

	mu    sync.Mutex
	flows map[netip.AddrPort]*flow
	watch func(datagram []byte)
	lose  func(datagram []byte) bool
}

// Watch shows see every datagram from a client before the server gets it.
func (r *Relay) Watch(see func(datagram []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = see
}

// Lose shows choose every datagram from the server before the client gets it, which it does not if choose returns true.
func (r *Relay) Lose(choose func(datagram []byte) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose = choose
}

// hooks returns what Watch and Lose have set.
func (r *Relay) hooks() (func(datagram []byte), func(datagram []byte) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watch, r.lose
}

// flow is one client's.
type flow struct {
	client netip.AddrPort
	back   *net.UDPConn
	cut    atomic.Bool
}

// NewRelay starts a relay to server, which ends with the test.
func NewRelay(t testing.TB, server netip.AddrPort) *Relay {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{t: t, front: front, server: server, flows: map[netip.AddrPort]*flow{}, Addr: front.LocalAddr().(*net.UDPAddr).AddrPort()}
	r.group.Go(r.forward)
	t.Cleanup(func() {
		front.Close()
		r.mu.Lock()
		for _, f := range r.flows {
			f.back.Close()
		}
		r.mu.Unlock()
		r.group.Wait()
	})
	return r
}

// forward carries what clients send.
func (r *Relay) forward() {
	buf := make([]byte, 1<<16)
	for {
		n, client, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if f := r.flow(client); f != nil && !f.cut.Load() {
			if watch, _ := r.hooks(); watch != nil {
				watch(buf[:n])
			}
			r.mu.Lock()
			back := f.back
			r.mu.Unlock()
			_, _ = back.Write(buf[:n]) // a server that is gone is none of the path's business
		}
	}
}

// flow returns the flow of a client, new if need be; nil when the relay is being closed.
func (r *Relay) flow(client netip.AddrPort) *flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[client]; f != nil {
		return f
	}
	f := &flow{client: client}
	if !r.open(f) {
		return nil
	}
	r.flows[client] = f
	return f
}

// open gives f a port towards the server, and carries what comes back to it. mu is held.
func (r *Relay) open(f *flow) bool {
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return false
	}
	f.back = back
	r.group.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := back.Read(buf)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err == nil && !f.cut.Load():
				if _, lose := r.hooks(); lose != nil && lose(buf[:n]) {
					continue
				}
				_, _ = r.front.WriteToUDPAddrPort(buf[:n], f.client)
			}
		}
	})
	return true
}

// Cut loses everything that the clients known so far send or are sent, from now on. New ones are served.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		f.cut.Store(true)
	}
}

// Mend undoes Cut.
func (r *Relay) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		f.cut.Store(false)
	}
}

// Move gives every client another port towards the server, as a NAT does that was restarted.
func (r *Relay) Move() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		f.back.Close()
		if !r.open(f) {
			r.t.Errorf("relay: no other port")
		}
	}
}

// Clients returns how many ports clients have used so far.
func (r *Relay) Clients() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flows)
}
