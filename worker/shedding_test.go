package worker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/admission"
)

// crush is a worker whose upstream has room for 200 queries and answers them after 200 ms, a thousand a second, and clients that ask for more.
type crush struct {
	*bench
	under []sentDatagram // by the upstream, in order
	since []time.Duration
	lost  map[int]int // by client: replies that were no answer
	got   map[int]int // answers
	n     int
}

func newCrush(t *testing.T, edit func(*Admission)) *crush {
	c := &crush{lost: map[int]int{}, got: map[int]int{}}
	c.bench = newBench(t, 1, func(cfg *Config, s *Snapshot) {
		s.Admission.ShedMisses = true
		if edit != nil {
			edit(&s.Admission)
		}
		cfg.Slots, cfg.Waiters = 1024, 1024
		s.Pools[0].MaxOutstanding, s.Pools[0].RetryPercent = 200, 0
	})
	return c
}

// step lets a millisecond pass in which the queries of asked, by client, come.
func (c *crush) step(asked map[int][]string) {
	c.now += time.Millisecond
	var events []ring.Event
	for len(c.under) > 0 && c.now-c.since[0] >= 200*time.Millisecond {
		d := c.under[0]
		c.under, c.since = c.under[1:], c.since[1:]
		events = append(events, c.answer(d, reply(c.t, d.data, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError })))
	}
	for client, names := range asked {
		for _, name := range names {
			m := query(uint16(client), name, dns.TypeA)
			events = append(events, from(client, pack(c.t, m)))
		}
	}
	for _, d := range c.turn(events...) {
		if d.handle != clientSocket {
			c.under, c.since = append(c.under, d), append(c.since, c.now)
			continue
		}
		if m := unpack(c.t, d.data); m.Rcode == dns.RcodeNameError {
			c.got[int(m.Id)]++
		} else {
			c.lost[int(m.Id)]++
		}
	}
}

// play lets an attack of five questions a millisecond, from many clients, and a client that asks one every 50 ms go on for so long.
func (c *crush) play(length time.Duration, attack bool) {
	for at := time.Duration(0); at < length; at += time.Millisecond {
		asked := map[int][]string{}
		c.n++
		if attack {
			for k := range 5 {
				asked[1000+(c.n*5+k)%5000] = []string{fmt.Sprintf("r%d-%d.victim.example.", c.n, k)}
			}
		}
		if c.n%50 == 0 {
			asked[1] = []string{fmt.Sprintf("n%d.zone%d.example.", c.n, c.n)}
		}
		c.step(asked)
	}
}

// A flood of random names below one zone, five times what the upstream can do and from thousands of clients, takes nothing from a client that asks
// for other names; without shedding it takes most. Afterwards all is as before.
func TestHeavyZonesAreShed(t *testing.T) {
	for _, on := range []bool{true, false} {
		c := newCrush(t, func(a *Admission) { a.ShedMisses = on })
		c.play(5*time.Second, true)
		clear(c.lost)
		clear(c.got)
		c.play(10*time.Second, true)
		share := float64(c.lost[1]) / float64(c.lost[1]+c.got[1])
		answered := 0
		for _, n := range c.got {
			answered += n
		}
		t.Logf("shedding %v: the light client lost %.3f of %d; %d of 10000 answers that the upstream can give were given; %d shed as heavy", on, share, c.lost[1]+c.got[1], answered, c.w.stats.ShedHeavy)
		if on != (share < 0.01) {
			t.Errorf("shedding %v: the light client lost %.3f", on, share)
		}
		if answered < 8000 {
			t.Errorf("%d answers in ten seconds", answered)
		}
		if on {
			c.reported(t)
		}
	}
}

// reported: who is heavy is told by name, and when it is over.
func (c *crush) reported(t *testing.T) {
	t.Helper()
	r := c.w.shedding.report.Load()
	if r == nil || !r.Active || len(r.Heavy) != 1 || string(r.Heavy[0].Zone) != "\x06victim\x07example\x00" || r.Heavy[0].Share < 0.5 {
		t.Fatalf("report %+v", r)
	}
	if c.w.stats.Shedding != 1 {
		t.Error("the gauge is 0")
	}
	c.play(5*time.Second, false)
	if r := c.w.shedding.report.Load(); r.Active || c.w.stats.Shedding != 0 {
		t.Errorf("after the flood: %+v", r)
	}
	before := c.w.stats.Shed
	c.play(2*time.Second, false)
	if c.w.stats.Shed != before {
		t.Error("still shed")
	}
}

// What those get whose question is not asked is as configured, whether they are heavy or no upstream has room.
func TestShedAction(t *testing.T) {
	for action, check := range map[admission.Shed]func(*dns.Msg) bool{
		admission.ShedServFail: func(m *dns.Msg) bool { return m.Rcode == dns.RcodeServerFailure },
		admission.ShedRefuse:   func(m *dns.Msg) bool { return m.Rcode == dns.RcodeRefused },
		admission.ShedTruncate: func(m *dns.Msg) bool { return m.Rcode == dns.RcodeSuccess && m.Truncated },
		admission.ShedDrop:     nil,
	} {
		for _, misses := range []bool{false, true} { // false: every one finds no room; true: most are shed before
			c := newCrush(t, func(a *Admission) { a.ShedMisses, a.Shed = misses, action })
			c.play(2*time.Second, true)
			c.now += time.Millisecond
			var events []ring.Event
			for i := range 260 {
				events = append(events, from(7, pack(t, question(fmt.Sprintf("x%d.victim.example.", i)))))
			}
			told := 0
			for _, d := range c.turn(events...) {
				if d.handle != clientSocket {
					continue
				}
				told++
				if m, ede := unpack(t, d.data), extendedOf(t, d.data); check == nil || !check(m) || ede != wire.EDEOther {
					t.Errorf("%v, shedding %v: %v", admission.ShedNames[action], misses, m)
				}
			}
			if action != admission.ShedDrop && told < 20 || action == admission.ShedDrop && told != 0 {
				t.Errorf("%v, shedding %v: %d were told", admission.ShedNames[action], misses, told)
			}
		}
	}
}

// extendedOf returns the extended error of a reply.
func extendedOf(t *testing.T, msg []byte) uint16 {
	t.Helper()
	for _, o := range unpack(t, msg).IsEdns0().Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			return e.InfoCode
		}
	}
	return wire.EDENone
}

// A client that is exempt is never heavy.
func TestExemptIsNotShed(t *testing.T) {
	c := newCrush(t, func(a *Admission) { a.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	c.play(3*time.Second, true)
	if c.w.stats.ShedHeavy != 0 {
		t.Errorf("%d shed", c.w.stats.ShedHeavy)
	}
}
