package wire

import (
	"bytes"
	"encoding/binary"
)

// chain holds the names that an answer is about: the one that was asked for and those that CNAMEs lead to from there. All are whole and folded.
type chain struct {
	names [chainNamesMax][NameBytesMax]byte
	sizes [chainNamesMax]int
	n     int
	owner [NameBytesMax]byte // scratch
}

// Trim returns a without the records of its answer section that do not answer the question of key: whose owner is neither the name that was
// asked for nor one that CNAMEs lead to from there, in whatever order they come. A DNAME, and its signature, is above one of those names. Most
// answers have no such strangers: then it is a itself. Otherwise the assembly is used, the answer is a view of it, and strange is true. If
// nothing of the asked type is left, the answer is negative and is not to be kept.
//
// A negative answer is also not to be kept if no SOA of its authority section is above one of the names: another zone cannot say for how long
// something is not there (RFC 2308 §3).
//
// ok is false if the rest cannot be put together: it is malformed, which ParseResponse would have found, or too long without compression.
func (b *Assembly) Trim(a *Answer, key []byte) (trimmed *Answer, strange, ok bool) {
	question := KeyQuestion(key)
	plain := true
	for i := 0; i < int(a.AN) && plain; i++ {
		plain = a.atQuestion(a.endOf(i))
	}
	if plain && (!a.Negative || a.TTL == 0) {
		return a, false, true
	}
	c := &b.chain
	c.begin(question[:len(question)-4])
	if !plain {
		for known := 0; known != c.n; { // strangers may belong once more names are known
			known = c.n
			if strange = c.follow(a, question); !strange {
				break
			}
		}
	}
	if a.Negative && a.TTL != 0 && !c.soa(a, question) {
		a.TTL = 0
	}
	if !strange {
		return a, false, true
	}
	trimmed, ok = b.without(a, key)
	return trimmed, true, ok
}

// without builds a without the strangers of its answer section.
func (b *Assembly) without(a *Answer, key []byte) (*Answer, bool) {
	question := KeyQuestion(key)
	n := len(question) - 4
	b.Begin(question[:n], a.Flags, a.RCode)
	r := response{qtype: binary.BigEndian.Uint16(question[n:]), class: binary.BigEndian.Uint16(question[n+2:])}
	for i := range a.TTLs {
		in := a.sectionOf(i)
		record := a.Record(i)
		if in == sectionAnswer {
			if !b.chain.has(a, question, &record) {
				continue
			}
			r.matched = r.matched || r.matches(record.Type, a.classOf(i))
		}
		b.Copy(in, a, question, i, a.TTLOf(i))
	}
	out, ok := b.Done()
	rest := *a
	rest.AN, rest.NS, rest.AR, rest.Records, rest.TTLs = out.AN, out.NS, out.AR, out.Records, out.TTLs
	if !r.matched && a.RCode == RCodeNoError {
		rest.Negative, rest.TTL = true, 0
	}
	*out = rest
	return out, ok
}

// sectionOf is where record i stands.
func (a *Answer) sectionOf(i int) Section {
	switch {
	case i < int(a.AN):
		return sectionAnswer
	case i < int(a.AN)+int(a.NS):
		return sectionAuthority
	}
	return sectionAdditional
}

// atQuestion says whether the name at offset off of a.Records is a pointer to the question's. It may be the same name written otherwise.
func (a *Answer) atQuestion(off int) bool {
	return off+1 < len(a.Records) && a.Records[off] == 0xC0 && a.Records[off+1] == HeaderBytes
}

// begin starts a chain at qname, which is folded.
func (c *chain) begin(qname []byte) {
	c.n = 1
	c.sizes[0] = copy(c.names[0][:], qname)
}

// name is one of the chain.
func (c *chain) name(i int) []byte { return c.names[i][:c.sizes[i]] }

// follow goes over the answer section once, adds the names that its CNAMEs lead to, and reports whether there are strangers.
func (c *chain) follow(a *Answer, question []byte) (strange bool) {
	for i := range int(a.AN) {
		r := a.Record(i)
		switch {
		case !c.has(a, question, &r):
			strange = true
		case r.Type == TypeCNAME:
			c.add(a, question, r.Data)
		}
	}
	return strange
}

// add adds the name at offset off of a.Records, if it is new and there is room.
func (c *chain) add(a *Answer, question []byte, off int) {
	if c.n == len(c.names) {
		return
	}
	name := a.AppendName(c.names[c.n][:0], question, off)
	if name == nil {
		return
	}
	for i := range c.n {
		if bytes.Equal(c.name(i), name) {
			return
		}
	}
	c.sizes[c.n] = len(name)
	c.n++
}

// has says whether r, a record of a's answer section, belongs to the chain.
func (c *chain) has(a *Answer, question []byte, r *Record) bool {
	if a.atQuestion(r.Owner) {
		return true
	}
	owner := a.AppendName(c.owner[:0], question, r.Owner)
	if owner == nil {
		return false
	}
	above := r.Type == TypeDNAME || r.Type == TypeRRSIG && r.End-r.Data > 2 && binary.BigEndian.Uint16(a.Records[r.Data:]) == TypeDNAME
	for i := range c.n {
		if bytes.Equal(owner, c.name(i)) || above && Below(c.name(i), owner) {
			return true
		}
	}
	return false
}

// soa says whether an SOA of a's authority section is of a zone that a name of the chain is in.
func (c *chain) soa(a *Answer, question []byte) bool {
	for i := int(a.AN); i < int(a.AN)+int(a.NS); i++ {
		r := a.Record(i)
		if r.Type != TypeSOA {
			continue
		}
		owner := a.AppendName(c.owner[:0], question, r.Owner)
		for i := range c.n {
			if owner != nil && Below(c.name(i), owner) {
				return true
			}
		}
	}
	return false
}
