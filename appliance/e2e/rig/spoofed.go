package rig

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// StartSpoofed begins to send queries at a rate, each for a name and from an address below 127.0.0.0/8 that next says for the nth: one socket that
// names another source in each message, as somebody who forges addresses does. What comes back to it is not read.
func StartSpoofed(tb testing.TB, server netip.AddrPort, perSecond int, next func(n int) (name string, source netip.Addr)) *Flood {
	tb.Helper()
	return StartPulses(tb, server, perSecond, time.Second, 0, next)
}

// StartPulses is StartSpoofed with pauses: it sends at that rate for on, then nothing for off, and so on.
func StartPulses(tb testing.TB, server netip.AddrPort, perSecond int, on, off time.Duration, next func(n int) (name string, source netip.Addr)) *Flood {
	tb.Helper()
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		tb.Fatal(err)
	}
	f := &Flood{stop: make(chan struct{})}
	f.all.Go(func() {
		defer socket.Close()
		f.spoof(socket, server, perSecond, on, off, next)
	})
	tb.Cleanup(func() { f.Stop() })
	return f
}

func (f *Flood) spoof(socket *net.UDPConn, server netip.AddrPort, perSecond int, on, off time.Duration, next func(n int) (string, netip.Addr)) {
	began := time.Now()
	for n := 0; !f.stopped(); n++ {
		due := time.Duration(n) * time.Second / time.Duration(perSecond)
		for due += due / on * off; due > time.Since(began) && !f.stopped(); {
			time.Sleep(floodGrain)
		}
		name, source := next(n)
		query := new(dns.Msg).SetQuestion(name, dns.TypeA)
		packed, err := query.Pack()
		if err != nil {
			panic(err)
		}
		control := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: source.As4()})
		if _, _, err := socket.WriteMsgUDPAddrPort(packed, control, server); err == nil {
			f.sent.Add(1)
		}
	}
}
