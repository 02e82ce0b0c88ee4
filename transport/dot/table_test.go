package dot

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// TestTableAgainstModel does random things to a table and to a map.
func TestTableAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type query struct {
		due      due
		deadline time.Duration
		kept     bool
		name     int
	}
	const grace = 10
	var (
		table table
		model = map[uint16]query{}
		now   time.Duration
		count uint32
	)
	table.init()
	for range 200000 {
		switch action := random.IntN(10); {
		case action < 5:
			name := random.IntN(4)
			packed := packedQueries[name]
			end, _ := transport.QuestionEnd(packed)
			count++
			q := query{due: due{count, ^count}, deadline: now + time.Duration(random.IntN(20)), name: name}
			id, ok := table.add(transport.Request{Slot: q.due.slot, Gen: q.due.gen, Deadline: q.deadline, Query: packed}, end, 0)
			if ok != (len(model) < outstandingMax) {
				t.Fatalf("add with %d ids taken: %t", len(model), ok)
			}
			if _, taken := model[id]; ok && taken {
				t.Fatalf("id %d given out twice", id)
			}
			if ok {
				model[id] = q
			}
		case action < 9:
			id, name := uint16(random.Uint32()), random.IntN(4)
			for taken := range model { // some id that is taken, most of the time
				if action < 8 {
					id = taken
				}
				break
			}
			msg := append([]byte(nil), packedQueries[name]...)
			msg[2] |= 0x80
			binary.BigEndian.PutUint16(msg, id)
			q, taken := model[id]
			want, wantDue := unmatched, due{}
			switch {
			case taken && !q.kept && q.name == name:
				want, wantDue = matched, q.due
			case taken && !q.kept:
				want, wantDue = mismatched, q.due
			}
			if !taken || !q.kept || q.name == name {
				delete(model, id)
			}
			if gotDue, got := table.match(msg); got != want || gotDue != wantDue {
				t.Fatalf("match: %v %v, want %v %v", gotDue, got, wantDue, want)
			}
		default:
			now++
			late := map[due]bool{}
			for _, d := range table.expire(now, grace, nil) {
				late[d] = true
			}
			for id, q := range model {
				switch {
				case !q.kept && now >= q.deadline:
					if !late[q.due] {
						t.Fatalf("query %v of %d not expired at %d", q.due, q.deadline, now)
					}
					delete(late, q.due)
					q.kept = true
					model[id] = q
				case q.kept && now >= q.deadline+grace:
					delete(model, id)
				}
			}
			if len(late) != 0 {
				t.Fatalf("expired without reason: %v", late)
			}
		}
		if table.used() != len(model) {
			t.Fatalf("%d ids taken, want %d", table.used(), len(model))
		}
	}
	table.drain(func(e *entry) { count = 0 })
	if table.used() != 0 || len(table.free) != len(table.chunks)*chunkEntries {
		t.Errorf("after drain: %d taken, %d free of %d", table.used(), len(table.free), len(table.chunks)*chunkEntries)
	}
}

var packedQueries = func() (queries [4][]byte) {
	for i := range queries {
		queries[i] = lanetest.Query(lanetest.Name(i))
	}
	return queries
}()

// TestTableFull wants exactly outstandingMax different ids.
func TestTableFull(t *testing.T) {
	var table table
	table.init()
	end, _ := transport.QuestionEnd(packedQueries[0])
	seen := map[uint16]bool{}
	for i := range outstandingMax {
		id, ok := table.add(transport.Request{Query: packedQueries[0]}, end, 0)
		if !ok || seen[id] {
			t.Fatalf("query %d: id %d, ok %t, seen before %t", i, id, ok, seen[id])
		}
		seen[id] = true
	}
	if _, ok := table.add(transport.Request{Query: packedQueries[0]}, end, 0); ok {
		t.Error("one query too many was taken")
	}
}
