package rig

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// Flood sends the same query from several addresses as fast as it can, and reads nothing.
type Flood struct {
	sent atomic.Int64
	stop chan struct{}
	all  sync.WaitGroup
}

// StartFlood begins; the flood ends with the test at the latest.
func StartFlood(tb testing.TB, server netip.AddrPort, name string, sources ...netip.Addr) *Flood {
	tb.Helper()
	packed, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
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
			for {
				select {
				case <-f.stop:
					return
				default:
				}
				if _, err := socket.Write(packed); err == nil {
					f.sent.Add(1)
				}
			}
		})
	}
	tb.Cleanup(func() { f.Stop() })
	return f
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
