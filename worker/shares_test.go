package worker

import (
	"fmt"
	"testing"

	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
)

// TestFloodOfAPoolOrAView: names of one pool, or of a view with a cache of its own, that come without end leave what others have where it is, through a reload too;
// without a share they do not.
func TestFloodOfAPoolOrAView(t *testing.T) {
	guests := viewFor("guests", "10.1.0.0/16")
	guests.OwnCache = true
	for _, tt := range []struct {
		name, flood string // who asks for what
		pool, view  int64
		kept        bool
	}{
		{"no shares", "%d.other.test. TXT", 0, 0, false},
		{"the pool's", "%d.other.test. TXT", 3 << 20, 0, true},
		{"the view's", "%d.test. TXT from=10.1.0.1:1", 0, 3 << 20, true},
		{"both", "%d.other.test. TXT from=10.1.0.1:1", 3 << 20, 3 << 20, true},
	} {
		r := newRuledOf(t, func(s *Snapshot) {
			s.CacheBytes, s.Views = 9<<20, []View{guests}
			s.Pools[1].CacheBytes, s.Views[0].CacheBytes = tt.pool, tt.view
		})
		text := fmt.Sprintf("| %%s 1000 IN TXT %0200d %0200d", 0, 0)
		answer := func(what string) {
			if _, asked := r.send(what); asked == 0 {
				return
			}
			for n := range r.asked {
				if len(r.asked[n]) != 0 {
					r.give(n+1, fmt.Sprintf(text, unpack(t, r.asked[n][0].data).Question[0].Name))
				}
			}
		}
		const theirs = 500
		for i := range theirs {
			answer(fmt.Sprintf("mine%d.test. TXT", i))
		}
		for i := range 24_000 {
			answer(fmt.Sprintf(tt.flood, i))
			if i == 10_000 {
				c := *r.w.command.Load()
				r.w.command.Store(&c)
				r.turn()
			}
		}
		left := 0
		for i := range theirs {
			if got, _ := r.send(fmt.Sprintf("mine%d.test. TXT", i)); got != nil && len(got.Answer) == 1 {
				left++
			}
		}
		if (left == theirs) != tt.kept {
			t.Errorf("%s: %d of %d are left, all expected: %t", tt.name, left, theirs, tt.kept)
		}
		r.w.publish()
		of, view := r.w.poolStates[1].stats.CacheBytes, r.w.viewStates[1].stats.CacheBytes
		if of > uint64(tt.pool) || view > uint64(tt.view) || tt.kept && of+view < 2<<20 {
			t.Errorf("%s: the pool has %d bytes of %d, the view %d of %d", tt.name, of, tt.pool, view, tt.view)
		}
		if s := r.w.cache.Stats(); s.Bytes > s.Limit {
			t.Errorf("%s: %d bytes, limit %d", tt.name, s.Bytes, s.Limit)
		}
	}
}

// TestApportion: what shares and the rest get adds up to no more than there is, and no part is smaller than it may be; what is left of a node's common level is shared
// out with the same percentage.
func TestApportion(t *testing.T) {
	pair := []*node{{workers: []int{0, 1}}}
	guests := viewFor("guests", "10.1.0.0/16")
	guests.OwnCache = true
	for _, tt := range []struct {
		workers    int
		nodes      []*node
		all        int64
		percent    int
		pool, view int64
	}{
		{2, pair, 64 << 20, 25, 16 << 20, 8 << 20},
		{2, pair, 64 << 20, 90, 16 << 20, 6 << 20},
		{2, pair, 64 << 20, 0, 16 << 20, 6 << 20},
		{1, nil, 9 << 20, 25, 3 << 20, 3 << 20},
		{2, pair, 18 << 20, 25, 6 << 20, 6 << 20},
		{4, append(pair, pair...), 64 << 20, 50, 12 << 20, 0},
	} {
		s := &Snapshot{CacheBytes: tt.all, SharedPercent: tt.percent, Pools: []Pool{defaultPool(1), defaultPool(1)}, Views: []View{guests}}
		s.Pools[1].Name, s.Pools[1].CacheBytes, s.Views[0].CacheBytes = "other", tt.pool, tt.view
		if err := s.validateShares(tt.workers); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		g := &Group{cfg: Config{Workers: tt.workers}, nodes: tt.nodes, pools: map[string][]*poolState{"other": {{tag: 3}}}, views: map[string][]*viewState{"guests": {{tag: 7}}}}
		p := g.apportion(s)
		if total := p.perWorker*int64(tt.workers) + p.perNode*int64(len(tt.nodes)); total > tt.all || total < tt.all*99/100 {
			t.Errorf("%+v: %d of %d bytes", tt, total, tt.all)
		}
		if p.shares[0].Pool != 3 || tt.view != 0 && p.shares[1].Partition != 7 {
			t.Errorf("%+v: shares %+v", tt, p.shares)
		}
		shard, err := cache.New(cache.Config{Bytes: p.perWorker})
		if err != nil {
			t.Fatal(err)
		}
		if err := shard.Divide(p.shares); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		shard.Close()
		if p.perNode == 0 {
			continue
		}
		table, err := shared.New(p.perNode, p.commons)
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		table.Close()
	}
	for _, s := range []*Snapshot{
		{CacheBytes: 64 << 20, Pools: []Pool{{Name: "a", CacheBytes: 5 << 20}}},
		{CacheBytes: 64 << 20, Pools: []Pool{{Name: "a", CacheBytes: 60 << 20}}},
		{CacheBytes: 64 << 20, Views: []View{{CacheBytes: 8 << 20}}},
	} {
		if s.validateShares(2) == nil {
			t.Errorf("%+v: accepted", s)
		}
	}
}
