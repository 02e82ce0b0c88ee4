package rig

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Flood sends the same query from several addresses, and reads nothing.
type Flood struct {
	sent atomic.Int64
	stop chan struct{}
	all  sync.WaitGroup
}

// StartFlood begins to send queries for a name as fast as it can; the flood ends with the test at the latest.
func StartFlood(tb testing.TB, server netip.AddrPort, name string, sources ...netip.Addr) *Flood {
	tb.Helper()
	return StartFloodOf(tb, server, new(dns.Msg).SetQuestion(name, dns.TypeA), 0, sources...)
}

// StartFloodOf sends a query so often a second from each source; 0: as fast as it can.
func StartFloodOf(tb testing.TB, server netip.AddrPort, query *dns.Msg, perSecond int, sources ...netip.Addr) *Flood {
	tb.Helper()
	packed, err := query.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	f := &Flood{stop: make(chan struct{})}
	for _, source := range sources {
		socket, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), net.UDPAddrFromAddrPort(server))
		if err != nil {
			tb.Fatal(err)
		}
		f.all.Go(func() {
			defer socket.Close()
			f.send(socket, packed, perSecond)
		})
	}
	tb.Cleanup(func() { f.Stop() })
	return f
}

// floodGrain is how often a flood of a given rate looks at the clock.
const floodGrain = 5 * time.Millisecond

func (f *Flood) send(socket *net.UDPConn, packed []byte, perSecond int) {
	began := time.Now()
	for n := 0; ; n++ {
		for perSecond != 0 && time.Duration(n)*time.Second/time.Duration(perSecond) > time.Since(began) && !f.stopped() {
			time.Sleep(floodGrain)
		}
		if f.stopped() {
			return
		}
		if _, err := socket.Write(packed); err == nil {
			f.sent.Add(1)
		}
	}
}

func (f *Flood) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// Stop ends the flood and returns how many queries were sent.
func (f *Flood) Stop() int64 {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.all.Wait()
	return f.sent.Load()
}

// Sent is how many queries were sent so far.
func (f *Flood) Sent() int64 { return f.sent.Load() }
