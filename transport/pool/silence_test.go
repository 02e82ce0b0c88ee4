package pool

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSilence compares silence with a slow account of the same events.
func TestSilence(t *testing.T) {
	type waiting struct {
		call  *Call
		since time.Duration
	}
	var s silence
	var outstanding []waiting
	var heard, vain time.Duration
	for now := time.Duration(1); now < 20000; now++ {
		if len(outstanding) == 0 || rand.IntN(5) > 1 && len(outstanding) < 20 {
			w := waiting{new(Call), now}
			outstanding = append(outstanding, w)
			s.begin(w.call, now)
		} else {
			i := rand.IntN(len(outstanding))
			w := outstanding[i]
			outstanding = slices.Delete(outstanding, i, i+1)
			switch rand.IntN(3) {
			case 0:
				s.broken(w.call, now)
				heard, vain = now, 0
			case 1:
				s.kept(w.call)
				if since := max(w.since, heard); vain == 0 || since < vain {
					vain = since
				}
			default:
				s.end(w.call)
			}
		}
		want := vain
		for _, w := range outstanding {
			if since := max(w.since, heard); want == 0 || since < want {
				want = since
			}
		}
		if got := s.since(); got != want {
			t.Fatalf("at %d: silent since %d, want %d", now, got, want)
		}
	}
}
