package policy

import (
	"net/netip"
	"sync/atomic"
)

// Line is what the action Log says of one query.
type Line struct {
	Rule   int // number, as in Rules
	Source netip.AddrPort
	TCP    bool
	Type   uint16
	Name   [255]byte // wire form, from the start; not read: only a root
}

// Journal carries lines from a worker to whoever writes them: a ring of one writer and one reader. When it is full lines are lost, counted.
type Journal struct {
	lines   [journalLines]Line
	written atomic.Uint64
	_       [64]byte
	read    atomic.Uint64
	lost    atomic.Uint64
}

// journalLines: what a worker may log between two looks, of all its rules.
const journalLines = 256

// note appends a line. Worker only.
func (j *Journal) note(rule int, q *Query) {
	at := j.written.Load()
	if at-j.read.Load() == journalLines {
		j.lost.Add(1)
		return
	}
	l := &j.lines[at%journalLines]
	l.Rule, l.Source, l.TCP, l.Type = rule, q.Source, q.TCP, q.Type
	l.Name[0] = 0
	copy(l.Name[:], q.Name)
	j.written.Store(at + 1)
}

// Read hands every line to yield, which must not keep it, and returns how many were lost since the last call. One reader at a time.
func (j *Journal) Read(yield func(*Line)) (lost uint64) {
	for at, end := j.read.Load(), j.written.Load(); at != end; at++ {
		yield(&j.lines[at%journalLines])
		j.read.Store(at + 1)
	}
	return j.lost.Swap(0)
}

// NameText returns the name as text.
func (l *Line) NameText() string { return string(appendText(nil, nameIn(l.Name[:]))) }

func nameIn(b []byte) []byte {
	i := 0
	for b[i] != 0 {
		i += 1 + int(b[i])
	}
	return b[:i+1]
}
