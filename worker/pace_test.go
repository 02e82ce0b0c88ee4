package worker

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/balance"
)

func TestPace(t *testing.T) {
	for _, tt := range []struct {
		perSecond, workers int
		first, second      int // of 100 tries at once, and of 100 more a quarter of a second later
	}{{0, 1, 100, 100}, {20, 1, 20, 5}, {20, 2, 10, 2}, {1, 1, 1, 0}, {1, 4, 1, 0}} {
		p, full := paceOf(tt.perSecond, tt.workers), int64(0)
		for i, want := range []int{tt.first, tt.second} {
			now, n := int64(time.Hour)+int64(i)*int64(time.Second)/4, 0
			for range 100 {
				if p.ready(full, now) {
					full = p.spend(full, now)
					n++
				}
			}
			if n != want {
				t.Errorf("%d a second for %d workers: %d in turn %d, want %d", tt.perSecond, tt.workers, n, i, want)
			}
		}
	}
	if p := paceOf(1, 4); !p.ready(p.spend(0, 0), int64(4*time.Second)) {
		t.Error("one in four seconds is never ready again")
	}
}

// TestRateOfAPool: a pool's upstreams are asked so often a second, retries included; what is more gets an answer. Another pool is not affected.
func TestRateOfAPool(t *testing.T) {
	b := newBench(t, 2, func(_ *Config, s *Snapshot) {
		s.Pools[0].MaxRate, s.Pools[0].Policy, s.Pools[0].Members = 3, balance.Sequential, []int{0}
		other := defaultPool(2)
		other.Name, other.Suffixes, other.Members = "other", [][]byte{wireName("other")}, []int{1}
		s.Pools = append(s.Pools, other)
	})
	asked, refused := 0, 0
	for i := range 10 {
		q := query(uint16(i), string(rune('a'+i))+".example.", dns.TypeA)
		q.SetEdns0(1232, false)
		if d := one(t, b.ask(1, q)); d.handle != clientSocket {
			asked++
			continue
		} else if m := unpack(t, d.data); m.Rcode != dns.RcodeServerFailure || len(m.IsEdns0().Option) != 1 || m.IsEdns0().Option[0].(*dns.EDNS0_EDE).ExtraText != "upstreams at their limit" {
			t.Errorf("what is over the rate got %v", m)
		}
		refused++
	}
	if s := b.w.poolStates[0].stats; asked != 3 || s.Limited != 7 || b.w.stats.Shed != 7 {
		t.Errorf("%d asked, %d refused; counted %d, shed %d", asked, refused, s.Limited, b.w.stats.Shed)
	}
	for i := range 5 {
		if d := one(t, b.ask(1, query(1, string(rune('a'+i))+".other.", dns.TypeA))); d.handle == clientSocket {
			t.Error("the other pool is limited, too")
		}
	}
	b.now += time.Second / 3
	if d := one(t, b.ask(1, query(1, "z.example.", dns.TypeA))); d.handle == clientSocket {
		t.Error("a third of a second later there is no room for one more")
	}
}
