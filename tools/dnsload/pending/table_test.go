package pending

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"secure-dns-proxy/tools/dnsload/query"
)

func generator(t testing.TB, mix query.Mix) *query.Generator {
	t.Helper()
	c, err := query.New(query.Config{Pattern: "n%d.bench.example", Names: 1 << 40, Mix: mix})
	if err != nil {
		t.Fatal(err)
	}
	return c.Generator(0, 1)
}

func table(t testing.TB, max int) *Table {
	t.Helper()
	tab, err := New(max)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// answer is the right answer to packet.
func answer(packet []byte) []byte {
	a := bytes.Clone(packet)
	a[2] |= 0x80
	return a
}

// changed is the right answer to packet with one byte changed.
func changed(packet []byte, at int, to byte) []byte {
	a := answer(packet)
	a[at] = to
	return a
}

func TestJudge(t *testing.T) {
	tab, g := table(t, 8), generator(t, query.Mix{})
	packet := bytes.Clone(tab.Compose(g, 100, 100))
	upper := answer(packet)
	upper[13] ^= 0x20 // the n of n%d
	for _, c := range []struct {
		name string
		msg  []byte
		want Verdict
	}{
		{"empty", nil, Malformed},
		{"11 bytes", answer(packet)[:11], Malformed},
		{"query", packet, Malformed},
		{"opcode", changed(packet, 2, 0x80|0x28), Malformed},
		{"never sent", changed(packet, 1, packet[1]+1), WrongID},
		{"other generation", changed(packet, 0, packet[0]+4), WrongID},
		{"no question", changed(packet, 5, 0), WrongQuestion},
		{"two questions", changed(packet, 5, 2), WrongQuestion},
		{"header only", answer(packet)[:12], WrongQuestion},
		{"question cut off", answer(packet)[:len(packet)-1], WrongQuestion},
		{"another name", changed(packet, 14, 'x'), WrongQuestion},
		{"another type", changed(packet, len(packet)-3, 28), WrongQuestion},
		{"another class", changed(packet, len(packet)-1, 3), WrongQuestion},
		{"another case", upper, WrongCase},
		{"right", append(answer(packet), 1, 2, 3), Answer},
		{"right once more", answer(packet), Duplicate},
	} {
		if got, at := tab.Judge(c.msg); got != c.want || got == Answer && at != 100 {
			t.Errorf("%s: got %v (at %d), want %v", c.name, got, at, c.want)
		}
	}
	if tab.Len() != 0 {
		t.Errorf("got %d outstanding, want 0", tab.Len())
	}
}

// A letter in the type or class must not be compared as one.
func TestTypeHasNoCase(t *testing.T) {
	c, err := query.New(query.Config{Pattern: "n%d.example", Names: 1, Mix: query.Mix{Types: []query.TypeShare{{Type: 'a', Weight: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	tab := table(t, 1)
	packet := tab.Compose(c.Generator(0, 1), 0, 0)
	if got, _ := tab.Judge(changed(packet, len(packet)-3, 'A')); got != WrongQuestion {
		t.Errorf("got %v, want %v", got, WrongQuestion)
	}
}

func TestCaseCounts(t *testing.T) {
	tab, g := table(t, 1), generator(t, query.Mix{Case: 1})
	for range 100 {
		packet := bytes.Clone(tab.Compose(g, 0, 0))
		lower := answer(packet)
		copy(lower[12:], bytes.ToLower(lower[12:len(lower)-4]))
		want := WrongCase
		if bytes.Equal(lower[12:], packet[12:]) {
			want = Answer
		}
		if got, _ := tab.Judge(lower); got != want {
			t.Errorf("lower-cased answer to %q: got %v, want %v", packet[12:], got, want)
		}
		tab.Judge(answer(packet))
	}
}

func TestExpire(t *testing.T) {
	tab, g := table(t, 4), generator(t, query.Mix{})
	var packets [][]byte
	for at := range int64(4) {
		packets = append(packets, bytes.Clone(tab.Compose(g, at, at)))
	}
	if tab.Compose(g, 9, 9) != nil {
		t.Error("got a query beyond the window")
	}
	if all, counted := tab.Expire(3, 1); all != 3 || counted != 2 {
		t.Errorf("got %d lost, %d of them measured; want 3 and 2", all, counted)
	}
	if tab.Len() != 1 || tab.Room() != 3 {
		t.Errorf("got %d outstanding and room for %d, want 1 and 3", tab.Len(), tab.Room())
	}
	// New queries take other slots, so a late answer is known as one.
	for range 3 {
		if tab.Compose(g, 5, 5) == nil {
			t.Fatal("got no query, want one in the place of a lost one")
		}
	}
	for i, want := range []Verdict{Late, Late, Late, Answer} {
		if got, _ := tab.Judge(answer(packets[i])); got != want {
			t.Errorf("answer %d: got %v, want %v", i, got, want)
		}
	}
	if all, _ := tab.Expire(3, 0); all != 0 {
		t.Errorf("got %d lost twice", all)
	}
}

// The server has its time from when the query was really sent; whether it counts goes by when it was to be.
func TestExpireOfWhatWasSentLate(t *testing.T) {
	tab, g := table(t, 2), generator(t, query.Mix{})
	packet := bytes.Clone(tab.Compose(g, 10, 50))
	if all, _ := tab.Expire(50, 0); all != 0 {
		t.Error("lost before its time")
	}
	if got, at := tab.Judge(answer(packet)); got != Answer || at != 10 {
		t.Errorf("got %v of the query due at %d, want %v and 10", got, at, Answer)
	}
	tab.Compose(g, 10, 50)
	if all, counted := tab.Expire(51, 11); all != 1 || counted != 0 {
		t.Errorf("got %d lost, %d measured, want 1 and 0", all, counted)
	}
}

func TestExhaustedGenerator(t *testing.T) {
	c, err := query.New(query.Config{Pattern: "n%d.example", Names: 2, Order: query.Once})
	if err != nil {
		t.Fatal(err)
	}
	tab, g := table(t, 4), c.Generator(0, 1)
	for i, want := range []bool{true, true, false, false} {
		if got := tab.Compose(g, 0, 0) != nil; got != want {
			t.Errorf("query %d: got %v, want %v", i, got, want)
		}
	}
	if tab.Len() != 2 {
		t.Errorf("got %d outstanding, want 2", tab.Len())
	}
}

func TestNewRefuses(t *testing.T) {
	for _, max := range []int{-1, 0, OutstandingMax + 1} {
		if _, err := New(max); err == nil {
			t.Errorf("window %d: got no error", max)
		}
	}
}

// Random lives of a table against a map from id to packet, with every past answer offered again.
func TestAgainstModel(t *testing.T) {
	for _, max := range []int{1, 3, 16, OutstandingMax} {
		random := rand.New(rand.NewPCG(1, uint64(max)))
		tab, g := table(t, max), generator(t, query.Mix{EDNS: 0.5, UDPSize: 1232})
		type sent struct {
			packet []byte
			at     int64
			state  Verdict // Answer while outstanding, then what another answer is
		}
		var history []sent
		outstanding := 0
		for now := range int64(20000) {
			switch random.IntN(4) {
			case 0, 1:
				if p := tab.Compose(g, now, now); p != nil {
					for i := range history { // ids in flight are unique
						if h := &history[i]; h.state == Answer && bytes.Equal(h.packet[:2], p[:2]) {
							t.Fatalf("id %x is outstanding twice", p[:2])
						}
					}
					history = append(history, sent{bytes.Clone(p), now, Answer})
					outstanding++
				} else if outstanding < max {
					t.Fatalf("no room with %d of %d outstanding", outstanding, max)
				}
			case 2:
				if len(history) == 0 {
					continue
				}
				h := &history[random.IntN(len(history))]
				got, at := tab.Judge(answer(h.packet))
				// An id comes back after some generations: then the question tells.
				if got != h.state && (h.state == Answer || got != WrongID && got != WrongQuestion) {
					t.Fatalf("window %d, query sent at %d: got %v, want %v", max, h.at, got, h.state)
				}
				if h.state == Answer {
					if at != h.at {
						t.Fatalf("got %d as the time of the query sent at %d", at, h.at)
					}
					h.state = Duplicate
					outstanding--
				}
			case 3:
				if random.IntN(50) > 0 {
					continue
				}
				before, lost := now-int64(4*max), 0
				for i := range history {
					if h := &history[i]; h.state == Answer && h.at < before {
						h.state = Late
						lost++
					}
				}
				if all, _ := tab.Expire(before, 0); all != lost {
					t.Fatalf("got %d lost, want %d", all, lost)
				}
				outstanding -= lost
			}
			if tab.Len() != outstanding {
				t.Fatalf("got %d outstanding, want %d", tab.Len(), outstanding)
			}
			if len(history) > 3*max+50 { // what is old has no more to say
				history = slices.DeleteFunc(history, func(h sent) bool { return h.state != Answer && h.at < now-int64(8*max) })
			}
		}
	}
}

func FuzzJudge(f *testing.F) {
	tab := table(f, 64)
	g := generator(f, query.Mix{Case: 0.5})
	for at := range int64(64) {
		packet := tab.Compose(g, at, at)
		f.Add(answer(packet))
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := tab.Len()
		verdict, _ := tab.Judge(msg)
		if verdict != Answer {
			if tab.Len() != before {
				t.Errorf("got %d outstanding after %v, want %d", tab.Len(), verdict, before)
			}
			return
		}
		if tab.Len() != before-1 || !bytes.Equal(msg[4:6], []byte{0, 1}) {
			t.Errorf("% x was taken for an answer; %d outstanding, were %d", msg, tab.Len(), before)
		}
		tab.Compose(g, 0, 0)
	})
}

func TestDoesNotAllocate(t *testing.T) {
	tab, g := table(t, 16), generator(t, query.Mix{})
	msg := make([]byte, 512)
	if n := testing.AllocsPerRun(1000, func() {
		packet := tab.Compose(g, 1, 1)
		msg = append(msg[:0], packet...)
		msg[2] |= 0x80
		tab.Judge(msg)
		tab.Compose(g, 1, 1)
		tab.Expire(2, 0)
	}); n != 0 {
		t.Errorf("got %v allocations per query, want 0", n)
	}
}

func TestSlotSize(t *testing.T) {
	if got := unsafe.Sizeof(Slot{}); got != 320 {
		t.Errorf("got a slot of %d bytes, want 320, an odd number of cache lines", got)
	}
}

func BenchmarkComposeAndJudge(b *testing.B) {
	tab, g := table(b, 16), generator(b, query.Mix{})
	var msgs [16][512]byte
	for b.Loop() { // 16 queries
		for i := range msgs {
			copy(msgs[i][:], tab.Compose(g, 1, 1))
			msgs[i][2] |= 0x80
		}
		for i := range msgs {
			if v, _ := tab.Judge(msgs[i][:100]); v != Answer {
				b.Fatal(v)
			}
		}
	}
}
