package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// answer queues one message.
func answer(t testing.TB, table *Table, id ConnID, msg []byte) bool {
	t.Helper()
	room := table.Reserve(id, len(msg))
	if room == nil {
		return false
	}
	if len(room) != len(msg) || cap(room) != len(msg) {
		t.Fatalf("reserved %d bytes (cap %d), want %d", len(room), cap(room), len(msg))
	}
	copy(room, msg)
	table.Commit(id, len(msg))
	return true
}

func TestPipelinedAnswersLeaveInOneSend(t *testing.T) {
	for _, count := range []int{1, 3, 40, 500} { // small class, small class, large class, nearly full
		table := newTable(t, small())
		id := accept(t, table)
		var want []byte
		for i := range count {
			msg := pattern(100+i%50, byte(i))
			want = append(want, frame(msg)...)
			if !answer(t, table, id, msg) {
				t.Fatalf("answer %d of %d refused", i, count)
			}
		}
		if got := table.Output(id); !bytes.Equal(got, want) {
			t.Errorf("%d answers: sends %d bytes, want all %d in one piece", count, len(got), len(want))
		}
		if table.Output(id) != nil {
			t.Errorf("%d answers: a second send while the first is under way", count)
		}
		if s := table.Stats(); s.Answers != uint64(count) || s.Sends != 1 {
			t.Errorf("%d answers: counted %d in %d sends", count, s.Answers, s.Sends)
		}
		table.Sent(id)
		if table.Output(id) != nil || table.Stats().SmallInUse+table.Stats().LargeInUse != 0 {
			t.Errorf("%d answers: something is left", count)
		}
	}
}

func TestCommitTakesLessThanReserved(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	copy(table.Reserve(id, 1000), "abc")
	table.Commit(id, 3)
	table.Reserve(id, 1000) // abandoned
	answer(t, table, id, []byte("defg"))
	if got, want := string(table.Output(id)), "\x00\x03abc\x00\x04defg"; got != want {
		t.Errorf("sends %q, want %q", got, want)
	}
}

func TestAnswersGatherBehindASend(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	answer(t, table, id, pattern(10, 1))
	first := table.Output(id)
	before := bytes.Clone(first)
	answer(t, table, id, pattern(20, 2))
	answer(t, table, id, pattern(30, 3))
	if table.Output(id) != nil {
		t.Error("two sends at a time")
	}
	if !bytes.Equal(first, before) {
		t.Error("bytes with the kernel were changed")
	}
	table.Sent(id)
	if got, want := table.Output(id), append(frame(pattern(20, 2)), frame(pattern(30, 3))...); !bytes.Equal(got, want) {
		t.Errorf("second send is %x, want %x", got, want)
	}
}

func TestLongestAnswers(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	long := pattern(65535, 1)
	for i := range 2 {
		if !answer(t, table, id, long) {
			t.Fatalf("answer %d of 65535 bytes refused with nothing sent yet", i)
		}
	}
	for i := range 2 {
		if got := table.Output(id); !bytes.Equal(got, frame(long)) {
			t.Fatalf("send %d: %d bytes", i, len(got))
		}
		table.Sent(id)
	}
}

func TestClientThatDoesNotRead(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	msg := pattern(1000, 1)
	answer(t, table, id, msg)
	table.Output(id) // never Sent
	unread := 0
	for answer(t, table, id, msg) {
		if unread += len(msg) + 2; unread > 2*BufferLargeBytes {
			t.Fatalf("%d bytes queued for a client that does not read", unread)
		}
	}
	if unread < 65536 {
		t.Errorf("closed with %d bytes unread, want room for the longest message at least", unread)
	}
	if !table.ShouldClose(id) || table.Stats().SlowReaders != 1 || table.Output(id) != nil {
		t.Error("not to be closed")
	}
}

// TestClientFasterThanItReads pipelines queries that are answered at once: it is paused, never closed.
func TestClientFasterThanItReads(t *testing.T) {
	const queries = 4000
	table := newTable(t, small())
	id := accept(t, table)
	memory := make([]byte, 8192)
	asked, answered := 0, 0
	for answered < queries {
		if asked < queries && table.WantRead(id) {
			n := 0
			for ; asked < queries && n < 4000; asked++ {
				n += copy(memory[n:], frame(pattern(30, byte(asked))))
			}
			table.Feed(id, memory[:n])
		}
		for {
			if _, status := table.Next(id); status != Message {
				break
			}
			if !answer(t, table, id, pattern(600, 9)) {
				t.Fatalf("refused answer %d", answered)
			}
			answered++
		}
		if table.Output(id) == nil { // One is under way; the client has taken it just now.
			table.Sent(id)
		}
	}
	if table.Stats().Held == 0 {
		t.Error("was never paused, so this test shows nothing")
	}
}

func TestOutputPoolExhaustion(t *testing.T) {
	cfg := small()
	cfg.PoolSmall, cfg.PoolLarge = 2, 1
	table := newTable(t, cfg)
	a, b, c := accept(t, table), accept(t, table), accept(t, table)
	answer(t, table, a, pattern(5000, 1)) // the large buffer
	answer(t, table, b, pattern(4000, 1))
	if !answer(t, table, b, pattern(4000, 2)) {
		t.Error("with no large buffer a second small one should do")
	}
	if answer(t, table, c, pattern(10, 1)) || !table.ShouldClose(c) {
		t.Error("an answer without a buffer was taken")
	}
	if got := table.Stats().OutputNoBuffer; got != 1 {
		t.Errorf("OutputNoBuffer = %d, want 1", got)
	}
	for i := range 2 {
		if got, want := table.Output(b), frame(pattern(4000, byte(i+1))); !bytes.Equal(got, want) {
			t.Errorf("send %d of b: %d bytes, want %d", i, len(got), len(want))
		}
		table.Sent(b)
	}
}

func TestHalfCloseStillGetsItsAnswers(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	memory := make(rx, 64)
	table.WantRead(id)
	memory.read(table, id, append(frame(pattern(12, 1)), 0, 9)) // and half a message that will never be whole
	table.Begin(id)
	table.End(id)
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"a query is under way", func() {}, false},
		{"its answer is queued", func() { answer(t, table, id, pattern(20, 1)); table.Done(id, 1) }, false},
		{"the answer is with the kernel", func() { table.Output(id) }, false},
		{"the answer is sent", func() { table.Sent(id) }, true},
		{"the engine is closing", func() { table.Shut(id) }, false},
	} {
		step.do()
		if got := table.ShouldClose(id); got != step.want {
			t.Errorf("%s: ShouldClose = %v, want %v", step.name, got, step.want)
		}
		if table.WantRead(id) {
			t.Errorf("%s: reads after the end", step.name)
		}
	}
}

func TestHeldMessagesOutliveTheEnd(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	memory := make(rx, 256)
	for range small().InFlightPerConn {
		table.Begin(id)
	}
	if _, status := memory.read(table, id, frame(pattern(12, 1))); status != TooMany {
		t.Fatalf("at the cap: %v", status)
	}
	table.End(id)
	for range small().InFlightPerConn {
		table.Done(id, 1)
	}
	if table.ShouldClose(id) {
		t.Error("closes over a message that waits")
	}
	msgs, _ := pump(table, id)
	sameMessages(t, msgs, [][]byte{pattern(12, 1)})
	if !table.ShouldClose(id) {
		t.Error("does not close when nothing is owed")
	}
}

func TestShutKeepsOnlyWhatTheKernelHolds(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	memory := make(rx, 64)
	memory.read(table, id, []byte{0, 9})
	answer(t, table, id, pattern(10, 1))
	out := table.Output(id)
	before := bytes.Clone(out)
	answer(t, table, id, pattern(10, 2))
	if got := table.Stats().SmallInUse; got != 3 {
		t.Fatalf("%d small buffers in use, want 3", got)
	}
	if !table.Shut(id) || table.Shut(id) || !table.Conn(id).Shut() {
		t.Error("Shut is true the first time only")
	}
	if got := table.Stats().SmallInUse; got != 1 {
		t.Errorf("%d small buffers in use after Shut, want the one with the kernel", got)
	}
	other := accept(t, table)
	for i := range 30 {
		answer(t, table, other, pattern(100, byte(i)))
	}
	if !bytes.Equal(out, before) {
		t.Error("bytes with the kernel were changed")
	}
	if msg, status := memory.read(table, id, frame(pattern(3, 3))); msg != nil || status != NeedMore {
		t.Errorf("input after Shut: %v", status)
	}
	if table.Reserve(id, 12) != nil || table.Output(id) != nil || table.WantRead(id) || table.ShouldClose(id) {
		t.Error("a shut connection still wants something")
	}
	table.Sent(id)
	if got := table.Stats().SmallInUse; got != 1 { // that of other
		t.Errorf("%d small buffers in use after Sent, want 1", got)
	}
}

// TestOutputAgainstModel checks that what is sent is what was committed, whatever the order of events, and that nothing changes while
// the kernel has it.
func TestOutputAgainstModel(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 3))
			table := newTable(t, small())
			id := accept(t, table)
			var want, got, sending, copied []byte
			for step := range 4000 {
				switch r.IntN(4) {
				case 0, 1:
					n := 1 + r.IntN(300)
					if r.IntN(50) == 0 {
						n = 1 + r.IntN(65535)
					}
					if len(want)-len(got) > outputPauseBytes {
						continue // a worker would be told TooMany
					}
					msg := pattern(n, byte(step))
					if !answer(t, table, id, msg) {
						t.Fatalf("step %d: refused %d bytes behind %d", step, n, len(want)-len(got))
					}
					want = append(want, frame(msg)...)
				case 2:
					if out := table.Output(id); out != nil {
						if sending != nil {
							t.Fatalf("step %d: two sends at a time", step)
						}
						sending, copied = out, bytes.Clone(out)
					}
				case 3:
					if sending != nil {
						if !bytes.Equal(sending, copied) {
							t.Fatalf("step %d: bytes with the kernel were changed", step)
						}
						got = append(got, copied...)
						sending = nil
						table.Sent(id)
					}
				}
			}
			if sending != nil {
				got = append(got, copied...)
				table.Sent(id)
			}
			for out := table.Output(id); out != nil; out = table.Output(id) {
				got = append(got, out...)
				table.Sent(id)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("sent %d bytes, committed %d, or they differ", len(got), len(want))
			}
		})
	}
}
