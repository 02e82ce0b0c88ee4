package stream

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"secure-dns-proxy/ring"
)

// simulated is a client of a table, and what its worker would hold of it.
type simulated struct {
	id      ConnID
	stream  []byte // bytes not yet sent to the table
	want    [][]byte
	broken  bool // the oracle's verdict on the end of stream
	ended   bool
	began   int
	reading bool
	sending []byte
	queued  []byte // committed, not yet sent
}

// pumped does what a worker does after any event, and checks each message.
func (s *simulated) pumped(t testing.TB, table *Table, r *rand.Rand, memory []byte) (status Status) {
	t.Helper()
	for {
		msg, status := table.Next(s.id)
		if status != Message {
			clear(memory) // the turn is over
			if status == Broken && (len(s.want) > 0 || !s.broken) {
				t.Fatalf("broken with %d messages to come", len(s.want))
			}
			return status
		}
		if len(s.want) == 0 || !bytes.Equal(msg, s.want[0]) {
			t.Fatalf("message of %d bytes, want another of %d to come", len(msg), len(s.want))
		}
		s.want = s.want[1:]
		if r.IntN(3) > 0 {
			table.Begin(s.id)
			s.began++
		} else {
			s.answered(t, table, r)
		}
	}
}

// answered queues an answer, unless buffers are short.
func (s *simulated) answered(t testing.TB, table *Table, r *rand.Rand) {
	msg := pattern(1+r.IntN(400), byte(r.Uint32()))
	if answer(t, table, s.id, msg) {
		s.queued = append(s.queued, frame(msg)...)
	}
}

// settled does the last three steps after any event.
func (s *simulated) settled(t testing.TB, table *Table) (alive bool) {
	t.Helper()
	if out := table.Output(s.id); out != nil {
		if s.sending != nil || len(out) > len(s.queued) || !bytes.Equal(out, s.queued[:len(out)]) {
			t.Fatalf("sends %d bytes that are not the next to be sent", len(out))
		}
		s.sending = out
	}
	if table.WantRead(s.id) {
		if s.reading {
			t.Fatal("two reads at a time")
		}
		s.reading = true
	}
	return !table.ShouldClose(s.id)
}

// step has one event happen to the connection; false when it is over.
func (s *simulated) step(t testing.TB, table *Table, r *rand.Rand, memory []byte, now int64) (alive bool) {
	t.Helper()
	switch r.IntN(4) {
	case 0:
		if s.began > 0 {
			s.began--
			s.answered(t, table, r)
			table.Done(s.id, now)
		}
	case 1:
		if s.sending != nil {
			if !bytes.Equal(s.sending, s.queued[:len(s.sending)]) {
				t.Fatal("bytes with the kernel were changed")
			}
			s.queued = s.queued[len(s.sending):]
			s.sending = nil
			table.Sent(s.id)
		}
	default:
		if s.reading && len(s.stream) > 0 {
			n := min(1+r.IntN(len(memory)), len(s.stream))
			if r.IntN(3) == 0 {
				n = 1
			}
			s.reading = false
			table.Feed(s.id, memory[:copy(memory, s.stream[:n])])
			s.stream = s.stream[n:]
		} else if s.reading && !s.ended {
			s.reading, s.ended = false, true
			table.End(s.id)
		}
	}
	return s.pumped(t, table, r, memory) != Broken && s.settled(t, table)
}

// finished checks a connection that is over: unless it was broken, all is read and sent.
func (s *simulated) finished(t testing.TB, table *Table) {
	t.Helper()
	if c := table.Conn(s.id); !c.is(flagBroken) && (len(s.want) > 0 || s.began > 0 || len(s.queued) > 0) {
		t.Fatalf("over with %d messages unread, %d unanswered, %d bytes unsent", len(s.want), s.began, len(s.queued))
	}
}

// simulate drives connections until all are over.
func simulate(t testing.TB, table *Table, r *rand.Rand, streams [][]byte, memoryBytes int) {
	t.Helper()
	memory := make([]byte, memoryBytes)
	var open []*simulated
	for i, stream := range streams {
		var from ring.Path
		from.SetAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 53))
		id, refusal := table.Accept(ring.Handle(i+1), &from, 0)
		if refusal != RefusalNone {
			t.Fatalf("connection %d refused: %v", i, refusal)
		}
		s := &simulated{id: id, stream: stream}
		s.want, s.broken = split(stream)
		s.settled(t, table)
		open = append(open, s)
	}
	for now := int64(1); len(open) > 0; now++ {
		i := r.IntN(len(open))
		s := open[i]
		if s.step(t, table, r, memory, now) {
			continue
		}
		s.finished(t, table)
		table.Shut(s.id)
		table.Release(s.id)
		open[i] = open[len(open)-1]
		open = open[:len(open)-1]
	}
}

func TestTwoThousandConnections(t *testing.T) {
	const conns = 2000
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 4))
		var streams [][]byte
		for i := range conns {
			var stream []byte
			for range r.IntN(12) {
				n := 1 + r.IntN(200)
				if r.IntN(200) == 0 {
					n = 1 + r.IntN(65535)
				}
				stream = append(stream, frame(pattern(n, byte(i)))...)
			}
			if r.IntN(10) == 0 {
				stream = append(stream, 0, 0, 0, 7, 1)
			} else if r.IntN(3) == 0 {
				stream = append(stream, 1, 2, 3)
			}
			streams = append(streams, stream)
		}
		cfg := Defaults()
		cfg.Conns, cfg.PoolLarge = conns, 2*conns
		cfg.InFlightPerConn = 3
		table := newTable(t, cfg)
		simulate(t, table, r, streams, 4096)
		if s := table.Stats(); s.Held == 0 || s.ZeroLength == 0 || s.InputNoBuffer != 0 || s.SlowReaders != 0 {
			t.Errorf("seed %d: %+v: want some held, some of no length, no lack of buffers", seed, s)
		}
		checkEmpty(t, table)
	}
}

// TestScarceBuffers has far too few buffers: connections break, the rest goes on, nothing leaks.
func TestScarceBuffers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 4))
	cfg := Defaults()
	cfg.Conns, cfg.PoolSmall, cfg.PoolLarge = 200, 20, 2
	table := newTable(t, cfg)
	memory := make(rx, 2048)
	ids := map[ConnID]bool{}
	for range 20_000 {
		if id, refusal := table.Accept(1, peer("192.0.2.1"), 0); refusal == RefusalNone {
			ids[id] = true
		}
		for id := range ids {
			if _, status := memory.read(table, id, pattern(1+r.IntN(2000), byte(r.Uint32()))); status != Broken {
				answer(t, table, id, pattern(1+r.IntN(6000), 1))
			}
			if table.Output(id); r.IntN(2) == 0 {
				table.Sent(id)
			}
			if table.ShouldClose(id) {
				table.Release(id)
				delete(ids, id)
			}
			break
		}
	}
	if s := table.Stats(); s.InputNoBuffer == 0 || s.OutputNoBuffer == 0 {
		t.Errorf("%+v: want both kinds of exhaustion", s)
	}
}

// FuzzFramer feeds any bytes in any segmentation, with any order of answers, to two connections at a time, and compares with the
// oracle that has the whole stream at hand.
func FuzzFramer(f *testing.F) {
	f.Add([]byte{}, uint64(0), uint16(1))
	f.Add([]byte{0, 1, 7}, uint64(1), uint16(1))                                              // one message, byte by byte
	f.Add([]byte{0, 0}, uint64(2), uint16(9))                                                 // no length
	f.Add([]byte{0, 2, 1, 2, 0, 1, 3, 0}, uint64(3), uint16(4))                               // two messages and a half length
	f.Add([]byte{0xFF, 0xFF, 1, 2, 3}, uint64(4), uint16(3))                                  // announced and never sent
	f.Add(bytes.Repeat([]byte{0, 3, 1, 2, 3}, 900), uint64(5), uint16(64))                    // pipelined beyond every cap
	f.Add(append(frame(pattern(5000, 1)), frame(pattern(12, 2))...), uint64(6), uint16(5001)) // both classes
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, memoryBytes uint16) {
		r := rand.New(rand.NewPCG(seed, 5))
		cfg := small()
		cfg.InFlightPerConn = 1 + r.IntN(5)
		table := newTable(t, cfg)
		// The second connection has the stream shifted, so that both break and pause at different times.
		simulate(t, table, r, [][]byte{stream, append([]byte{0, 4, 'a', 'b', 'c', 'd'}, stream...)}, 1+int(memoryBytes)%16384)
	})
}

// TestZeroAlloc holds the package's promise, one row per life of a message. Not parallel: AllocsPerRun counts the whole program.
func TestZeroAlloc(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	whole := bytes.Repeat(frame(pattern(40, 1)), 20)
	straddling := frame(pattern(5000, 1))
	reply := pattern(100, 2)
	from := peer("2001:db8::1")
	var now int64
	next := func() {
		for {
			if _, status := table.Next(id); status != Message {
				return
			}
		}
	}
	tests := []struct {
		name string
		do   func()
	}{
		{"20 messages in one read", func() { table.Feed(id, whole); next() }},
		{"straddling, small and large", func() {
			from := 0
			for _, to := range [...]int{1, 2, 1000, 4500, len(straddling)} {
				table.Feed(id, straddling[from:to])
				next()
				from = to
			}
		}},
		{"held and taken up", func() {
			for range small().InFlightPerConn {
				table.Begin(id)
			}
			table.Feed(id, whole)
			next()
			for range small().InFlightPerConn {
				table.Done(id, now)
			}
			next()
		}},
		{"50 answers in one send", func() {
			for range 50 {
				copy(table.Reserve(id, len(reply)), reply)
				table.Commit(id, len(reply))
			}
			table.Output(id)
			table.Sent(id)
		}},
		{"WantRead, ShouldClose, timers", func() {
			table.WantRead(id)
			table.Feed(id, nil)
			table.ShouldClose(id)
			now++
			table.NextTimer(now)
			table.Expired(now)
		}},
		{"a connection", func() {
			other, _ := table.Accept(2, from, now)
			table.Shut(other)
			table.Release(other)
		}},
		{"a refusal", func() {
			for range small().Conns - 1 {
				table.Accept(2, from, now)
			}
			table.Accept(2, from, now)
			for i := range table.conns {
				if c := &table.conns[i]; c.is(flagOpen) && idOf(uint32(i), c.gen) != id {
					table.Release(idOf(uint32(i), c.gen))
				}
			}
		}},
		{"Stats", func() { _ = table.Stats() }},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(50, tt.do); got != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, got)
		}
	}
}

func BenchmarkPipelined(b *testing.B) {
	table := newTable(b, Defaults())
	id := accept(b, table)
	const batch = 32
	data := bytes.Repeat(frame(pattern(40, 1)), batch)
	b.SetBytes(batch * 42)
	for range b.N {
		table.Feed(id, data)
		for {
			if _, status := table.Next(id); status != Message {
				break
			}
			table.Reserve(id, 100)
			table.Commit(id, 100)
		}
		table.Output(id)
		table.Sent(id)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
}
