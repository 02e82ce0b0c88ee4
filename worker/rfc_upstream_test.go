package worker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
)

// What upstreams do in conversations beside answering, and how they are reached:
//
//	config over=tls              all upstreams; tls, quic, https or tcp. Encrypted ones pad to 128 bytes
//	config beacon=NAME           a question that is looked for: an upstream was asked it to see whether it comes back
//	upstream 1 forges WORD ... [| record]   a good answer to the oldest query that it has not answered, but for: id (another one), question=NAME,
//	                             type=TYPE, noquestion, query (QR is not set), which leave it unanswered; cut=N (the last N bytes are missing), tail=N (N more)
//	upstream 1 loses             the connection that the oldest query went over

// askedQuery is a query that an upstream has not answered.
type askedQuery struct {
	sentDatagram
	lane      *transport.Lane // that it went over; nil: a datagram
	slot, gen uint32
}

// configureUpstreams applies one setting.
func configureUpstreams(s *Snapshot, key, value string) bool {
	if key != "over" {
		return false
	}
	scheme := map[string]transport.Scheme{"tcp": transport.TCP, "tls": transport.TLS, "quic": transport.QUIC, "https": transport.HTTPS}[value]
	for i := range s.Upstreams {
		e := s.Upstreams[i].Endpoint
		if e.Scheme = scheme; scheme != transport.TCP {
			e.PaddingBlock = 128
		}
	}
	return true
}

// beaconsOf reads beacon=NAME: what is looked for in questions.
func beaconsOf(settings []string) *Beacons {
	beacons := new(Beacons)
	for _, setting := range settings {
		if name, ok := strings.CutPrefix(setting, "beacon="); ok {
			beacons.Light(wireName(name))
		}
	}
	return beacons
}

// respond has an upstream answer a query.
func (c *rfcConversation) respond(q askedQuery, msg []byte) {
	if q.lane == nil {
		c.report(c.turn(c.answer(q.sentDatagram, msg)))
		return
	}
	q.lane.Answer(q.slot, q.gen, msg)
	q.lane.Publish()
	c.report(c.turn())
}

// forge sends what is no answer to the oldest query of upstream n.
func (c *rfcConversation) forge(n int, what string) {
	c.t.Helper()
	q := c.pending(n)
	words, records, _ := strings.Cut(what, "|")
	m := unpack(c.t, c.reply(q.sentDatagram, "| "+records))
	cut, tail := 0, 0
	for _, word := range strings.Fields(words) {
		name, value, _ := strings.Cut(word, "=")
		number, _ := strconv.Atoi(value)
		switch name {
		case "id":
			m.Id++
		case "question":
			m.Question[0].Name = value
		case "type":
			m.Question[0].Qtype = dns.StringToType[value]
		case "noquestion":
			m.Question = nil
		case "query":
			m.Response = false
		case "cut":
			cut = number
		case "tail":
			tail = number
		default:
			c.t.Fatalf("a forged answer with %q?", word)
		}
	}
	if cut+tail == 0 {
		c.asked[n-1] = append([]askedQuery{q}, c.asked[n-1]...)
	}
	msg := append(pack(c.t, m), make([]byte, tail)...)
	c.respond(q, msg[:len(msg)-cut])
}

// lose ends the connection of the oldest query of upstream n.
func (c *rfcConversation) lose(n int) {
	q := c.pending(n)
	if q.lane == nil {
		c.t.Fatalf("upstream %d was not asked over a connection", n)
	}
	q.lane.Fail(q.slot, q.gen, transport.FaultClosed)
	q.lane.Publish()
	c.report(c.turn())
}

// reportLanes says what went to upstreams over connections.
func (c *rfcConversation) reportLanes() {
	for n, u := range c.w.active.pools[0].members {
		for r, ok := u.lane.Next(); ok; r, ok = u.lane.Next() {
			if r.Cancel {
				c.asked[n] = slices.DeleteFunc(c.asked[n], func(q askedQuery) bool { return q.lane == u.lane && q.slot == r.Slot && q.gen == r.Gen })
				fmt.Fprintf(&c.out, "> %v upstream %d need not answer\n", c.now-c.began, n+1)
				continue
			}
			q := askedQuery{sentDatagram: sentDatagram{data: append([]byte(nil), r.Query...)}, lane: u.lane, slot: r.Slot, gen: r.Gen}
			c.asked[n] = append(c.asked[n], q)
			over := u.endpoint.Scheme
			if over == transport.UDP {
				over = transport.TCP // what comes truncated is fetched so
			}
			fmt.Fprintf(&c.out, "> %v upstream %d is asked over %s, %d bytes%s\n", c.now-c.began, n+1, over, len(q.data), describe(unpack(c.t, q.data)))
		}
	}
}
