package limit

import (
	"encoding/binary"
	"hash/maphash"

	"secure-dns-proxy/ring"
)

// Reply is what a limiter must know of a reply.
type Reply struct {
	Path *ring.Path
	Kind Kind   // Answers, NXDomains or Errors
	Name []byte // wire form, any case: the question's for Answers, the zone's for NXDomains
	Type uint16 // of the question, for Answers
}

// Replies reports whether replies are limited at all.
func (l *Limiter) Replies() bool { return l.replies }

// Tell takes a token for a reply over UDP and reports whether it may be sent.
func (l *Limiter) Tell(r *Reply, now int64) bool {
	rule := &l.rules[r.Kind]
	if rule.interval == 0 || l.exempt != nil && l.exempt.Allows(r.Path.Addr().Addr()) {
		return true
	}
	s, bits := sourceOf(r.Path), l.bits4
	if s.v6 {
		bits = l.bits6
	}
	s = s.masked(bits)
	tag := l.table.replyTag(r, s)
	if l.table.bucket(tag).owe(rule, now, l.window) {
		return true
	}
	l.offences.add(l.table.tag(r.Kind, 0, s), r.Kind, s, bits, now)
	return false
}

// replyTag names the bucket of a reply to a network.
func (t *table) replyTag(r *Reply, s source) uint64 {
	const head = 1 + 16 + 2
	var b [head + nameBytesMax]byte
	b[0] = byte(r.Kind)
	binary.LittleEndian.PutUint64(b[1:], s.high)
	binary.LittleEndian.PutUint64(b[9:], s.low)
	if r.Kind == Errors {
		return maphash.Bytes(t.seed, b[:head])
	}
	if r.Kind == Answers {
		binary.LittleEndian.PutUint16(b[17:], r.Type)
	}
	n := copy(b[head:], r.Name)
	for i := head; i < head+n; i++ { // lengths of labels are below 'A'
		if c := b[i]; 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return maphash.Bytes(t.seed, b[:head+n])
}
