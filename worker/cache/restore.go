package cache

import "secure-dns-proxy/transport/wire"

// Restore stores what an earlier process has kept, as PutAged does, with the visits that it had then: what was asked for again goes to the main
// queue. It returns false if a younger answer is there already, or Put would refuse.
func (s *Shard) Restore(hash uint64, key []byte, a *wire.Answer, ttl, age uint32, visits uint8, now uint32) bool {
	if e := s.find(hash, key); e != nil && now-min(now, e.stored) <= age {
		return false
	}
	if visits > 0 {
		s.index.haunt(hash) // it has proven itself
	}
	if !s.PutAged(hash, key, a, ttl, age, now) {
		return false
	}
	if e := s.find(hash, key); e != nil {
		e.bits = e.bits&^bitsVisits | min(visits, visitsMax)
	}
	return true
}
