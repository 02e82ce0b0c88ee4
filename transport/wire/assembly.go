package wire

import "encoding/binary"

// Assembly puts an answer together from records of other answers and from new ones. Names are written whole, so that a record can follow
// another question and stand in another place; only the name of the question itself becomes a pointer to it (RFC 1035 §4.1.4).
//
// Records are added section by section. One that does not fit, or is malformed, makes the assembly useless: Done says so. 81 KiB, used again and
// again by one thread; nothing allocates.
type Assembly struct {
	answer  Answer
	qname   []byte // folded
	bad     bool
	n       int // bytes of records
	records [MessageBytesMax]byte
	ttls    [recordsMax]uint16
	chain   chain
}

// Section is one of the three that hold records.
type Section = section

// The sections in the order of a message.
const (
	Answers    = sectionAnswer
	Authority  = sectionAuthority
	Additional = sectionAdditional
)

// Begin starts an answer to a question with the folded name qname, which must stay until Done.
func (b *Assembly) Begin(qname []byte, flags, rcode uint16) {
	b.answer = Answer{Flags: flags&^RCodeMask | rcode&RCodeMask, RCode: rcode}
	b.qname, b.bad, b.n = qname, false, 0
}

// Add adds a record. owner and the names in data are whole.
func (b *Assembly) Add(in Section, owner []byte, rrtype, class uint16, ttl uint32, data []byte) {
	if !b.head(in, owner, rrtype, class, ttl) {
		return
	}
	if len(data) > len(b.records)-b.n {
		b.bad = true
		return
	}
	b.n += copy(b.records[b.n:], data)
	b.seal(len(data))
}

// Copy adds record i of a, an answer to question, with another TTL.
func (b *Assembly) Copy(in Section, a *Answer, question []byte, i int, ttl uint32) {
	var space [NameBytesMax]byte
	r := a.Record(i)
	owner, end := a.appendName(space[:0], question, r.Owner)
	if end < 0 || !b.head(in, owner, r.Type, a.classOf(i), ttl) {
		b.bad = true
		return
	}
	before := b.n
	if !b.data(a, question, &r) {
		b.bad = true
		return
	}
	b.seal(b.n - before)
}

// Done returns the answer, a view of the assembly, with the smallest of its TTLs; false if something went wrong.
func (b *Assembly) Done() (*Answer, bool) {
	a := &b.answer
	a.Records = b.records[:b.n]
	a.TTLs = b.ttls[:int(a.AN)+int(a.NS)+int(a.AR)]
	for i, offset := range a.TTLs {
		if ttl := binary.BigEndian.Uint32(a.Records[offset:]); i == 0 || ttl < a.TTL {
			a.TTL = ttl
		}
	}
	return a, !b.bad
}

// head writes what is before RDATA, whose length seal writes.
func (b *Assembly) head(in Section, owner []byte, rrtype, class uint16, ttl uint32) bool {
	a := &b.answer
	count := int(a.AN) + int(a.NS) + int(a.AR)
	if b.bad || count == len(b.ttls) || len(owner)+10 > len(b.records)-b.n-HeaderBytes-QuestionBytesMax {
		b.bad = true
		return false
	}
	switch in {
	case Answers:
		a.AN++
	case Authority:
		a.NS++
	default:
		a.AR++
	}
	if equalFold(owner, b.qname) {
		binary.BigEndian.PutUint16(b.records[b.n:], 0xC000|HeaderBytes)
		b.n += 2
	} else {
		b.n += copy(b.records[b.n:], owner)
	}
	binary.BigEndian.PutUint32(b.records[b.n:], uint32(rrtype)<<16|uint32(class))
	b.ttls[count] = uint16(b.n + 4)
	binary.BigEndian.PutUint32(b.records[b.n+4:], ttl)
	b.n += 10
	return true
}

// seal writes the length of the RDATA that was written last.
func (b *Assembly) seal(length int) {
	binary.BigEndian.PutUint16(b.records[b.n-length-2:], uint16(length))
	if b.n > len(b.records)-HeaderBytes-QuestionBytesMax {
		b.bad = true // the message would not fit its longest question
	}
}

// data writes the RDATA of r, a record of a, with whole names.
func (b *Assembly) data(a *Answer, question []byte, r *Record) bool {
	out := a.AppendData(b.records[:b.n], question, r)
	if out == nil {
		return false
	}
	b.n = len(out)
	return true
}

// classOf is the class of record n, counting from 0: it stands before the TTL.
func (a *Answer) classOf(n int) uint16 { return binary.BigEndian.Uint16(a.Records[a.TTLs[n]-2:]) }

// TTLOf is the TTL of record n, counting from 0.
func (a *Answer) TTLOf(n int) uint32 { return binary.BigEndian.Uint32(a.Records[a.TTLs[n]:]) }
