package rpz

import (
	"bytes"
	"errors"
	"fmt"

	"secure-dns-proxy/transport/wire"
)

const typeCNAME = wire.TypeCNAME

// Builder makes a Zone from records in any order. It belongs to one goroutine.
type Builder struct {
	zone   *Zone
	hasSOA bool
	name   Name
	lower  []byte
	made   []byte
}

// NewBuilder begins an empty zone; origin is in wire form.
func NewBuilder(origin []byte) *Builder {
	return &Builder{zone: &Zone{origin: lower(nil, origin)}}
}

// Edit begins a zone that is like z, which stays as it is.
func (z *Zone) Edit() *Builder {
	c := &Zone{origin: z.origin, soa: z.soa, records: z.records.clone(), ignored: z.ignored}
	for t := range triggers {
		c.names[t] = z.names[t].clone()
		c.addresses[t] = *z.addresses[t].Clone()
	}
	return &Builder{zone: c, hasSOA: true}
}

// ErrAbsent is that of a removed record that is not there.
var ErrAbsent = errors.New("is not in the zone")

// useless reports whether policies have no use for records of a type: §4 and what DNSSEC adds to a signed zone.
func useless(rrtype uint16) bool {
	switch rrtype {
	case 2, 39, 43, 46, 47, 48, 50, 51, 59, 60, 63: // NS, DNAME, DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM, CDS, CDNSKEY, ZONEMD
		return true
	}
	return false
}

// top takes in a record of the zone's own name, or one that is of no use; false: it is that of a trigger.
func (b *Builder) top(name []byte, rrtype uint16) bool {
	return useless(rrtype) || bytes.Equal(name, b.zone.origin)
}

// Add takes in a record: owner and RDATA in wire form, without compression. An error says what is wrong with it, and leaves all as it was.
func (b *Builder) Add(name []byte, rrtype uint16, ttl uint32, data []byte) error {
	b.lower = lower(b.lower[:0], name)
	if rrtype == wire.TypeSOA && bytes.Equal(b.lower, b.zone.origin) {
		return b.setSOA(ttl, data)
	}
	if b.top(b.lower, rrtype) {
		b.zone.ignored++
		return nil
	}
	if rrtype == wire.TypeSOA {
		return errors.New("an SOA below the zone's origin")
	}
	o, err := parseOwner(b.lower, b.zone.origin, b.made)
	if err != nil {
		return err
	}
	b.made = o.name[:0:cap(o.name)]
	before, there := b.get(&o)
	action := b.action(&o, rrtype, data)
	if action != Local {
		if there && before.action != action {
			return errors.New("has other records beside a CNAME that stands for an action")
		}
		b.put(&o, rule{action: action})
		return nil
	}
	if there && before.action != Local {
		return errors.New("has other records beside a CNAME that stands for an action")
	}
	return b.addLocal(&o, before.data, rrtype, ttl, data)
}

func (b *Builder) setSOA(ttl uint32, data []byte) error {
	soa, ok := parseSOA(ttl, data)
	if !ok {
		return errors.New("an SOA that is too short")
	}
	if b.hasSOA && soa.Serial != b.zone.soa.Serial {
		return errors.New("a second SOA")
	}
	b.zone.soa, b.hasSOA = soa, true
	return nil
}

// Follow puts another SOA in place of the one that there is: the next step of an incremental transfer.
func (b *Builder) Follow(ttl uint32, data []byte) error {
	b.hasSOA = false
	return b.setSOA(ttl, data)
}

// action is what a record stands for.
func (b *Builder) action(o *owner, rrtype uint16, data []byte) Action {
	if rrtype != typeCNAME {
		return Local
	}
	var folded [nameBytesMax]byte
	target := lower(folded[:0], data[:min(len(data), nameBytesMax)])
	if a, ok := special[string(target)]; ok {
		return a
	}
	if o.trigger == QName && !o.wildcard && bytes.Equal(target, o.name) {
		return Passthru // an older form, which zones still have
	}
	return Local
}

func (b *Builder) addLocal(o *owner, list uint32, rrtype uint16, ttl uint32, data []byte) error {
	r := &b.zone.records
	found, last, n := r.find(list, rrtype, data)
	switch {
	case found:
		return nil
	case n == RecordsMax:
		return fmt.Errorf("has more than %d records", RecordsMax)
	case list != 0 && (rrtype == typeCNAME || r.at(list).rrtype == typeCNAME):
		return errors.New("has a CNAME and other records")
	case len(r.mem)+len(data) > bytesMax:
		return fmt.Errorf("finds no room: the zone's data takes more than %d bytes", int64(bytesMax))
	}
	at := r.add(last, rrtype, ttl, data)
	if list == 0 {
		b.put(o, rule{action: Local, data: at})
	}
	return nil
}

// Remove takes a record out; its TTL does not count. ErrAbsent: it is not there.
func (b *Builder) Remove(name []byte, rrtype uint16, data []byte) error {
	b.lower = lower(b.lower[:0], name)
	if b.top(b.lower, rrtype) {
		b.zone.ignored = max(0, b.zone.ignored-1)
		return nil
	}
	o, err := parseOwner(b.lower, b.zone.origin, b.made)
	if err != nil {
		return err
	}
	b.made = o.name[:0:cap(o.name)]
	before, there := b.get(&o)
	action := b.action(&o, rrtype, data)
	if !there || before.action != action {
		return ErrAbsent
	}
	if action == Local {
		first, found := b.zone.records.remove(before.data, rrtype, data)
		if !found {
			return ErrAbsent
		}
		if first != 0 {
			if first != before.data {
				b.put(&o, rule{action: Local, data: first})
			}
			return nil
		}
	}
	if o.prefix.IsValid() {
		b.zone.addresses[o.trigger].Delete(o.prefix)
	} else {
		b.name.Set(o.name)
		b.zone.names[o.trigger].remove(&b.name, o.wildcard)
	}
	return nil
}

func (b *Builder) get(o *owner) (rule, bool) {
	if o.prefix.IsValid() {
		return b.zone.addresses[o.trigger].Get(o.prefix)
	}
	b.name.Set(o.name)
	return b.zone.names[o.trigger].get(&b.name, o.wildcard)
}

func (b *Builder) put(o *owner, r rule) {
	if o.prefix.IsValid() {
		b.zone.addresses[o.trigger].Insert(o.prefix, r)
		return
	}
	b.name.Set(o.name)
	b.zone.names[o.trigger].put(&b.name, o.wildcard, r)
}

// Zone returns the finished zone. The builder is not to be used any more.
func (b *Builder) Zone() (*Zone, error) {
	z := b.zone
	if !b.hasSOA {
		return nil, errors.New("the zone has no SOA")
	}
	b.zone = nil
	waste := z.records.waste * compactFraction
	total := len(z.records.mem)
	for t := range triggers {
		waste += z.names[t].waste * compactFraction
		total += len(z.names[t].text)
	}
	if waste > total {
		return z.compact()
	}
	for t := range triggers {
		z.names[t].settle()
	}
	return z, nil
}

// compact makes a zone anew without what has been removed from it.
func (z *Zone) compact() (*Zone, error) {
	next := NewBuilder(z.origin)
	next.zone.ignored = z.ignored
	next.zone.soa, next.hasSOA = z.soa, true
	var err error
	z.All(func(owner []byte, rrtype uint16, ttl uint32, data []byte) bool {
		err = next.Add(owner, rrtype, ttl, data)
		return err == nil
	})
	if err != nil {
		return nil, fmt.Errorf("a zone does not read what it wrote: %w", err)
	}
	return next.Zone()
}
