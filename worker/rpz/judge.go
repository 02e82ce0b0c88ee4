package rpz

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"secure-dns-proxy/transport/wire"
)

// Scratch is the working memory of one thread: some 70 KiB. The zero value is ready.
type Scratch struct {
	Name     Name // of the question; the caller sets it
	question []byte

	step  Name // the name of the chain in hand
	other Name // that of a name server
	least Name // the smallest of those with triggers as long
	chain [chainMax]link
	links int
	names [(chainMax + 2) * nameBytesMax]byte

	records [AnswerBytesMax]byte
	ttls    [AnswerBytesMax / recordHeader]uint16
	target  [nameBytesMax]byte
}

// link is a CNAME of an answer: what it stands for, and for how long.
type link struct {
	name []byte // view of Scratch.names
	ttl  uint32
}

// passesMax is how often the answer section is gone over for a CNAME chain: once if it is in order.
const passesMax = 4

// Judge looks for the trigger that counts for a query whose answer is known, and which Query has found nothing for or put off (asker.Later). sc.Name must be Set to the question's name; question is
// the question part of a key. a must have been made by ParseResponse for that question, or come from the cache.
func (s *Set) Judge(sc *Scratch, question []byte, asker *Asker, a *wire.Answer) (v Verdict) {
	sc.question = question
	sc.follow(a)
	signed := s.exacting && asker.DO && signed(a)
	for step := 0; step <= sc.links; step++ {
		name := &sc.Name
		if step > 0 {
			name = &sc.step
			name.Set(sc.chain[step-1].name)
		}
		for i := range s.policies {
			p := &s.policies[i]
			r, t, ok := p.at(sc, name, step, asker, a)
			if !ok {
				continue
			}
			switch {
			case p.Override == Disabled:
				v.Disabled |= 1 << i
			case signed && !p.BreakDNSSEC:
			default:
				v.Match = p.match(i, t, r)
				v.Match.step = step
				return v
			}
		}
	}
	return v
}

// at is the rule of a zone for one name of the chain. Only the last name's answer is there.
func (p *Policy) at(sc *Scratch, name *Name, step int, asker *Asker, a *wire.Answer) (r rule, t Trigger, ok bool) {
	if p.Zone == nil {
		return rule{}, 0, false
	}
	if step == 0 {
		if asker.Later { // else Query has found nothing
			if r, t, ok = p.first(name, asker); ok {
				return r, t, true
			}
		}
	} else if r, _, ok = p.Zone.names[QName].lookup(name); ok {
		return r, QName, true
	}
	if step < sc.links || !p.Zone.answers() {
		return rule{}, 0, false
	}
	if r, ok = p.Zone.addressOf(IP, a, 0, int(a.AN), nil); ok {
		return r, IP, true
	}
	if r, ok = p.Zone.server(sc, a); ok {
		return r, NSDName, true
	}
	if p.Zone.Count(NSIP) != 0 {
		r, ok = p.Zone.addressOf(NSIP, a, int(a.AN)+int(a.NS), a.Len(), sc)
	}
	return r, NSIP, ok
}

// follow takes in the CNAME chain that begins at the question's name.
func (sc *Scratch) follow(a *wire.Answer) {
	sc.links = 0
	current := sc.Name.wire
	room := sc.names[:0]
	looks := 0
	for range passesMax {
		before := sc.links
		for n := range int(a.AN) {
			r := a.Record(n)
			if r.Type != typeCNAME || sc.links == chainMax {
				continue
			}
			if looks++; looks > aliasesMax {
				return
			}
			owner := a.AppendName(sc.names[chainMax*nameBytesMax:][:0], sc.question, r.Owner)
			if !bytes.Equal(owner, current) {
				continue
			}
			at := len(room)
			longer := a.AppendName(room, sc.question, r.Data)
			if longer == nil {
				return
			}
			room = longer
			current = room[at:]
			sc.chain[sc.links] = link{name: current, ttl: binary.BigEndian.Uint32(a.Records[r.Data-6:])}
			sc.links++
		}
		if sc.links == before || sc.links == chainMax {
			return
		}
	}
}

// signed reports whether an answer has signatures.
func signed(a *wire.Answer) bool {
	for n := range a.Len() {
		if a.Record(n).Type == typeRRSIG {
			return true
		}
	}
	return false
}

const (
	typeNS    = 2
	typeRRSIG = 46
)

// addressOf is the rule of the longest prefix that holds an address among records [from, to), with the same length that of the smallest
// address. With sc only addresses of the answer's name servers count.
func (z *Zone) addressOf(t Trigger, a *wire.Answer, from, to int, sc *Scratch) (best rule, found bool) {
	if z.addresses[t].Size() == 0 {
		return rule{}, false
	}
	longest, smallest, glues := -1, netip.Addr{}, 0
	for n := from; n < to; n++ {
		r := a.Record(n)
		address, ok := addressIn(a, &r)
		if !ok {
			continue
		}
		rule, length, ok := z.address(t, address)
		if !ok || length < longest || length == longest && !address.Less(smallest) {
			continue
		}
		if glues++; sc != nil && glues > gluesMax {
			return best, found
		}
		if sc == nil || sc.serves(a, r.Owner) {
			best, longest, smallest, found = rule, length, address, true
		}
	}
	return best, found
}

// addressIn reads the address of an A or AAAA record.
func addressIn(a *wire.Answer, r *wire.Record) (netip.Addr, bool) {
	if r.Type != wire.TypeA && r.Type != wire.TypeAAAA {
		return netip.Addr{}, false
	}
	address, ok := netip.AddrFromSlice(a.Records[r.Data:r.End])
	return address.Unmap(), ok
}

// server is the rule for the names of the answer's name servers: of the trigger with most labels, and of those as long the one for the smallest name.
func (z *Zone) server(sc *Scratch, a *wire.Answer) (best rule, found bool) {
	if z.Count(NSDName) == 0 {
		return rule{}, false
	}
	most, servers := -1, 0
	for n := range int(a.AN) + int(a.NS) {
		r := a.Record(n)
		if r.Type != typeNS {
			continue
		}
		if servers++; servers > serversMax {
			return best, found
		}
		if !sc.other.Set(a.AppendName(sc.names[chainMax*nameBytesMax:][:0], sc.question, r.Data)) {
			continue
		}
		rule, labels, ok := z.names[NSDName].lookup(&sc.other)
		if !ok || labels < most || labels == most && !sc.other.before(&sc.least) {
			continue
		}
		best, most, found = rule, labels, true
		sc.least.Set(append(sc.names[(chainMax+1)*nameBytesMax:][:0], sc.other.wire...))
	}
	return best, found
}

// serves reports whether the name at owner is that of a name server of the answer.
func (sc *Scratch) serves(a *wire.Answer, owner int) bool {
	own := a.AppendName(sc.names[chainMax*nameBytesMax:][:0], sc.question, owner)
	servers := 0
	for n := range int(a.AN) + int(a.NS) {
		r := a.Record(n)
		if r.Type != typeNS {
			continue
		}
		if servers++; servers > serversMax {
			return false
		}
		if bytes.Equal(own, a.AppendName(sc.names[(chainMax+1)*nameBytesMax:][:0], sc.question, r.Data)) {
			return own != nil
		}
	}
	return false
}
