package worker

import (
	"fmt"

	"secure-dns-proxy/worker/cache"
	"secure-dns-proxy/worker/cache/shared"
)

// A pool, and a view with a cache of its own, may have a part of the cache's memory for itself, in the workers' shards and in the level that they share: what it is flooded
// with drives out nothing but what is in that part.

// ShareBytesMin is the least that a share, and what all shares leave, has for each worker: its part of a shard, and room for one of the shared level.
const ShareBytesMin = cache.ShareBytesMin + shared.BytesMin

// claim is a share as configured.
type claim struct {
	share cache.Share
	what  string
}

// claims returns the shares of a snapshot, without their pools' and views' tags.
func (s *Snapshot) claims() (list []claim) {
	for i := range s.Pools {
		if p := &s.Pools[i]; p.CacheBytes != 0 {
			list = append(list, claim{cache.Share{Bytes: p.CacheBytes}, "pool " + p.Name})
		}
	}
	for i := range s.Views {
		if v := &s.Views[i]; v.CacheBytes != 0 {
			list = append(list, claim{cache.Share{Bytes: v.CacheBytes}, "view " + v.Name})
		}
	}
	return list
}

// validateShares makes sure that the shares, and what they leave, are large enough.
func (s *Snapshot) validateShares(workers int) error {
	rest, least := s.CacheBytes, int64(max(workers, 1))*ShareBytesMin
	claims := s.claims()
	for _, c := range claims {
		if c.share.Bytes < least {
			return fmt.Errorf("%s: cache of %d bytes: want %d for %d workers", c.what, c.share.Bytes, least, workers)
		}
		rest -= c.share.Bytes
	}
	if len(claims) != 0 && rest < least {
		return fmt.Errorf("the caches of pools and views leave %d of %d bytes to the others: want %d", rest, s.CacheBytes, least)
	}
	for i := range s.Views {
		if v := &s.Views[i]; v.CacheBytes != 0 && !v.OwnCache {
			return fmt.Errorf("view %q: %d bytes for a cache that is not its own", v.Name, v.CacheBytes)
		}
	}
	return nil
}

// apportion divides a snapshot's memory.
func (g *Group) apportion(s *Snapshot) (p portions) {
	rest, claims := s.CacheBytes, s.claims()
	for _, c := range claims {
		rest -= c.share.Bytes
	}
	p.perNode, p.perWorker, p.reason = g.split(rest, s.SharedPercent)
	workers, nodes := int64(g.cfg.Workers), int64(len(g.nodes))
	add := func(of cache.Share, bytes int64) {
		var common int64
		if p.perNode != 0 {
			common = max(shared.BytesMin, min(bytes/100*int64(s.SharedPercent), bytes-workers*cache.ShareBytesMin)/nodes)
			p.commons = append(p.commons, shared.Share{Partition: of.Partition, Pool: of.Pool, Bytes: common})
		}
		of.Bytes = (bytes - nodes*common) / workers
		p.shares = append(p.shares, of)
	}
	for j := range s.Pools {
		if pool := &s.Pools[j]; pool.CacheBytes != 0 {
			add(cache.Share{Pool: g.pools[pool.Name][0].tag}, pool.CacheBytes)
		}
	}
	for j := range s.Views {
		if v := &s.Views[j]; v.CacheBytes != 0 {
			add(cache.Share{Partition: g.views[v.Name][0].tag}, v.CacheBytes)
		}
	}
	for k := range p.shares {
		p.perWorker += p.shares[k].Bytes
		if p.perNode != 0 {
			p.perNode += p.commons[k].Bytes
		}
	}
	return p
}

// portions is how the cache's memory is divided.
type portions struct {
	perNode, perWorker int64          // with the shares
	commons            []shared.Share // of each node's shared level, if there is one
	shares             []cache.Share  // of each worker, in the same order
	reason             string         // why nothing is shared though it was to be
}

// setShares divides the shard, after its size was set.
func (w *worker) setShares(c *command) {
	if w.cache == nil {
		return
	}
	if err := w.cache.Divide(c.shares); err != nil { // the Group has checked it: the shard must have kept an older size
		w.cfg.Log.Error("the caches of pools and views stay as they were", "worker", w.index, "error", err)
	}
}

// measureShares brings the figures of shares up to date.
func (w *worker) measureShares() {
	if len(w.active.shares) == 0 {
		return
	}
	for i, sh := range w.active.shares {
		var bytes uint64
		if w.cache != nil && i < w.cache.Shares() {
			bytes = uint64(w.cache.ShareBytes(i))
		}
		if sh.Partition != 0 {
			w.viewStates[sh.Partition].stats.CacheBytes = bytes
		} else {
			w.poolStates[sh.Pool].stats.CacheBytes = bytes
		}
	}
}
