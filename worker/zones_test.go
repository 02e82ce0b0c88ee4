package worker

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/local"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/rpz"
)

// firstZone is the policies of testdata/rpz/first.zone.
func firstZone(t testing.TB) *rpz.Set {
	text, err := os.ReadFile("testdata/rpz/first.zone")
	if err != nil {
		t.Fatal(err)
	}
	set, err := rpz.NewSet([]rpz.Policy{{Name: "first", Tag: 3, Zone: compiled(t, "first.test.", string(text)), BreakDNSSEC: true, Log: true}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// zoned returns a bench whose worker has them.
func zoned(t testing.TB, edit func(*Config, *Snapshot)) *bench {
	return newBench(t, 1, func(c *Config, s *Snapshot) {
		c.Policies = firstZone(t)
		if edit != nil {
			edit(c, s)
		}
	})
}

// TestPoliciesAllocateNothing: neither queries that a trigger answers, nor hits that are judged, nor those that are led to another name.
func TestPoliciesAllocateNothing(t *testing.T) {
	b := zoned(t, nil)
	for _, q := range []string{"garden.example.", "free.example.", "held.example."} {
		up := one(t, b.ask(1, query(1, q, dns.TypeA)))
		b.turn(b.answer(up, reply(t, up.data, nil, q+" 3600 IN A "+map[string]string{"held.example.": "192.0.2.9"}[q]+map[string]string{"garden.example.": "10.0.0.1", "free.example.": "203.0.113.1"}[q])))
	}
	b.eng.keep = false
	for _, name := range []string{"gone.example.", "walled.example.", "free.example.", "held.example.", "quiet.example."} {
		msg := pack(t, query(1, name, dns.TypeA))
		ev := from(1, msg)
		if n := testing.AllocsPerRun(100, func() {
			b.eng.events = append(b.eng.events[:0], ev)
			b.w.turn()
		}); n > 1 { // the list of events is made anew
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestPoliciesAreCounted by name's tag and action, and noted for the log.
func TestPoliciesAreCounted(t *testing.T) {
	b := zoned(t, nil)
	for _, name := range []string{"gone.example.", "a.gone.example.", "empty.example.", "quiet.example.", "stream.example.", "local.example.", "ok.gone.example."} {
		b.ask(1, query(1, name, dns.TypeA))
	}
	b.now += publishInterval
	b.turn()
	var sum ZoneStats
	addTo(&b.w.zones.public, &sum, zoneStatsWords)
	want := [rpz.Actions]uint64{rpz.NXDomain: 2, rpz.NoData: 1, rpz.Drop: 1, rpz.TCPOnly: 1, rpz.Local: 1, rpz.Passthru: 1}
	if sum.Hits[3] != want {
		t.Errorf("counted %v, want %v", sum.Hits[3], want)
	}
	var noted []string
	lost := b.w.zones.room.journal.Read(func(h *rpz.Hit) {
		name, _, _ := dns.UnpackDomainName(h.Name(), 0)
		noted = append(noted, fmt.Sprintf("%s %s %s %s %s %d", h.Policy.Name, h.Trigger, h.Action, h.Client, name, h.Type))
	})
	if len(noted) != 7 || lost != 0 || noted[0] != "first qname nxdomain 127.0.0.1 gone.example. 1" {
		t.Errorf("noted %v, lost %d", noted, lost)
	}
	for range rpz.JournalMax + 5 {
		b.ask(1, query(1, "gone.example.", dns.TypeA))
	}
	n := 0
	if lost = b.w.zones.room.journal.Read(func(*rpz.Hit) { n++ }); n != rpz.JournalMax || lost != 5 {
		t.Errorf("%d noted, %d lost, want %d and 5", n, lost, rpz.JournalMax)
	}
}

// TestLaterZoneSeesOwnAnswers: a zone behind one that is about answers has its say on names that are answered without asking, and on those that nobody could
// be asked about. Zones about addresses have none on what we answer with ourselves.
func TestLaterZoneSeesOwnAnswers(t *testing.T) {
	const soa = "@ 60 SOA a. b. 1 60 60 600 60\n"
	sets := map[string]*rpz.Set{}
	for name, zones := range map[string][]string{
		"alone": {"localhost CNAME *.\nmx.test CNAME *.\ndown.test CNAME *."},
		"later": {"8.0.0.0.127.rpz-ip CNAME rpz-drop.", "localhost CNAME *.\nmx.test CNAME *.\ndown.test CNAME *."},
		"none":  {"8.0.0.0.127.rpz-ip CNAME rpz-drop.", "other.test CNAME *."},
	} {
		var policies []rpz.Policy
		for i, text := range zones {
			policies = append(policies, rpz.Policy{Name: fmt.Sprint(i), Tag: i, Zone: compiled(t, "rpz.test.", soa+text+"\n"), BreakDNSSEC: true})
		}
		set, err := rpz.NewSet(policies)
		if err != nil {
			t.Fatal(err)
		}
		sets[name] = set
	}
	for name, set := range sets {
		b := newBench(t, 1, func(c *Config, s *Snapshot) {
			c.Policies, s.Local = set, local.Spec{Localhost: true}
			s.Rules = []policy.Rule{{Name: "mx", Chain: policy.ChainMiss, Match: policy.Match{Selector: policy.Selector{Kind: policy.QName, Names: [][]byte{wireName("mx.test.")}}}, Action: policy.Action{Do: policy.Answer, RCode: dns.RcodeRefused, Extended: wire.EDENone}}}
		})
		judged := name != "none"
		for id, q := range []string{"localhost.", "mx.test."} {
			got := unpack(t, one(t, b.ask(id+1, query(uint16(id+1), q, dns.TypeA))).data)
			if empty := got.Rcode == dns.RcodeSuccess && len(got.Answer) == 0; empty != judged {
				t.Errorf("%s, %s: got\n%v", name, q, got)
			}
		}
		if name == "alone" {
			continue
		}
		b.ask(7, query(7, "down.test.", dns.TypeA))
		var got *dns.Msg
		for range 200 { // the upstream is silent
			b.now += 100 * time.Millisecond
			for _, d := range b.turn() {
				if d.handle == clientSocket {
					got = unpack(t, d.data)
				}
			}
		}
		if want := map[bool]int{true: dns.RcodeSuccess, false: dns.RcodeServerFailure}[judged]; got == nil || got.Rcode != want {
			t.Errorf("%s, a name that nobody answers: got\n%v", name, got)
		}
	}
}

// TestPoliciesCanGoAndCome: from the next turn on, and a slot under way is judged by those in force when it ends.
func TestPoliciesCanGoAndCome(t *testing.T) {
	b := zoned(t, nil)
	set := b.w.zones.next.Load()
	b.w.zones.next.Store(nil)
	first := one(t, b.ask(1, query(1, "gone.example.", dns.TypeA)))
	if first.handle == clientSocket {
		t.Fatal("a policy that has gone answers")
	}
	b.w.zones.next.Store(set)
	if d := one(t, b.ask(2, query(2, "gone.example.", dns.TypeA))); d.handle != clientSocket {
		t.Fatal("a policy that has come asks")
	}
	second := one(t, b.ask(1, query(3, "held.example.", dns.TypeA)))
	b.w.zones.next.Store(nil)
	b.turn()
	if d := one(t, b.turn(b.answer(second, reply(t, second.data, nil, "held.example. 60 IN A 192.0.2.9")))); unpack(t, d.data).Rcode != dns.RcodeSuccess {
		t.Error("judged by policies that have gone")
	}
	b.w.zones.next.Store(set)
	if d := one(t, b.ask(1, query(4, "held.example.", dns.TypeA))); unpack(t, d.data).Rcode != dns.RcodeNameError {
		t.Error("the cached answer is not judged by policies that have come")
	}
}

// TestLedWithoutRoom: where there is no slot or no place for a waiter, the client hears so, and nothing is left behind.
func TestLedWithoutRoom(t *testing.T) {
	for _, free := range []int{0, 1, 2} {
		b := zoned(t, func(c *Config, _ *Snapshot) { c.Slots, c.Waiters = SlotsMin, SlotsMin })
		for i := range SlotsMin - free {
			b.ask(1, query(uint16(i), fmt.Sprintf("n%d.example.", i), dns.TypeA))
		}
		d := one(t, b.ask(2, query(77, "walled.example.", dns.TypeA)))
		if free < 2 {
			if m := unpack(t, d.data); d.handle != clientSocket || m.Rcode != dns.RcodeServerFailure || m.Id != 77 {
				t.Errorf("%d free slots: got %v", free, m)
			}
		} else if d.handle == clientSocket {
			t.Errorf("%d free slots: got %v", free, unpack(t, d.data))
		}
		want := SlotsMin - free
		if free == 2 {
			want = SlotsMin
		}
		if b.w.table.Len() != want || b.w.table.WaiterLen() != want {
			t.Errorf("%d free slots: %d slots and %d waiters in use, want %d", free, b.w.table.Len(), b.w.table.WaiterLen(), want)
		}
	}
}

// TestLedIntoNothing: the name behind a policy's CNAME is never answered. All clients hear so at their time, and nothing is left behind.
func TestLedIntoNothing(t *testing.T) {
	b := zoned(t, nil)
	b.ask(1, query(1, "walled.example.", dns.TypeA))
	b.ask(2, query(2, "walled.example.", dns.TypeA))
	b.ask(3, query(3, "garden.example.", dns.TypeA))
	told := map[uint16]int{}
	for range 50 {
		b.now += b.w.clock() / 50000 // some 70 ms
		for _, d := range b.turn() {
			if m := unpack(t, d.data); d.handle == clientSocket {
				told[m.Id]++
			}
		}
	}
	if len(told) != 3 || told[1] != 1 || told[2] != 1 || told[3] != 1 || b.w.table.Len() != 0 || b.w.table.WaiterLen() != 0 {
		t.Errorf("told %v, %d slots and %d waiters in use", told, b.w.table.Len(), b.w.table.WaiterLen())
	}
}

// TestLedWhereUpstreamsHaveNoRoom: whatever is configured for those who find none, a client that is led hears so, and nothing is left behind.
func TestLedWhereUpstreamsHaveNoRoom(t *testing.T) {
	for shed := range admission.ShedNames {
		b := zoned(t, func(_ *Config, s *Snapshot) {
			s.Admission.Shed, s.Pools[0].MaxOutstanding = admission.Shed(shed), 1
		})
		b.ask(1, query(1, "n1.example.", dns.TypeA))
		d := one(t, b.ask(2, query(2, "walled.example.", dns.TypeA)))
		if m := unpack(t, d.data); d.handle != clientSocket || m.Id != 2 || m.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v: got %v", admission.ShedNames[shed], m)
		}
		if b.w.table.Len() != 1 || b.w.table.WaiterLen() != 1 {
			t.Errorf("%v: %d slots and %d waiters in use, want 1", admission.ShedNames[shed], b.w.table.Len(), b.w.table.WaiterLen())
		}
	}
}

// TestLedOverFullConnection: a client over TCP that has as much under way as it may is led by an answer to one of its queries.
func TestLedOverFullConnection(t *testing.T) {
	b := zoned(t, func(c *Config, _ *Snapshot) { c.TCP.InFlightPerConn = 1 })
	ask, open := b.overTCP()
	ask(query(1, "a.example.", dns.TypeA))
	first := one(t, b.eng.sent)
	second := one(t, b.turn(b.answer(first, reply(t, first.data, nil, "a.example. 60 IN A 192.0.2.2"))))
	b.turn(b.answer(second, reply(t, second.data, nil, "garden.example. 60 IN A 192.0.2.1")))
	if m := unpack(t, one(t, b.eng.streamed).data[2:]); len(m.Answer) != 2 || !open() {
		t.Errorf("got %v, open %v", m, open())
	}
}

// TestLedWhileDraining: a client whose answer leads to another name has its own while the worker ends, if it asked before; one that comes then is not led.
func TestLedWhileDraining(t *testing.T) {
	b := zoned(t, nil)
	first := one(t, b.ask(1, query(7, "a.example.", dns.TypeA)))
	b.w.startDraining()
	second := one(t, b.turn(b.answer(first, reply(t, first.data, nil, "a.example. 60 IN A 192.0.2.2"))))
	got := one(t, b.turn(b.answer(second, reply(t, second.data, nil, "garden.example. 60 IN A 192.0.2.1"))))
	if m := unpack(t, got.data); got.handle != clientSocket || m.Id != 7 || len(m.Answer) != 2 {
		t.Errorf("got %v", m)
	}
	if sent := b.ask(2, query(8, "walled.example.", dns.TypeAAAA)); len(sent) != 0 || b.w.stats.Drops[DropDraining] != 1 || !b.w.drained() {
		t.Errorf("%d datagrams to one who comes later, %d dropped, drained: %t", len(sent), b.w.stats.Drops[DropDraining], b.w.drained())
	}
}

// BenchmarkTurnZones is BenchmarkTurn with response policies that have nothing against the names: a million names and the triggers of first.zone.
func BenchmarkTurnZones(b *testing.B) {
	bench, _ := newFeed(b, 10_000)
	builder := rpz.NewBuilder(wireName("feed.test."))
	if err := builder.Follow(300, append(wireName("a."), append(wireName("b."), make([]byte, 20)...)...)); err != nil {
		b.Fatal(err)
	}
	for i := range 1_000_000 {
		if err := builder.Add(wireName(fmt.Sprintf("bad%07d.example.net.feed.test.", i)), dns.TypeCNAME, 300, []byte{0}); err != nil {
			b.Fatal(err)
		}
	}
	feed, err := builder.Zone()
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile("testdata/rpz/first.zone")
	if err != nil {
		b.Fatal(err)
	}
	set, err := rpz.NewSet([]rpz.Policy{{Name: "first", Zone: compiled(b, "first.test.", string(text)), BreakDNSSEC: true}, {Name: "feed", Tag: 1, Zone: feed, BreakDNSSEC: true}})
	if err != nil {
		b.Fatal(err)
	}
	bench.w.zones.next.Store(set)
	before := bench.w.stats.Hits
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for n := 0; n < b.N; n += feedBatch {
		bench.w.turn()
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
	if got := bench.w.stats.Hits - before; got < uint64(b.N)/100*95 { // one client in 64 has local data
		b.Fatalf("%d hits of %d queries", got, b.N)
	}
	bench.w.eng = bench.eng
}
