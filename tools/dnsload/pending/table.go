package pending

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"secure-dns-proxy/tools/dnsload/query"
)

// Slot holds one query. 320 bytes: five cache lines, an odd number, so that equal offsets in consecutive slots fall into
// different sets of the cache; a typical query touches the first two.
type Slot struct {
	at            int64  // when it was to be sent, ns
	sent          int64  // when it was sent
	answered      uint16 // bit i: the query i+1 generations ago was answered, else lost (or there was none)
	generation    uint16 // of the current or last query
	used          uint16 // generations so far, up to generationsKept
	packetBytes   uint16
	questionBytes uint16
	state         state
	_             [320 - 27 - query.PacketBytesMax]byte
	packet        [query.PacketBytesMax]byte
}

type state uint8

const (
	free state = iota
	outstanding
	answered
	lost
)

// Table is the slots of one flow.
type Table struct {
	slots     []Slot
	free      []uint16 // a stack
	retired   []uint16 // slots of lost queries, oldest at retired[oldest % len]; used when the stack is empty
	oldest    int
	waiting   int // slots in retired
	length    int
	max       int
	touched   int // slots below this index were used at least once
	indexBits uint
}

// New makes a table for at most max outstanding queries, 1..OutstandingMax.
func New(max int) (*Table, error) {
	if max < 1 || max > OutstandingMax {
		return nil, fmt.Errorf("%d outstanding queries per flow, want 1 to %d", max, OutstandingMax)
	}
	indexBits := uint(bits.Len(uint(2*max - 1)))
	n := 1 << indexBits
	t := &Table{slots: make([]Slot, n), free: make([]uint16, n), retired: make([]uint16, n), max: max, indexBits: indexBits}
	for i := range t.free {
		t.free[i] = uint16(n - 1 - i)
	}
	return t, nil
}

// Len is the number of outstanding queries, Room how many more fit.
func (t *Table) Len() int  { return t.length }
func (t *Table) Room() int { return t.max - t.length }

// Compose takes a slot, has g write its next query into it, and returns the packet, valid until the query is answered or
// lost. at is when it was to be sent, now when it is. nil: no room, or g has no more queries.
func (t *Table) Compose(g *query.Generator, at, now int64) []byte {
	if t.length >= t.max {
		return nil
	}
	i := t.take()
	s := &t.slots[i]
	// The id changes with every use, so an answer to the slot's previous query is never taken for this one's.
	generation := s.generation + 1
	id := generation<<t.indexBits | i
	packetBytes, questionBytes := g.Compose(&s.packet, id)
	if packetBytes == 0 {
		t.free = append(t.free, i)
		return nil
	}
	s.answered <<= 1
	if s.state == answered {
		s.answered |= 1
	}
	if s.state != free && s.used < generationsKept {
		s.used++
	}
	s.state, s.generation, s.at, s.sent = outstanding, generation, at, now
	s.packetBytes, s.questionBytes = uint16(packetBytes), uint16(questionBytes)
	t.length++
	t.touched = max(t.touched, int(i)+1)
	return s.packet[:packetBytes]
}

func (t *Table) take() uint16 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	i := t.retired[t.oldest]
	t.oldest = (t.oldest + 1) & (len(t.retired) - 1)
	t.waiting--
	return i
}

// Judge says what msg is. With Answer the query is no longer outstanding, and at is when it was to be sent.
func (t *Table) Judge(msg []byte) (v Verdict, at int64) {
	const qrAndOpcode, qr = 0xf8, 0x80
	if len(msg) < 12 || msg[2]&qrAndOpcode != qr {
		return Malformed, 0
	}
	id := binary.BigEndian.Uint16(msg)
	i := id & uint16(len(t.slots)-1)
	s := &t.slots[i]
	current := s.generation << t.indexBits >> t.indexBits
	if age := (current - id>>t.indexBits) << t.indexBits >> t.indexBits; age != 0 {
		return s.past(age - 1), 0
	}
	switch s.state {
	case free:
		return WrongID, 0
	case answered:
		return Duplicate, 0
	case lost:
		return Late, 0
	}
	question := s.packet[12 : 12+s.questionBytes]
	if binary.BigEndian.Uint16(msg[4:]) != 1 || len(msg) < 12+len(question) {
		return WrongQuestion, 0
	}
	if string(msg[12:12+len(question)]) != string(question) {
		return differs(msg[12:12+len(question)], question), 0
	}
	s.state = answered
	t.free = append(t.free, i)
	t.length--
	return Answer, s.at
}

// past says what an answer to the query back+1 generations ago is.
func (s *Slot) past(back uint16) Verdict {
	switch {
	case back >= s.used:
		return WrongID
	case s.answered>>back&1 != 0:
		return Duplicate
	}
	return Late
}

// differs says how a question that is not the one sent is wrong. The last four bytes are type and class, not letters.
func differs(got, sent []byte) Verdict {
	name := len(sent) - 4
	if string(got[name:]) == string(sent[name:]) && bytes.EqualFold(got[:name], sent[:name]) {
		return WrongCase
	}
	return WrongQuestion
}

// Expire gives up the queries that were sent before the given time. It returns how many, and how many of these were to be
// sent at from or later.
func (t *Table) Expire(before, from int64) (all, counted int) {
	if t.length == 0 {
		return 0, 0
	}
	for i := range t.slots[:t.touched] {
		s := &t.slots[i]
		if s.state != outstanding || s.sent >= before {
			continue
		}
		s.state = lost
		t.retired[(t.oldest+t.waiting)&(len(t.retired)-1)] = uint16(i)
		t.waiting++
		t.length--
		all++
		if s.at >= from {
			counted++
		}
	}
	return all, counted
}
