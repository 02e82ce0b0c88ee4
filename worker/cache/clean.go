package cache

// victim is the chunk being cleaned: from its first entry on, each is kept or dropped; at its end it is free.
type victim struct {
	id      uint32     // nowhere: none
	origin  chunkState // queue it came from
	off     int        // bytes done
	garbage bool       // chosen because it was mostly garbage: what is left of it has not had its turn and stays in its queue
}

// cleanAhead cleans until a share has its reserve, but no more than budget bytes.
func (s *Shard) cleanAhead(number uint8, budget int) {
	for s.room(number) < reserveChunks && budget > 0 {
		budget -= s.clean(s.cleaned(number))
	}
}

// clean deals with the next entry of a share's victim, choosing a victim if there is none, and returns the bytes done.
func (s *Shard) clean(number uint8) int {
	sh := &s.shares[number]
	v := &sh.victim
	if v.id == nowhere {
		s.chooseVictim(number)
	}
	c := &s.chunks[v.id]
	if v.off == int(c.used) {
		s.release(v.id)
		v.id = nowhere
		sh.used--
		return headerBytes
	}
	e := entryAt(c.mem, v.off)
	size := e.bytes()
	if e.bits&bitsDead == 0 && s.keep(number, v.id<<chunkBits|uint32(v.off/unitBytes), e) {
		sh.credit -= size
	} else {
		sh.credit = min(creditMax, sh.credit+size*(cleanFactor-1))
	}
	v.off += size
	return size
}

// keep moves a live entry of the victim to the front of a queue if it deserves it, else drops it.
func (s *Shard) keep(number uint8, ref uint32, e *entry) bool {
	sh := &s.shares[number]
	v := &sh.victim
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
	if keep && sh.credit >= e.bytes() && s.move(number, ref, e, queue, visits) {
		return true
	}
	s.evict(ref, e)
	return false
}

// move copies an entry to the front of a queue of its share. false: no room.
func (s *Shard) move(number uint8, ref uint32, e *entry, queue chunkState, visits uint8) bool {
	moved, target, ok := s.allocate(number, queue, int(e.units))
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

// evictFrom frees a slot in one of two full buckets, for an entry of a share: that of an expired entry, else of the one with the fewest visits, probation first, and of
// other shares only if there is none of its own.
func (s *Shard) evictFrom(first, second *bucket, own uint8) {
	worst, worstRef := 1<<8, uint32(0)
	for _, b := range [2]*bucket{first, second} {
		for _, ref := range b.refs {
			e := s.at(ref)
			worth := 1 + int(e.visits())
			if s.queueOf(ref) == chunkMain {
				worth += visitsMax + 1
			}
			if s.chunks[ref>>chunkBits].share != own {
				worth += 2 * (visitsMax + 1)
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

// chooseVictim takes a chunk out of its share's queue: one of which half or more is garbage, if the sample has any; else the back of probation
// while that has more than its part, or the back of main.
func (s *Shard) chooseVictim(number uint8) {
	sh := &s.shares[number]
	id, garbage := s.mostGarbage(number)
	if id == nowhere {
		id = sh.main.back
		if sh.probation.chunks > max(probationChunks, sh.most/probationShare) || sh.main.chunks < 2 {
			id = sh.probation.back
		}
	}
	c := &s.chunks[id]
	sh.victim = victim{id: id, origin: c.state, garbage: garbage}
	s.unlink(sh.queue(c.state), id)
	c.state = chunkVictim
}

// mostGarbage looks at the next victimSamples chunks, going round, for the one of a share with the most garbage, at least half a chunk.
func (s *Shard) mostGarbage(number uint8) (id uint32, found bool) {
	id = nowhere
	sh, least := &s.shares[number], uint32(chunkBytes/2)
	for range min(victimSamples, len(s.chunks)) {
		if sh.sampled++; int(sh.sampled) >= len(s.chunks) {
			sh.sampled = 0
		}
		c := &s.chunks[sh.sampled]
		if c.share != number || c.state != chunkProbation && c.state != chunkMain || c.next == nowhere {
			continue // another's, not in a queue, or the one being filled
		}
		if g := c.garbage(s.now); g >= least {
			id, least, found = sh.sampled, g+1, true
		}
	}
	return id, found
}
