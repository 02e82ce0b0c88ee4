package shared

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"secure-dns-proxy/ring/sys"
)

// Inbox is where a worker is told of the questions that it follows: a ring of fixed size, many writers, one reader, no lock. A writer that stops
// between taking its cell and filling it holds up what comes after it, until it goes on, but nobody waits: the reader sees an empty inbox.
type Inbox struct {
	_     [128]byte
	tail  atomic.Uint64 // cells taken by writers
	_     [128]byte
	head  uint64 // cells read
	_     [128]byte
	lost  atomic.Bool
	cells []cell
	mem   []byte
	wake  func()
	_     [128]byte
}

// cell is one word on its way. turn is twice the lap in which it is free, plus 1 when it is full.
type cell struct {
	turn atomic.Uint64
	hash uint64
	word Word
	_    uint64
}

// Word is what the owner of a question says when it is done.
type Word struct {
	Outcome  Outcome
	Remember bool   // Failed: the failure is worth being remembered
	RCode    uint16 // Failed
	EDE      uint16 // Failed
}

// Outcome says how a question ended.
type Outcome uint8

const (
	Ask    Outcome = iota // there is nothing to share: each asks by itself
	Answer                // the answer is in the table
	Failed                // there is none
)

// NewInbox maps an inbox. wake is called by writers, on any thread, after each word: ring.Waker.Wake.
func NewInbox(wake func()) (*Inbox, error) {
	mem, err := sys.Map(inboxCells * int(unsafe.Sizeof(cell{})))
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Inbox{mem: mem, wake: wake, cells: unsafe.Slice((*cell)(unsafe.Pointer(unsafe.SliceData(mem))), inboxCells)}, nil
}

// Close gives the memory back. Nobody may use the inbox any more.
func (b *Inbox) Close() error {
	err := sys.Unmap(b.mem)
	b.mem, b.cells = nil, nil
	return err
}

// at returns the cell of a position, and the turn that it has when it is free for it.
func (b *Inbox) at(position uint64) (c *cell, free uint64) {
	return &b.cells[position&(inboxCells-1)], position >> inboxBits << 1
}

// Post tells the reader how the question of hash ended, and wakes it if it sleeps. A word for which there is no room is lost; then it returns false,
// and the reader's Missed says so.
func (b *Inbox) Post(hash uint64, w Word) bool {
	for range postTries {
		position := b.tail.Load()
		c, free := b.at(position)
		turn := c.turn.Load()
		if turn < free {
			break // full: not read since the last lap
		}
		if turn == free && b.tail.CompareAndSwap(position, position+1) {
			c.hash, c.word = hash, w
			c.turn.Store(free + 1)
			b.wake()
			return true
		}
	}
	b.lost.Store(true)
	b.wake()
	return false
}

// Take returns the next word. Reader only.
func (b *Inbox) Take() (hash uint64, w Word, ok bool) {
	c, free := b.at(b.head)
	if c.turn.Load() != free+1 {
		return 0, Word{}, false
	}
	hash, w = c.hash, c.word
	c.turn.Store(free + 2)
	b.head++
	return hash, w, true
}

// Pending reports whether Take or Missed has something to say: what a reader looks at before it sleeps.
func (b *Inbox) Pending() bool {
	c, free := b.at(b.head)
	return c.turn.Load() == free+1 || b.lost.Load()
}

// Missed reports whether words were lost since the last call. Reader only.
func (b *Inbox) Missed() bool { return b.lost.Load() && b.lost.Swap(false) }
