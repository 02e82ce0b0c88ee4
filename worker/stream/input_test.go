package stream

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"unsafe"

	"github.com/miekg/dns"
)

// frame puts the length in front of a message.
func frame(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// pattern is a message of n bytes that differs from all others and within itself.
func pattern(n int, seed byte) []byte {
	msg := make([]byte, n)
	for i := range msg {
		msg[i] = seed + byte(i) + byte(i>>8)
	}
	return msg
}

// split is the oracle: what a stream means, found with the whole stream at hand.
func split(stream []byte) (msgs [][]byte, broken bool) {
	for len(stream) >= 2 {
		n := int(stream[0])<<8 | int(stream[1])
		if n == 0 {
			return msgs, true
		}
		if len(stream) < 2+n {
			break
		}
		msgs = append(msgs, stream[2:2+n])
		stream = stream[2+n:]
	}
	return msgs, false
}

// rx is receive memory as the engine has it: gone at the next turn.
type rx []byte

// read gives data to the connection the way a worker does, and returns copies of the messages. The memory is overwritten afterwards.
func (m rx) read(table *Table, id ConnID, data []byte) (msgs [][]byte, status Status) {
	view := m[:copy(m, data)]
	table.Feed(id, view)
	msgs, status = pump(table, id)
	for i := range view {
		view[i] = 0xEE
	}
	return msgs, status
}

func pump(table *Table, id ConnID) (msgs [][]byte, status Status) {
	for {
		msg, status := table.Next(id)
		if status != Message {
			return msgs, status
		}
		msgs = append(msgs, bytes.Clone(msg))
	}
}

func sameMessages(t testing.TB, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %d messages, want %d, or they differ", len(got), len(want))
	}
}

func TestFramingUnderEverySegmentation(t *testing.T) {
	contents := map[string][][]byte{
		"one byte":     {{7}},
		"two":          {pattern(12, 1), pattern(30, 2)},
		"many":         {pattern(1, 1), pattern(2, 2), pattern(3, 3), pattern(255, 4), pattern(256, 5), pattern(257, 6)},
		"small class":  {pattern(4093, 1), pattern(4094, 2), pattern(4095, 3), pattern(12, 4)},
		"large class":  {pattern(4096, 1), pattern(20_000, 2), pattern(12, 3)},
		"longest":      {pattern(65535, 1), pattern(12, 2), pattern(65535, 3)},
		"long, shorts": {pattern(9000, 1), pattern(12, 2), pattern(12, 3), pattern(12, 4), pattern(12, 5)},
	}
	for name, want := range contents {
		var stream []byte
		for _, msg := range want {
			stream = append(stream, frame(msg)...)
		}
		for _, step := range []int{1, 2, 3, 7, 1000, 4096, 5000, 16384, len(stream)} {
			if step > 65536 {
				step = 65536
			}
			table := newTable(t, small())
			memory := make(rx, step)
			id := accept(t, table)
			var got [][]byte
			for part := range slices.Chunk(stream, step) {
				msgs, status := memory.read(table, id, part)
				if status != NeedMore {
					t.Fatalf("%s in steps of %d: %v after %d messages", name, step, status, len(got)+len(msgs))
				}
				got = append(got, msgs...)
			}
			sameMessages(t, got, want)
			if s := table.Stats(); s.SmallInUse+s.LargeInUse != 0 {
				t.Errorf("%s in steps of %d: %d small and %d large buffers in use with nothing to keep", name, step, s.SmallInUse, s.LargeInUse)
			}
		}
	}
}

// TestFramesLikeMiekg compares with the framing that the best known library of the trade reads.
func TestFramesLikeMiekg(t *testing.T) {
	var stream []byte
	for n := 12; n < 3000; n += 97 {
		stream = append(stream, frame(pattern(n, byte(n)))...)
	}
	client, server := net.Pipe()
	go func() {
		client.Write(stream)
		client.Close()
	}()
	var want [][]byte
	for co := (dns.Conn{Conn: server}); ; {
		msg, err := co.ReadMsgHeader(nil)
		if err != nil {
			break
		}
		want = append(want, msg)
	}
	if len(want) == 0 {
		t.Fatal("the library read nothing")
	}
	table := newTable(t, small())
	id := accept(t, table)
	memory := make(rx, 700)
	var got [][]byte
	for part := range slices.Chunk(stream, 700) {
		msgs, _ := memory.read(table, id, part)
		got = append(got, msgs...)
	}
	sameMessages(t, got, want)
}

func TestInPlaceUnlessStraddling(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	// Half of the first message, then its rest with two whole ones and the start of a fourth.
	first, second, third := pattern(20, 1), pattern(30, 2), pattern(40, 3)
	stream := slices.Concat(frame(first), frame(second), frame(third), []byte{0})
	table.Feed(id, stream[:10])
	if _, status := table.Next(id); status != NeedMore {
		t.Fatalf("half a message: %v", status)
	}
	data := stream[10:]
	table.Feed(id, data)
	for i, tt := range []struct {
		want    []byte
		inPlace bool
	}{{first, false}, {second, true}, {third, true}} {
		msg, status := table.Next(id)
		if status != Message || !bytes.Equal(msg, tt.want) {
			t.Fatalf("message %d: %v %x", i, status, msg)
		}
		if got := within(msg, data); got != tt.inPlace {
			t.Errorf("message %d in place: %v, want %v", i, got, tt.inPlace)
		}
		if cap(msg) != len(msg) {
			t.Errorf("message %d: appending to it would write into the next", i)
		}
	}
	if _, status := table.Next(id); status != NeedMore {
		t.Errorf("half a length: %v", status)
	}
	if got := table.Stats().SmallInUse; got != 1 {
		t.Errorf("half a length is kept in %d buffers, want 1", got)
	}
}

// within tells whether b is a part of outer.
func within(b, outer []byte) bool {
	first := uintptr(unsafe.Pointer(unsafe.SliceData(outer)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= first && at < first+uintptr(len(outer))
}

func TestZeroLengthFrameBreaks(t *testing.T) {
	tests := []struct {
		name   string
		before int
		reads  [][]byte
	}{
		{"alone", 0, [][]byte{{0, 0}}},
		{"cut", 0, [][]byte{{0}, {0}}},
		{"behind a message", 1, [][]byte{{0, 1, 7, 0, 0, 0, 1, 8}}},
		{"behind a cut message", 1, [][]byte{{0, 1}, {7, 0, 0, 0, 1, 8}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, small())
			id := accept(t, table)
			memory := make(rx, 64)
			var got [][]byte
			var status Status
			for _, data := range tt.reads {
				var msgs [][]byte
				msgs, status = memory.read(table, id, data)
				got = append(got, msgs...)
			}
			if len(got) != tt.before || status != Broken {
				t.Errorf("%d messages, then %v; want %d, then broken", len(got), status, tt.before)
			}
			if _, again := memory.read(table, id, []byte{0, 1, 9}); again != Broken {
				t.Errorf("a broken connection goes on: %v", again)
			}
			if !table.ShouldClose(id) || table.WantRead(id) || table.Reserve(id, 12) != nil || table.Stats().ZeroLength != 1 {
				t.Error("a broken connection is not to be closed")
			}
		})
	}
}

func TestTooManyKeepsTheRest(t *testing.T) {
	for _, size := range []int{12, 600, 5000} { // held in a small, a large, a large buffer
		table := newTable(t, small())
		id := accept(t, table)
		memory := make(rx, 65536)
		var stream []byte
		var want, got [][]byte
		for i := range 11 {
			want = append(want, pattern(size, byte(i)))
			stream = append(stream, frame(want[i])...)
		}
		if !table.WantRead(id) || table.WantRead(id) {
			t.Fatal("want exactly one read to start with")
		}
		view := memory[:copy(memory, stream[:len(stream)-5])]
		table.Feed(id, view)
		for {
			msg, status := table.Next(id)
			if status == Message {
				got = append(got, bytes.Clone(msg))
				table.Begin(id)
				continue
			}
			clear(view) // the turn is over
			if status == NeedMore {
				break
			}
			if status != TooMany || table.Pending(id) || table.WantRead(id) || table.ShouldClose(id) {
				t.Fatalf("size %d: %v after %d messages", size, status, len(got))
			}
			if got := table.Conn(id).InFlight(); got != small().InFlightPerConn {
				t.Fatalf("size %d: too many with %d in flight", size, got)
			}
			table.Done(id, 1)
			if !table.Pending(id) {
				t.Fatalf("size %d: nothing pending after Done", size)
			}
			if table.WantRead(id) {
				t.Fatalf("size %d: reads on with messages held", size)
			}
			table.Done(id, 1)
		}
		sameMessages(t, got, want[:10])
		for table.Conn(id).InFlight() > 0 {
			table.Done(id, 1)
		}
		if !table.WantRead(id) {
			t.Fatalf("size %d: no read for the last message", size)
		}
		msgs, _ := memory.read(table, id, stream[len(stream)-5:])
		sameMessages(t, msgs, want[10:])
	}
}

// TestHeldTailNeedsNoSecondBuffer has a buffer whose messages are consumed but for the start of the last, and no other to move to.
func TestHeldTailNeedsNoSecondBuffer(t *testing.T) {
	cfg := small()
	cfg.PoolSmall, cfg.InFlightPerConn = 1, 1
	table := newTable(t, cfg)
	id := accept(t, table)
	memory := make(rx, 8192)
	table.Begin(id)
	held, last := pattern(3000, 1), pattern(2000, 2)
	stream := slices.Concat(frame(held), frame(last))
	if _, status := memory.read(table, id, stream[:4000]); status != TooMany {
		t.Fatalf("at the cap: %v", status)
	}
	table.Done(id, 1)
	msgs, _ := pump(table, id)
	sameMessages(t, msgs, [][]byte{held})
	msgs, status := memory.read(table, id, stream[4000:])
	sameMessages(t, msgs, [][]byte{last})
	if status != NeedMore {
		t.Errorf("afterwards: %v", status)
	}
}

func TestHalfMessageAtTheCapIsNoMessage(t *testing.T) {
	table := newTable(t, small())
	id := accept(t, table)
	for range small().InFlightPerConn {
		table.Begin(id)
	}
	table.Feed(id, []byte{0, 9, 1})
	if _, status := table.Next(id); status != NeedMore {
		t.Errorf("half a message at the cap: %v, want need more", status)
	}
	if table.WantRead(id) {
		t.Error("reads at the cap")
	}
	table.Done(id, 1)
	if !table.WantRead(id) {
		t.Error("does not read below the cap")
	}
}

// TestInterleavedFeeds leaves a read unconsumed while another connection's comes: it must be kept.
func TestInterleavedFeeds(t *testing.T) {
	table := newTable(t, small())
	a, b := accept(t, table), accept(t, table)
	memory := make(rx, 64)
	view := memory[:copy(memory, slices.Concat(frame(pattern(5, 1)), frame(pattern(6, 2))))]
	table.Feed(a, view)
	if msg, _ := table.Next(a); !bytes.Equal(msg, pattern(5, 1)) {
		t.Fatalf("first message of a: %x", msg)
	}
	table.Feed(b, frame(pattern(7, 3)))
	clear(view)
	gotB, _ := pump(table, b)
	gotA, _ := pump(table, a)
	sameMessages(t, gotB, [][]byte{pattern(7, 3)})
	sameMessages(t, gotA, [][]byte{pattern(6, 2)})
}

func TestInputPoolExhaustion(t *testing.T) {
	cfg := small() // 16 small buffers, of which a quarter is for answers
	cfg.Conns, cfg.ConnsPerClient = 16, 16
	table := newTable(t, cfg)
	memory := make(rx, 8192)
	var ids []ConnID
	for i := range 13 {
		id := accept(t, table)
		ids = append(ids, id)
		_, status := memory.read(table, id, []byte{0, 50, 1})
		if want := map[bool]Status{true: NeedMore, false: Broken}[i < 12]; status != want {
			t.Errorf("half message %d: %v, want %v", i, status, want)
		}
	}
	if got := table.Stats().InputNoBuffer; got != 1 {
		t.Errorf("InputNoBuffer = %d, want 1", got)
	}
	if table.Reserve(ids[0], 12) == nil {
		t.Error("half messages took the buffers that are for answers")
	}
	table.Commit(ids[0], 12)
	table.Release(ids[1])
	if _, status := memory.read(table, accept(t, table), []byte{0, 50, 1}); status != Broken {
		t.Errorf("with an answer and 11 half messages: %v, want broken", status)
	}
	table.Release(ids[2])
	if _, status := memory.read(table, accept(t, table), []byte{0, 50, 1}); status != NeedMore {
		t.Errorf("after two were released: %v", status)
	}
}

func TestLongMessagesTakeLargeBuffersOnlyWhenTheyCome(t *testing.T) {
	cfg := small()
	cfg.PoolLarge = 2 // both for input: a quarter of two is none
	table := newTable(t, cfg)
	memory := make(rx, 8192)
	var ids []ConnID
	for range 3 {
		id := accept(t, table)
		ids = append(ids, id)
		if _, status := memory.read(table, id, append([]byte{0xFF, 0xFF}, pattern(4000, 1)...)); status != NeedMore {
			t.Fatalf("announced: %v", status)
		}
	}
	if got := table.Stats().LargeInUse; got != 0 {
		t.Errorf("announcements took %d large buffers", got)
	}
	for i, want := range []Status{NeedMore, NeedMore, Broken} {
		if _, status := memory.read(table, ids[i], pattern(200, 2)); status != want {
			t.Errorf("connection %d over 4 KiB: %v, want %v", i, status, want)
		}
	}
}
