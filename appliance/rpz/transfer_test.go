package rpz

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/rpz"
)

// primary is a server that says what a test wants it to: what real ones cannot be made to do. Real NSD is in appliance/e2e.
type primary struct {
	addr netip.AddrPort

	mu      sync.Mutex
	answers map[uint16][]string // records by type asked for; nil: REFUSED
	asked   map[uint16]int
	closed  bool
}

func newPrimary(t *testing.T) *primary {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &primary{addr: l.Addr().(*net.TCPAddr).AddrPort(), answers: map[uint16][]string{}, asked: map[uint16]int{}}
	started := make(chan struct{})
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(p.serve), NotifyStartedFunc: func() { close(started) }}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return p
}

func (p *primary) serve(w dns.ResponseWriter, q *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	qtype := q.Question[0].Qtype
	p.asked[qtype]++
	if p.closed {
		w.Close()
		return
	}
	m := new(dns.Msg).SetReply(q)
	lines := p.answers[qtype]
	if lines == nil {
		m.Rcode = dns.RcodeRefused
	}
	for i, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
		if len(m.Answer) == 3 && i != len(lines)-1 { // several messages
			w.WriteMsg(m)
			m = new(dns.Msg).SetReply(q)
		}
	}
	w.WriteMsg(m)
}

func (p *primary) says(qtype uint16, lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[qtype] = lines
}

func (p *primary) goes(gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = gone
}

func (p *primary) count(qtype uint16) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[qtype]
}

// soa is that of the zone with a serial; it is to be refreshed each second and expires after three.
func soa(serial int) string {
	return fmt.Sprintf("rpz.test. 300 SOA ns.rpz.test. hostmaster.rpz.test. %d 1 1 3 60", serial)
}

func (p *primary) zone() Zone {
	return Zone{Name: "rpz.test.", Primaries: []netip.AddrPort{p.addr}, MinRefresh: time.Second, MaxRefresh: time.Hour}
}

// compiled is a zone of serial 1 with two triggers.
func compiled(t *testing.T) *rpz.Zone {
	t.Helper()
	z, err := parseZone(strings.NewReader(soa(1)+"\na.rpz.test. 60 CNAME .\nb.rpz.test. 60 A 192.0.2.1\nb.rpz.test. 60 A 192.0.2.2\n"), "", "rpz.test.")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestTransfers is what becomes of each kind of answer.
func TestTransfers(t *testing.T) {
	whole := []string{soa(3), "c.rpz.test. 60 CNAME .", soa(3)}
	for _, c := range []struct {
		what       string
		fresh      bool // nothing is known of the zone yet
		soa        string
		ixfr, axfr []string
		kind       string // "": nothing newer
		triggers   int
		err        string
	}{
		{what: "the first time", fresh: true, axfr: whole, kind: "axfr", triggers: 1},
		{what: "many messages", fresh: true, axfr: []string{soa(3), "c.rpz.test. 60 CNAME .", "d.rpz.test. 60 CNAME .", "e.rpz.test. 60 CNAME .", "f.rpz.test. 60 CNAME .", "g.rpz.test. 60 A 192.0.2.1", "g.rpz.test. 60 A 192.0.2.2", soa(3)}, kind: "axfr", triggers: 5},
		{what: "the same serial", soa: soa(1)},
		{what: "an older serial", soa: soa(0)},
		{what: "one step", soa: soa(3), ixfr: []string{soa(3), soa(1), "a.rpz.test. 60 CNAME .", "b.rpz.test. 60 A 192.0.2.1", soa(3), "c.rpz.test. 60 CNAME .", soa(3)}, kind: "ixfr", triggers: 2},
		{what: "two steps", soa: soa(3), ixfr: []string{soa(3), soa(1), "a.rpz.test. 60 CNAME .", soa(2), "a.rpz.test. 60 CNAME *.", soa(2), "a.rpz.test. 60 CNAME *.", soa(3), soa(3)}, kind: "ixfr", triggers: 1},
		{what: "IXFR that is the whole zone", soa: soa(3), ixfr: whole, kind: "axfr", triggers: 1},
		{what: "IXFR that is an empty zone", soa: soa(3), ixfr: []string{soa(3), soa(3)}, kind: "axfr"},
		{what: "IXFR with nothing newer", soa: soa(3), ixfr: []string{soa(1)}},
		{what: "no IXFR", soa: soa(3), axfr: whole, kind: "axfr", triggers: 1},
		{what: "a step that takes out what is not there", soa: soa(3), ixfr: []string{soa(3), soa(1), "x.rpz.test. 60 CNAME .", soa(3), soa(3)}, axfr: whole, kind: "axfr", triggers: 1},
		{what: "a step from elsewhere", soa: soa(3), ixfr: []string{soa(3), soa(1), soa(2), soa(4), soa(3), soa(3)}, axfr: whole, kind: "axfr", triggers: 1},
		{what: "wrong records are left out", fresh: true, axfr: []string{soa(3), "33.1.2.0.192.rpz-ip.rpz.test. 60 CNAME .", "c.rpz.test. 60 CNAME .", "c.rpz.test. 60 A 192.0.2.1", soa(3)}, kind: "axfr", triggers: 1},
		{what: "two SOAs", fresh: true, axfr: []string{soa(3), "c.rpz.test. 60 CNAME .", soa(4)}, err: "AXFR: it ends with another SOA than it began with"},
		{what: "no SOA first", fresh: true, axfr: []string{"c.rpz.test. 60 CNAME .", soa(4)}, err: "AXFR: it does not begin with the zone's SOA"},
		{what: "something behind the end", fresh: true, axfr: []string{soa(3), soa(3), "c.rpz.test. 60 CNAME ."}, err: "AXFR: more records than there should be"},
		{what: "an empty answer", fresh: true, axfr: []string{}, err: "AXFR: a message without records"},
		{what: "REFUSED", fresh: true, err: "AXFR: answered REFUSED"},
		{what: "no SOA", soa: "other.test. 60 CNAME .", err: "SOA: an answer without one"},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newPrimary(t)
			p.answers[dns.TypeIXFR], p.answers[dns.TypeAXFR] = c.ixfr, c.axfr
			if c.soa != "" {
				p.answers[dns.TypeSOA] = []string{c.soa}
			}
			var current *rpz.Zone
			if !c.fresh {
				current = compiled(t)
			}
			zone := p.zone()
			o, err := fetch(t.Context(), &zone, p.addr, current)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.kind != c.kind || (o.zone == nil) != (c.kind == "") {
				t.Fatalf("got %q, %v, want %q", o.kind, o.zone, c.kind)
			}
			if o.zone != nil && (o.zone.Len() != c.triggers || o.zone.SOA().Serial != 3) {
				t.Errorf("%d triggers, serial %d, want %d and 3", o.zone.Len(), o.zone.SOA().Serial, c.triggers)
			}
			if strings.HasPrefix(c.what, "wrong") && (o.skipped != 2 || len(o.reasons) != 2) {
				t.Errorf("%d left out: %v", o.skipped, o.reasons)
			}
			if current != nil && (current.Len() != 2 || current.SOA().Serial != 1) {
				t.Error("the zone in force was changed")
			}
		})
	}
}

// TestUnsignedPrimary: with a key, what is not signed is not believed.
func TestUnsignedPrimary(t *testing.T) {
	p := newPrimary(t)
	p.says(dns.TypeAXFR, soa(3), "c.rpz.test. 60 CNAME .", soa(3))
	zone := p.zone()
	zone.Key = Key{Name: "key.", Algorithm: dns.HmacSHA256, Secret: "c2VjcmV0"}
	if _, err := fetch(t.Context(), &zone, p.addr, nil); err == nil || !strings.Contains(err.Error(), "an answer without signature") {
		t.Errorf("got %v", err)
	}
}

// covering signs like a primary that has sent messages without signature before.
type covering struct {
	signer
	before []byte
}

func (c *covering) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	n := 2 + int(msg[0])<<8 + int(msg[1])
	return c.mac(append(append(append([]byte(nil), msg[:n]...), c.before...), msg[n:]...), t)
}

// TestUnsignedInBetween: messages without a signature are covered by the next one, and by nothing else: RFC 8945 §5.3.1.
func TestUnsignedInBetween(t *testing.T) {
	key := Key{Name: "key.", Algorithm: dns.HmacSHA256, Secret: "c2VjcmV0"}
	message := func(name string) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeAXFR)
		m.Response = true
		return m
	}
	for _, change := range []string{"", "bit", "order", "missing"} {
		c := &conversation{signer: &signer{key: key}}
		if _, err := c.request(message("ask.")); err != nil {
			t.Fatal(err)
		}
		first := message("first.")
		first.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
		packed, mac, err := dns.TsigGenerateWithProvider(first, &signer{key: key}, c.last, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.take(packed); err != nil {
			t.Fatal(err)
		}
		var between [][]byte
		var all []byte
		for _, name := range []string{"second.", "third."} {
			msg, err := message(name).Pack()
			if err != nil {
				t.Fatal(err)
			}
			between, all = append(between, msg), append(all, msg...)
		}
		last := message("last.")
		last.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
		if packed, _, err = dns.TsigGenerateWithProvider(last, &covering{signer{key: key}, all}, mac, true); err != nil {
			t.Fatal(err)
		}
		switch change {
		case "bit":
			between[0][len(between[0])-1] ^= 2
		case "order":
			between[0], between[1] = between[1], between[0]
		case "missing":
			between = between[1:]
		}
		for _, msg := range between {
			if _, err := c.take(msg); err != nil {
				t.Fatal(err)
			}
		}
		if c.sealed() {
			t.Error("sealed before the last signature")
		}
		if _, err := c.take(packed); (err == nil) != (change == "") || c.sealed() != (change == "") {
			t.Errorf("change %q: %v, sealed: %v", change, err, c.sealed())
		}
	}
}

// TestTimers: a zone is refreshed as its SOA says; when its primary is silent for as long as it says, it is out of force, and back with the primary.
func TestTimers(t *testing.T) {
	p := newPrimary(t)
	p.says(dns.TypeAXFR, soa(1), "a.rpz.test. 60 CNAME .", soa(1))
	p.says(dns.TypeSOA, soa(1))
	k, g, log := keeper(t, &Config{Zones: []Zone{p.zone()}})
	eventually(t, "the zone is in force", func() bool { return g.action("a.") == rpz.NXDomain })
	asked := p.count(dns.TypeSOA)
	eventually(t, "the primary is asked by timer", func() bool { return p.count(dns.TypeSOA) >= asked+3 })
	p.says(dns.TypeSOA, soa(2))
	p.says(dns.TypeIXFR, soa(2), soa(1), "a.rpz.test. 60 CNAME .", soa(2), "a.rpz.test. 60 CNAME *.", soa(2))
	eventually(t, "the change is in force", func() bool { return g.action("a.") == rpz.NoData })
	p.goes(true)
	eventually(t, "the zone has expired", func() bool { return g.action("a.") == rpz.None })
	list, _ := k.Reports()
	if r := list[0]; r.InForce || r.Expired != 1 || r.Full != 1 || r.Incremental != 1 || r.Failed == 0 {
		t.Errorf("reported: %+v", r)
	}
	if !strings.Contains(log.String(), "has expired") || strings.Count(log.String(), "not refreshed") != 1 {
		t.Errorf("logged:\n%s", log)
	}
	p.goes(false)
	eventually(t, "the zone is back", func() bool { return g.action("a.") == rpz.NXDomain })
	eventually(t, "that is logged", func() bool { return strings.Contains(log.String(), "answers again") })
}

// TestSecondPrimary: the next one is asked where the first one fails.
func TestSecondPrimary(t *testing.T) {
	first, second := newPrimary(t), newPrimary(t)
	second.says(dns.TypeAXFR, soa(1), "a.rpz.test. 60 CNAME .", soa(1))
	zone := second.zone()
	zone.Primaries = []netip.AddrPort{first.addr, second.addr}
	_, g, _ := keeper(t, &Config{Zones: []Zone{zone}})
	eventually(t, "the zone is in force", func() bool { return g.action("a.") == rpz.NXDomain })
	if first.count(dns.TypeAXFR) == 0 {
		t.Error("the first was not asked")
	}
}

// TestCopyExpires: a copy whose zone has expired meanwhile is not put into force.
func TestCopyExpires(t *testing.T) {
	dir := t.TempDir()
	p := newPrimary(t)
	p.goes(true)
	if err := writeZone(copyPath(dir, "rpz.test."), "rpz.test.", compiled(t)); err != nil {
		t.Fatal(err)
	}
	k, _, _ := keeper(t, &Config{Zones: []Zone{p.zone()}, Directory: dir})
	if k.Set().Policy(0).Zone == nil {
		t.Error("the copy is not in force")
	}
	old := time.Now().Add(-3100 * time.Millisecond)
	if err := os.Chtimes(copyPath(dir, "rpz.test."), old, old); err != nil {
		t.Fatal(err)
	}
	_, g, log := keeper(t, &Config{Zones: []Zone{p.zone()}, Directory: dir})
	if g.action("a.") != rpz.None || !strings.Contains(log.String(), "its last good copy has expired") {
		t.Errorf("a copy that has expired is in force:\n%s", log)
	}
}
