package rpz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/worker/rpz"
)

// transfer is one conversation with a primary, over one TCP connection.
type transfer struct {
	zone    *Zone
	primary netip.AddrPort
	conn    *dns.Conn
	pack    packer

	skipped int     // records that are no policies
	reasons []error // of the first of them
}

// outcome is what came of a transfer.
type outcome struct {
	zone    *rpz.Zone // nil: the zone that there is is the newest
	kind    string    // "axfr" or "ixfr"
	primary netip.AddrPort
	skipped int
	reasons []error
}

// fetch asks primary for what is newer than current, which may be nil. A primary that does not know IXFR, or has not kept what it takes, is asked for
// the whole zone.
func fetch(ctx context.Context, z *Zone, primary netip.AddrPort, current *rpz.Zone) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, "tcp", primary.String())
	if err != nil {
		return nil, err
	}
	first := c
	defer context.AfterFunc(ctx, func() { first.Close() })()
	defer first.Close()
	t := &transfer{zone: z, primary: primary, conn: &dns.Conn{Conn: c}}
	if current == nil {
		return t.full()
	}
	serial, err := t.serial()
	if err != nil {
		return nil, err
	}
	if !newer(serial, current.SOA().Serial) {
		return &outcome{primary: primary}, nil
	}
	if o, err := t.incremental(current); err == nil {
		return o, nil
	} else if ctx.Err() != nil || errors.As(err, new(net.Error)) {
		return nil, err
	}
	first.Close() // the answer may not have been read to its end
	if c, err = dialer.DialContext(ctx, "tcp", primary.String()); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	t.conn, t.skipped, t.reasons = &dns.Conn{Conn: c}, 0, nil
	return t.full()
}

// newer is RFC 1982 §3.2.
func newer(a, b uint32) bool { return int32(a-b) > 0 }

// ask sends a question and returns the conversation about it.
func (t *transfer) ask(m *dns.Msg) (*conversation, error) {
	c := new(conversation)
	if t.zone.Key.Name != "" {
		c.signer = &signer{key: t.zone.Key}
	}
	m.Id = dns.Id()
	msg, err := c.request(m)
	if err != nil {
		return nil, err
	}
	t.conn.SetDeadline(time.Now().Add(messageTimeout))
	_, err = t.conn.Write(msg)
	return c, err
}

// next reads one message of an answer to m.
func (t *transfer) next(c *conversation, m *dns.Msg) (*dns.Msg, error) {
	t.conn.SetDeadline(time.Now().Add(messageTimeout))
	msg, err := t.conn.ReadMsgHeader(nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.take(msg)
	switch {
	case err != nil:
		return nil, err
	case answer.Id != m.Id || !answer.Response:
		return nil, errors.New("an answer to another question")
	case answer.Rcode != dns.RcodeSuccess:
		return nil, fmt.Errorf("answered %s", dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

// serial asks for the SOA.
func (t *transfer) serial() (uint32, error) {
	m := new(dns.Msg)
	m.SetQuestion(t.zone.Name, dns.TypeSOA)
	m.RecursionDesired = false
	c, err := t.ask(m)
	if err != nil {
		return 0, err
	}
	answer, err := t.next(c, m)
	if err != nil {
		return 0, fmt.Errorf("SOA: %w", err)
	}
	for _, rr := range answer.Answer {
		if soa, ok := rr.(*dns.SOA); ok && dns.CanonicalName(soa.Hdr.Name) == t.zone.Name {
			return soa.Serial, nil
		}
	}
	return 0, errors.New("SOA: an answer without one")
}

// records calls yield for each record of the answer to m, until yield says that it is whole.
func (t *transfer) records(m *dns.Msg, yield func(dns.RR) (whole bool, err error)) error {
	c, err := t.ask(m)
	if err != nil {
		return err
	}
	for n, whole := 0, false; !whole || !c.sealed(); {
		answer, err := t.next(c, m)
		if err != nil {
			return err
		}
		if len(answer.Answer) == 0 {
			return errors.New("a message without records")
		}
		var gently pace.Pace // not for the wait between messages
		for _, rr := range answer.Answer {
			gently.Step()
			if n++; n > stepsMax || whole {
				return errors.New("more records than there should be")
			}
			if whole, err = yield(rr); err != nil {
				return err
			}
		}
	}
	return nil
}

// full is AXFR: RFC 5936 §2.2.
func (t *transfer) full() (*outcome, error) {
	m := new(dns.Msg)
	m.SetAxfr(t.zone.Name)
	var whole wholeZone
	if err := t.records(m, func(rr dns.RR) (bool, error) { return whole.take(t, rr) }); err != nil {
		return nil, fmt.Errorf("AXFR: %w", err)
	}
	return t.done(whole.builder, "axfr")
}

func (t *transfer) done(b *rpz.Builder, kind string) (*outcome, error) {
	z, err := b.Zone()
	if err != nil {
		return nil, err
	}
	if z.Len() > triggersMax {
		return nil, fmt.Errorf("%d triggers, more than %d", z.Len(), triggersMax)
	}
	return &outcome{zone: z, kind: kind, primary: t.primary, skipped: t.skipped, reasons: t.reasons}, nil
}

// wholeZone reads a whole zone: SOA, records, the same SOA.
type wholeZone struct {
	builder *rpz.Builder
	serial  uint32
}

func (w *wholeZone) take(t *transfer, rr dns.RR) (whole bool, err error) {
	soa, isSOA := rr.(*dns.SOA)
	if w.builder == nil {
		if !isSOA || dns.CanonicalName(soa.Hdr.Name) != t.zone.Name {
			return false, errors.New("it does not begin with the zone's SOA")
		}
		w.builder, w.serial = rpz.NewBuilder(wireName(t.zone.Name)), soa.Serial
		return false, t.follow(w.builder, rr)
	}
	if isSOA && dns.CanonicalName(soa.Hdr.Name) == t.zone.Name {
		if soa.Serial != w.serial {
			return false, errors.New("it ends with another SOA than it began with")
		}
		return true, nil
	}
	t.add(w.builder, rr)
	return false, nil
}

// follow puts an SOA in force.
func (t *transfer) follow(b *rpz.Builder, rr dns.RR) error {
	_, ttl, data, err := t.pack.fields(rr)
	if err != nil {
		return err
	}
	return b.Follow(ttl, data)
}

// add adds a record if it is a policy.
func (t *transfer) add(b *rpz.Builder, rr dns.RR) {
	owner, ttl, data, err := t.pack.fields(rr)
	if err == nil {
		err = b.Add(owner, rr.Header().Rrtype, ttl, data)
	}
	if err != nil {
		t.skip(rr, err)
	}
}

func (t *transfer) skip(rr dns.RR, err error) {
	if t.skipped++; len(t.reasons) < complaintsMax {
		t.reasons = append(t.reasons, fmt.Errorf("%s: %w", rr.Header().Name, err))
	}
}

// incremental is IXFR: RFC 1995 §4. Its answer may also be the whole zone.
func (t *transfer) incremental(current *rpz.Zone) (*outcome, error) {
	soa := current.SOA()
	m := new(dns.Msg)
	m.SetIxfr(t.zone.Name, soa.Serial, ".", ".")
	d := differences{from: soa.Serial}
	if err := t.records(m, func(rr dns.RR) (bool, error) { return d.take(t, rr, current) }); err != nil {
		return nil, fmt.Errorf("IXFR: %w", err)
	}
	switch {
	case d.whole.builder != nil:
		return t.done(d.whole.builder, "axfr")
	case d.builder == nil:
		return &outcome{primary: t.primary}, nil
	}
	return t.done(d.builder, "ixfr")
}

// differences reads the answer to IXFR: the new SOA; for each step the old SOA, what goes, the new SOA, what comes; the new SOA again.
type differences struct {
	from    uint32 // serial that the next step begins with
	newest  dns.RR
	to      uint32 // its serial
	seen    int    // records
	adding  bool
	builder *rpz.Builder
	whole   wholeZone
}

func (d *differences) take(t *transfer, rr dns.RR, current *rpz.Zone) (whole bool, err error) {
	d.seen++
	soa, isSOA := rr.(*dns.SOA)
	isSOA = isSOA && dns.CanonicalName(soa.Hdr.Name) == t.zone.Name
	switch {
	case d.whole.builder != nil:
		return d.whole.take(t, rr)
	case d.seen == 1:
		if !isSOA {
			return false, errors.New("it does not begin with the zone's SOA")
		}
		d.newest, d.to = rr, soa.Serial
		return !newer(d.to, d.from), nil // up to date: nothing else follows
	case d.seen == 2 && !isSOA, d.seen == 2 && soa.Serial != d.from:
		if _, err := d.whole.take(t, d.newest); err != nil {
			return false, err
		}
		return d.whole.take(t, rr)
	case d.seen == 2:
		d.builder = current.Edit()
		return false, nil
	case isSOA && d.adding && soa.Serial == d.to && d.from == d.to:
		return true, nil
	case isSOA && d.adding:
		if soa.Serial != d.from {
			return false, fmt.Errorf("a step from %d, but the zone is at %d", soa.Serial, d.from)
		}
		d.adding = false
		return false, nil
	case isSOA:
		d.adding, d.from = true, soa.Serial
		return false, t.follow(d.builder, rr)
	case d.adding:
		t.add(d.builder, rr)
		return false, nil
	}
	return false, d.remove(t, rr)
}

// remove takes a record out. One that is no policy was left out when it came.
func (d *differences) remove(t *transfer, rr dns.RR) error {
	owner, _, data, err := t.pack.fields(rr)
	if err != nil {
		return err
	}
	switch err := d.builder.Remove(owner, rr.Header().Rrtype, data); {
	case errors.Is(err, rpz.ErrAbsent):
		return fmt.Errorf("%s %s is taken out but is not there", rr.Header().Name, dns.TypeToString[rr.Header().Rrtype])
	default:
		return nil
	}
}
