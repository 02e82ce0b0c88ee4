package transport

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestQueueAgainstModel puts and takes records of random sizes and compares with a slice.
func TestQueueAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type item struct {
		r       record
		payload []byte
	}
	for _, spare := range []uint64{0, 1024} {
		q, err := newQueue(4096)
		if err != nil {
			t.Fatal(err)
		}
		var waiting, shown []item
		for i := range uint32(100000) {
			switch random.IntN(5) {
			case 0, 1:
				it := item{record{slot: i, gen: ^i, fault: Fault(i % uint32(FaultCount)), deadline: random.Int64()}, make([]byte, random.IntN(900))}
				for j := range it.payload {
					it.payload[j] = byte(i)
				}
				ok := q.put(it.r, it.payload, spare)
				if !ok && len(waiting)+len(shown) == 0 {
					q.take() // sees that it is empty, which gives the space back
					if ok = q.put(it.r, it.payload, spare); !ok {
						t.Fatalf("an empty queue of 4096 refused %d bytes", len(it.payload))
					}
				}
				if ok {
					waiting = append(waiting, it)
				}
			case 2:
				if got, want := q.publish(), len(waiting) > 0; got != want {
					t.Fatalf("publish: %t with %d records waiting", got, len(waiting))
				}
				shown, waiting = append(shown, waiting...), nil
			default:
				if got, want := q.empty(), len(shown) == 0; got != want {
					t.Fatalf("empty: %t with %d records to take", got, len(shown))
				}
				r, payload, ok := q.take()
				if ok != (len(shown) > 0) {
					t.Fatalf("take: %t with %d records to take", ok, len(shown))
				}
				if !ok {
					break
				}
				if want := shown[0]; r != want.r || !bytes.Equal(payload, want.payload) {
					t.Fatalf("take: %+v and %d bytes, want %+v and %d", r, len(payload), want.r, len(want.payload))
				}
				for j := range payload { // the view is the consumer's
					payload[j] = 0xee
				}
				shown = shown[1:]
			}
		}
	}
}

// TestQueueSpare wants records without payload to find room whenever spare was left for them, wherever the ring's end falls.
func TestQueueSpare(t *testing.T) {
	const faults = 32
	for offset := range 128 {
		q, err := newQueue(4096)
		if err != nil {
			t.Fatal(err)
		}
		for range offset {
			q.put(record{}, nil, 0)
			q.publish()
			q.take()
			q.take()
		}
		for q.put(record{}, make([]byte, 300), faults*recordAlign) {
		}
		for i := range faults {
			if !q.put(record{}, nil, 0) {
				t.Fatalf("offset %d: no room for record %d of %d", offset, i, faults)
			}
		}
	}
}

func TestQueueSize(t *testing.T) {
	for _, bytes := range []int{-1, 0, 1024, 4095, 5000, 1<<20 + 32} {
		if _, err := newQueue(bytes); err == nil {
			t.Errorf("a queue of %d bytes was made", bytes)
		}
	}
}

// TestQueueConcurrent has producer and consumer on different goroutines; the race detector watches.
func TestQueueConcurrent(t *testing.T) {
	q, err := newQueue(4096)
	if err != nil {
		t.Fatal(err)
	}
	const total = 300000
	done := make(chan struct{})
	go func() {
		defer close(done)
		payload := make([]byte, 200)
		for i := uint32(0); i < total; {
			n := int(i*7) % len(payload)
			for j := range payload[:n] {
				payload[j] = byte(i)
			}
			if q.put(record{slot: i}, payload[:n], 0) {
				i++
			} else {
				runtime.Gosched()
			}
			if i%3 == 0 {
				q.publish()
			}
		}
		q.publish()
	}()
	for i := uint32(0); i < total; {
		r, payload, ok := q.take()
		if !ok {
			runtime.Gosched()
			continue
		}
		if r.slot != i || len(payload) != int(i*7)%200 {
			t.Fatalf("record %d: slot %d with %d bytes", i, r.slot, len(payload))
		}
		for _, b := range payload {
			if b != byte(i) {
				t.Fatalf("record %d: overwritten", i)
			}
		}
		i++
	}
	<-done
}
