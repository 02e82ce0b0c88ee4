package shared

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func inboxOnHeap(wake func()) *Inbox { return &Inbox{cells: make([]cell, inboxCells), wake: wake} }

func TestInboxKeepsOrderAndSaysWhatIsLost(t *testing.T) {
	woken := 0
	b := inboxOnHeap(func() { woken++ })
	if _, _, ok := b.Take(); ok || b.Pending() || b.Missed() {
		t.Fatal("not empty")
	}
	for lap := range 3 {
		for i := range inboxCells {
			if !b.Post(uint64(lap*inboxCells+i), Word{Outcome: Failed, RCode: uint16(i), EDE: 7, Remember: true}) {
				t.Fatalf("lap %d: no room for word %d", lap, i)
			}
		}
		if b.Missed() || b.Post(1, Word{}) || !b.Pending() || !b.Missed() || b.Missed() {
			t.Fatal("a lost word must be said once")
		}
		for i := range inboxCells {
			hash, w, ok := b.Take()
			if want := (Word{Outcome: Failed, RCode: uint16(i), EDE: 7, Remember: true}); !ok || hash != uint64(lap*inboxCells+i) || w != want {
				t.Fatalf("word %d: %d %+v %v", i, hash, w, ok)
			}
		}
		if b.Pending() {
			t.Fatal("not empty")
		}
	}
	if woken != 3*(inboxCells+1) {
		t.Errorf("woken %d times", woken)
	}
}

// TestStoppedWriterHoldsNobodyUp: a cell that was taken and not filled looks like an empty inbox.
func TestStoppedWriterHoldsNobodyUp(t *testing.T) {
	b := inboxOnHeap(func() {})
	b.tail.Add(1)
	if !b.Post(2, Word{}) {
		t.Fatal("no room")
	}
	if _, _, ok := b.Take(); ok || b.Pending() {
		t.Fatal("took what is not there")
	}
	b.cells[0].hash = 1
	b.cells[0].turn.Store(1)
	for want := range uint64(2) {
		if hash, _, ok := b.Take(); !ok || hash != want+1 {
			t.Fatalf("got %d %v", hash, ok)
		}
	}
}

func TestManyWritersOneReader(t *testing.T) {
	var wakes atomic.Int64
	b := inboxOnHeap(func() { wakes.Add(1) })
	const writers, each = 4, 20000
	var threads sync.WaitGroup
	var lost atomic.Int64
	for n := range writers {
		threads.Go(func() {
			for i := range each {
				if !b.Post(uint64(n)<<32|uint64(i), Word{RCode: uint16(i)}) {
					lost.Add(1)
					runtime.Gosched()
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { threads.Wait(); close(finished) }()
	var next [writers]uint64
	got := int64(0)
	for done := false; ; {
		hash, w, ok := b.Take()
		if !ok {
			if done {
				break
			}
			select {
			case <-finished:
				done = true
			default:
				runtime.Gosched()
			}
			continue
		}
		n, i := hash>>32, hash&(1<<32-1)
		if i < next[n] || w.RCode != uint16(i) {
			t.Fatalf("writer %d: word %d (%d) after %d", n, i, w.RCode, next[n])
		}
		next[n] = i + 1
		got++
	}
	if got+lost.Load() != writers*each || wakes.Load() != writers*each || lost.Load() > 0 != b.Missed() {
		t.Errorf("%d taken, %d lost, %d wakes, want %d in all", got, lost.Load(), wakes.Load(), writers*each)
	}
}
