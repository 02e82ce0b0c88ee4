package shared

import (
	"sync"
	"sync/atomic"
	"testing"

	"secure-dns-proxy/transport/wire"
)

// FuzzTable runs a program of one byte per operation on a table and on a map, while two threads read. The table may forget, but what it returns
// must be the last answer put under that key, whole, with the right age and state; what was flushed must not be there.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0x40, 0x41, 0x42, 0xC0, 0x40, 0xF0, 0x41, 0xF1, 0x42})
	f.Add([]byte{0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 0x40, 0x43, 0x46, 0x49, 0x80, 0x83, 0xC4, 0x40, 0x43})
	f.Add([]byte{5, 0x85, 0x45, 0xFF, 0x45, 5, 0x45, 0xF1, 0x45, 0x85, 0x45})
	f.Fuzz(func(t *testing.T, program []byte) {
		type last struct {
			version, size   int
			ttl, stored     uint32
			flushed, exists bool
		}
		table := onHeap(BytesMin)
		var model [64]last
		var stop atomic.Bool
		var readers sync.WaitGroup
		for n := range 2 {
			readers.Go(func() {
				var c Copy
				for i := n; !stop.Load(); i++ {
					if _, state := table.Get(testHash(i%64), testKey(i%64), 1, &c); state == Fresh || state == Expired {
						if _, problem := checkAnswer(i%64, &c.Answer); problem != "" {
							t.Error(problem)
							return
						}
					}
				}
			})
		}
		var c Copy
		now := uint32(1)
		for step, op := range program {
			i := int(op & 63)
			switch op >> 6 {
			case 0, 2: // put a small one, put one of any size
				size, ttl := 8*(step%20), uint32(1+step%50)
				if op>>6 == 2 {
					size = 8 * (step * 37 % 600)
				}
				if table.Put(testHash(i), testKey(i), testAnswer(i, step, size), ttl, now, &c).Kept() {
					model[i] = last{version: step, size: size, ttl: ttl, stored: now, exists: true}
				} else if 8*headerWords+4+len(testKey(i))+size <= EntryBytesMax {
					t.Fatalf("step %d: not stored", step)
				}
			case 1:
				age, state := table.Get(testHash(i), testKey(i), now, &c)
				m := &model[i]
				if state == Miss {
					break
				}
				version, problem := checkAnswer(i, &c.Answer)
				fresh := m.stored+m.ttl > now
				if problem != "" || !m.exists || m.flushed || version != m.version || len(c.Answer.Records) != m.size || age != now-m.stored ||
					c.Answer.TTL != m.ttl || (state == Fresh) != fresh {
					t.Fatalf("step %d, key %d at %d: %v, age %d, version %d; want %+v %s", step, i, now, state, age, version, *m, problem)
				}
			case 3:
				switch {
				case i == 63:
					table.Flush()
					for j := range model {
						model[j].flushed = true
					}
				case i >= 48: // flush the keys with one last digit
					table.FlushMatching(func(key []byte) bool { return int(wire.KeyName(key)[6]-'0') == i-48 })
					for j := range model {
						if j%10 == i-48 {
							model[j].flushed = true
						}
					}
				default:
					now += uint32(i)
				}
			}
		}
		stop.Store(true)
		readers.Wait()
	})
}
