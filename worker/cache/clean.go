package cache

// victim is the chunk being cleaned: from its first entry on, each is kept or dropped; at its end it is free.
type victim struct {
	id      uint32     // nowhere: none
	origin  chunkState // queue it came from
	off     int        // bytes done
	garbage bool       // chosen because it was mostly garbage: what is left of it has not had its turn and stays in its queue
}

// cleanAhead cleans until the reserve is there, but no more than budget bytes.
func (s *Shard) cleanAhead(budget int) {
	for s.free.chunks < reserveChunks && budget > 0 {
		budget -= s.clean()
	}
}

// clean deals with the victim's next entry, choosing a victim if there is none, and returns the bytes done.
func (s *Shard) clean() int {
	v := &s.victim
	if v.id == nowhere {
		s.chooseVictim()
	}
	c := &s.chunks[v.id]
	if v.off == int(c.used) {
		s.release(v.id)
		v.id = nowhere
		return headerBytes
	}
	e := entryAt(c.mem, v.off)
	size := e.bytes()
	if e.bits&bitsDead == 0 && s.keep(v.id<<chunkBits|uint32(v.off/unitBytes), e) {
		s.credit -= size
	} else {
		s.credit = min(creditMax, s.credit+size*(cleanFactor-1))
	}
	v.off += size
	return size
}

// keep moves a live entry of the victim to the front of a queue if it deserves it, else drops it.
func (s *Shard) keep(ref uint32, e *entry) bool {
	v := &s.victim
	if s.countDoomed(e) {
		s.drop(ref, e)
		return false
	}
	queue, visits, keep := chunkMain, uint8(0), false
	switch {
	case e.expired(s.now):
	case v.garbage:
		queue, visits, keep = v.origin, e.visits(), true
	case v.origin == chunkProbation:
		keep = e.visits() >= visitsToStay
	default:
		visits = e.visits() - min(e.visits(), 1)
		keep = e.visits() > 0
	}
	if keep && s.credit >= e.bytes() && s.move(ref, e, queue, visits) {
		return true
	}
	s.evict(ref, e)
	return false
}

// move copies an entry to the front of a queue. false: no room.
func (s *Shard) move(ref uint32, e *entry, queue chunkState, visits uint8) bool {
	moved, target, ok := s.allocate(queue, int(e.units))
	if !ok {
		return false
	}
	_, at := s.locate(e.hash, ref)
	at.bucket.refs[at.slot] = moved
	*target = *e
	target.bits = e.bits&^bitsVisits | visits
	target.stamp(s.flushNo) // what it is moved past has not doomed it
	copy(target.body(), e.body())
	s.account(moved, target)
	s.discount(ref, e)
	e.bits |= bitsDead
	return true
}

// evict drops a live entry for want of room. What was asked for before, or only ever had its time in probation, leaves a ghost.
func (s *Shard) evict(ref uint32, e *entry) {
	if e.expired(s.now) {
		s.stats.Expired++
	} else {
		s.stats.Evictions++
	}
	if e.visits() > 0 || s.queueOf(ref) == chunkProbation {
		s.index.haunt(e.hash)
	}
	s.drop(ref, e)
}

// evictFrom frees a slot in one of two full buckets: that of an expired entry, else of the one with the fewest visits, probation first.
func (s *Shard) evictFrom(first, second *bucket) {
	worst, worstRef := 1<<8, uint32(0)
	for _, b := range [2]*bucket{first, second} {
		for _, ref := range b.refs {
			e := s.at(ref)
			worth := 1 + int(e.visits())
			if s.queueOf(ref) == chunkMain {
				worth += visitsMax + 1
			}
			if e.expired(s.now) {
				worth = 0
			}
			if worth < worst {
				worst, worstRef = worth, ref
			}
		}
	}
	s.evict(worstRef, s.at(worstRef))
}

// chooseVictim takes a chunk out of its queue: one of which half or more is garbage, if the sample has any; else the back of probation
// while that has more than its share, or the back of main.
func (s *Shard) chooseVictim() {
	id, garbage := s.mostGarbage()
	if id == nowhere {
		id = s.main.back
		if s.probation.chunks > max(probationChunks, len(s.chunks)/probationShare) || s.main.chunks < 2 {
			id = s.probation.back
		}
	}
	c := &s.chunks[id]
	s.victim = victim{id: id, origin: c.state, garbage: garbage}
	s.unlink(s.queue(c.state), id)
	c.state = chunkVictim
}

// mostGarbage looks at the next victimSamples chunks, going round, for the one with the most garbage, at least half a chunk.
func (s *Shard) mostGarbage() (id uint32, found bool) {
	id = nowhere
	least := uint32(chunkBytes / 2)
	for range min(victimSamples, len(s.chunks)) {
		if s.sampled++; int(s.sampled) >= len(s.chunks) {
			s.sampled = 0
		}
		c := &s.chunks[s.sampled]
		if c.state != chunkProbation && c.state != chunkMain || c.next == nowhere {
			continue // not in a queue, or the one being filled
		}
		if g := c.garbage(s.now); g >= least {
			id, least, found = s.sampled, g+1, true
		}
	}
	return id, found
}
