package worker

import (
	"testing"

	"github.com/miekg/dns"
)

// TestBeacons: a query for a name that is looked for is noted and ends here, in whatever case it comes; another one goes on.
func TestBeacons(t *testing.T) {
	beacons := new(Beacons)
	b := newBench(t, 1, func(c *Config, _ *Snapshot) { c.Beacons = beacons })
	ask := func(name string, qtype uint16) sentDatagram {
		q := query(1, name, qtype)
		q.SetEdns0(1232, false)
		return one(t, b.ask(1, q))
	}
	if d := ask("a.b.", dns.TypeHINFO); d.handle == clientSocket {
		t.Error("no beacon is lit")
	}
	first, second := beacons.Light(wireName("c.d.")), beacons.Light(wireName("e.f."))
	d := ask("C.d.", dns.TypeHINFO)
	if m := unpack(t, d.data); d.handle != clientSocket || m.Rcode != dns.RcodeRefused || b.w.stats.Returned != 1 {
		t.Errorf("got %v", m)
	}
	if !first.Returned() || second.Returned() {
		t.Errorf("returned: %v, %v", first.Returned(), second.Returned())
	}
	if d := ask("e.f.", dns.TypeA); d.handle == clientSocket || second.Returned() {
		t.Error("a query of another type is none of ours")
	}
	beacons.Douse(second)
	if d := ask("e.f.", dns.TypeHINFO); d.handle == clientSocket || second.Returned() {
		t.Error("it is still looked for")
	}
}
