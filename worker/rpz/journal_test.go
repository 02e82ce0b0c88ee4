package rpz

import (
	"net/netip"
	"testing"
)

// TestJournal: one writes, another one reads; each hit is read once and whole, or counted as lost.
func TestJournal(t *testing.T) {
	const hits = 20_000
	j, done := new(Journal), make(chan struct{})
	policy := &Policy{Name: "a"}
	go func() {
		defer close(done)
		for i := range hits {
			name := []byte{1, byte('a' + i%26), 0}
			j.Write(policy, &Match{Trigger: Trigger(i % 5), Action: Drop}, netip.Addr{}, uint16(i%26), name)
		}
	}()
	read := uint64(0)
	look := func() uint64 {
		return j.Read(func(h *Hit) {
			read++
			if h.Policy != policy || len(h.Name()) != 3 || uint16(h.Name()[1]-'a') != h.Type || h.Action != Drop {
				t.Errorf("read %+v", h)
			}
		})
	}
	for {
		select {
		case <-done:
			if lost := look(); read+lost != hits || read == 0 {
				t.Errorf("%d read, %d lost, of %d", read, lost, hits)
			}
			return
		default:
			look()
		}
	}
}
