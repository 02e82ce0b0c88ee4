package worker

import (
	"math/bits"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/cache/shared"
	"secure-dns-proxy/worker/inflight"
)

// Workers of a node ask an upstream once. The worker whose slot claims the question in the directory owns it, and asks; a slot of another worker for the
// same question follows: it has its clients and its deadline, but no attempt. The owner stores the answer, gives the question up in the directory, and
// tells the followers, who take the answer from the shared level of the cache, by its whole key. A failure is told as it is. Whatever goes wrong between, a
// follower asks itself in the end, never later than followGrace after its owner should have done something:
//
//	what                                                     then a follower
//	the answer is none to be shared (TTL 0, too large)       asks itself, and for aloneTime nobody follows for that question
//	the word was lost, because the inbox was full            looks again at all that it follows
//	the owner has stopped, or does not come to its turn      asks itself
//	a reload has changed or switched off the shared level    does not find the answer, and asks itself
//	the directory's entry is taken by another question       does not follow in the first place

// join finds out whether the question of a new slot, of p, need not be asked by this worker, and reports that. s.NotBefore is set.
func (w *worker) join(slot uint32, s *inflight.Slot, p *pool) bool {
	c := &w.common
	if c.table == nil || s.Passing != 0 || !w.keeps(p, s.KeyBytes()) {
		return false
	}
	role, expect := c.node.directory.Join(s.Hash, c.place, w.now, w.now+w.active.attemptTimeout)
	switch role {
	case shared.Follower:
		s.Following = true
		if s.WaiterCount != 0 {
			w.stats.Followed++
		}
		w.watch(slot, s, expect)
		return true
	case shared.Owner:
		s.Owned = true
		// Since this worker looked for it, another one may have stored the answer and given the question up.
		return w.takeShared(slot, s)
	case shared.Alone:
	}
	return false
}

// tell says how the question of a slot has ended to those who follow it, if this worker owns it. alone: nobody is to follow for it in the next time.
func (w *worker) tell(s *inflight.Slot, word shared.Word, alone bool) {
	if !s.Owned {
		return
	}
	s.Owned = false
	c := &w.common
	var until int64
	if alone {
		until = w.now + aloneTime
	}
	followers := c.node.directory.Release(s.Hash, until)
	for ; followers != 0; followers &= followers - 1 {
		for i := bits.TrailingZeros32(followers); i < len(c.node.inboxes); i += shared.FollowerBits {
			if i != c.place {
				c.node.inboxes[i].Post(s.Hash, word)
			}
		}
	}
}

// tellFailure says that the question has no answer: rcode, with an extended error.
func (w *worker) tellFailure(s *inflight.Slot, rcode, ede uint16) {
	w.tell(s, shared.Word{Outcome: shared.Failed, Remember: s.Remembered, RCode: rcode, EDE: ede}, false)
}

// tellResult says what has become of the answer in w.answer.
func (w *worker) tellResult(s *inflight.Slot, result shared.Result) {
	if result.Kept() {
		w.tell(s, shared.Word{Outcome: shared.Answer}, false)
	} else {
		w.tell(s, shared.Word{Outcome: shared.Ask}, result == shared.TooLarge)
	}
}

// receiveWords takes what owners have said, at most laneBatch words so that they do not hold up the turn.
func (w *worker) receiveWords() {
	inbox := w.common.inbox()
	for range laneBatch {
		hash, word, ok := inbox.Take()
		if !ok {
			break
		}
		w.busy = true
		if slot, ok := w.table.FollowerOf(hash); ok {
			w.told(slot, word)
		}
	}
	if inbox.Missed() {
		w.lookAfterFollowers()
	}
}

// lookAfterFollowers goes through all slots, because words were lost: a slot that nobody will tell anything any more goes on by itself.
func (w *worker) lookAfterFollowers() {
	c := &w.common
	for slot := range uint32(w.cfg.Slots) {
		s := w.table.At(slot)
		if w.table.Live(slot, s.Gen) == nil || !s.Following {
			continue
		}
		if _, ok := c.node.directory.Follows(s.Hash, c.place); !ok {
			w.told(slot, shared.Word{Outcome: shared.Ask})
		}
	}
}

// told ends the following of a slot, with what its owner has said.
func (w *worker) told(slot uint32, word shared.Word) {
	s := w.table.At(slot)
	s.Following = false
	if word.Outcome == shared.Answer {
		s.NotBefore = 0 // it is as new as can be
	}
	if w.takeShared(slot, s) { // whatever was said: the answer is what counts
		return
	}
	if word.Outcome != shared.Failed {
		if s.WaiterCount != 0 {
			w.stats.FollowsFailed++
		}
		w.exchange(slot)
		return
	}
	p := w.poolOf(s)
	if word.Remember {
		w.remember(s, p, word.RCode)
	}
	if w.staleFor(s, p) {
		w.deliver(s, slot, &w.answer, 0, 0)
	} else {
		w.countOutcome(s, word.RCode)
		p.stats.Failed++
		w.deliver(s, slot, nil, word.RCode, word.EDE)
	}
	w.free(slot)
}

// takeShared ends a slot with the answer that another worker has stored, if there is one that is new enough, and reports whether there was.
func (w *worker) takeShared(slot uint32, s *inflight.Slot) bool {
	age, ok := w.fetchShared(s.Hash, s.KeyBytes(), s.NotBefore)
	if !ok {
		return false
	}
	w.takeOver(s)
	a := &w.common.copy.Answer
	w.failures.Forget(s.Hash)
	w.countOutcome(s, a.RCode)
	if s.Owned { // by a hair: the others find it, too
		w.tell(s, shared.Word{Outcome: shared.Answer}, false)
		if s.WaiterCount != 0 {
			w.stats.Hits++
			w.stats.SharedHits++
		}
	}
	w.deliverAged(s, slot, a, age, 0, 0)
	w.free(slot)
	return true
}

// followDue is called when the timer of a slot that follows has run out.
func (w *worker) followDue(slot uint32, s *inflight.Slot, p *pool) {
	if w.now >= s.Deadline {
		w.fail(slot, p, wire.EDENetworkError)
		return
	}
	if at := p.staleAt(s); at != 0 && w.now >= at {
		w.relieve(slot, s, p)
	}
	c := &w.common
	if expect, ok := c.node.directory.Follows(s.Hash, c.place); ok && w.now < expect+followGrace {
		w.watch(slot, s, expect)
		return
	}
	w.told(slot, shared.Word{Outcome: shared.Ask}) // the word was lost, or the owner has stopped
}

// watch sets the timer of a slot that follows. expect is when its owner will have done something.
func (w *worker) watch(slot uint32, s *inflight.Slot, expect int64) {
	next := min(s.Deadline, max(expect, w.now)+followGrace, w.now+w.active.attemptTimeout+followGrace)
	if at := w.poolOf(s).staleAt(s); at != 0 {
		next = min(next, at)
	}
	w.table.Schedule(slot, next)
}

// expect tells followers until when this worker will have done something about a question that it owns.
func (w *worker) expect(s *inflight.Slot, until int64) {
	if s.Owned {
		w.common.node.directory.Expect(s.Hash, until)
	}
}

// inbox is where this worker is told.
func (c *common) inbox() *shared.Inbox { return c.node.inboxes[c.place] }

// wordsPending reports whether receiveWords has something to do.
func (w *worker) wordsPending() bool { return w.common.node != nil && w.common.inbox().Pending() }
