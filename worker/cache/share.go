package cache

import (
	"fmt"

	"secure-dns-proxy/transport/wire"
)

// Share is a part of a shard that certain keys have for themselves: they take no room from others, nor others from them.
type Share struct {
	Partition uint8 // keys of this partition; 0: those of the pool whose tag is Pool, unless their partition has a share
	Pool      uint8
	Bytes     int64 // ShareBytesMin and more, with everything counted
}

// share is a part in use: chunks, in queues of its own. The first one is the rest, of all keys that have no share.
type share struct {
	of              Share
	probation, main chunkList
	victim          victim
	credit          int    // bytes that cleaning may still keep before something must be dropped
	sampled         uint32 // chunk where the next search for garbage starts
	used            int    // chunks, the victim included
	most            int    // chunks that it may have; more only after others have got a share, until cleaning has brought it there
}

func newShare(of Share, chunks int) share {
	return share{of: of, probation: emptyList(), main: emptyList(), victim: victim{id: nowhere}, credit: creditMax, most: chunks}
}

// chunksOf is how many chunks a share pays for.
func chunksOf(bytes int64) int { return int(bytes / int64(costPerChunk)) }

// Divide gives keys shares of their own; what they hold stays in the share that it is in until it is evicted. Shares that were there before keep what they have, those
// that are gone leave it to the rest. An error leaves everything as it was: a share that is too small, more than SharesMax, or too little left for the rest.
func (s *Shard) Divide(list []Share) error {
	rest := len(s.chunks)
	for _, sh := range list {
		if sh.Bytes < ShareBytesMin {
			return fmt.Errorf("share of %d bytes: at least %d", sh.Bytes, int64(ShareBytesMin))
		}
		rest -= chunksOf(sh.Bytes)
	}
	if len(list) > SharesMax || len(list) != 0 && rest < chunksWithin(BytesMin) {
		return fmt.Errorf("%d shares leave %d of %d chunks: at most %d shares, and %d chunks left", len(list), rest, len(s.chunks), SharesMax, chunksWithin(BytesMin))
	}
	old := s.shares
	next := append(make([]share, 0, 1+len(list)), old[0])
	next[0].most = rest
	var number [1 + SharesMax]uint8 // by the one before
	s.byPool, s.byPartition = [wire.KeyPoolsMax]uint8{}, [wire.KeyPartitionsMax]uint8{}
	for i, of := range list {
		sh := newShare(of, 0)
		for j := range old[1:] {
			if was := &old[1+j]; was.of.Partition == of.Partition && was.of.Pool == of.Pool {
				sh, number[1+j] = *was, uint8(1+i)
			}
		}
		sh.of, sh.most = of, chunksOf(of.Bytes)
		next = append(next, sh)
		if of.Partition != 0 {
			s.byPartition[of.Partition] = uint8(1 + i)
		} else {
			s.byPool[of.Pool] = uint8(1 + i)
		}
	}
	s.shares = next
	for j := range old[1:] {
		if number[1+j] == 0 {
			s.inherit(&old[1+j])
		}
	}
	for i := range s.chunks {
		s.chunks[i].share = number[s.chunks[i].share]
	}
	return nil
}

// inherit adds the chunks of a share that is gone to those of the rest.
func (s *Shard) inherit(from *share) {
	rest := &s.shares[0]
	rest.used += from.used
	if id := from.victim.id; id != nowhere { // from its front again: what has been dealt with is dead
		c := &s.chunks[id]
		c.state = from.victim.origin
		s.pushFront(rest.queue(c.state), id)
	}
	for _, state := range [...]chunkState{chunkProbation, chunkMain} {
		for id := from.queue(state).back; id != nowhere; {
			next := s.chunks[id].next
			s.pushFront(rest.queue(state), id)
			id = next
		}
	}
}

// queue is the list of a state; only probation and main have one.
func (sh *share) queue(state chunkState) *chunkList {
	if state == chunkMain {
		return &sh.main
	}
	return &sh.probation
}

// shareOf is the number of the share of a key.
func (s *Shard) shareOf(key []byte) uint8 {
	if len(s.shares) == 1 {
		return 0
	}
	if own := s.byPartition[wire.KeyPartition(key)]; own != 0 {
		return own
	}
	return s.byPool[wire.KeyPool(key)]
}

// room is how many chunks a share can open.
func (s *Shard) room(number uint8) int {
	sh := &s.shares[number]
	return min(s.free.chunks, sh.most-sh.used)
}

// cleaned is the share that has to give something up so that one has room: itself if it has all that it may have, else the one that has most beyond that.
func (s *Shard) cleaned(number uint8) uint8 {
	if sh := &s.shares[number]; sh.most-sh.used < reserveChunks {
		return number
	}
	return s.fullest()
}

// fullest is the share that has most beyond what it may have. It has chunks: all shares together may have as many as there are.
func (s *Shard) fullest() (number uint8) {
	beyond := s.shares[0].used - s.shares[0].most
	for i := range s.shares[1:] {
		if sh := &s.shares[1+i]; sh.used-sh.most > beyond {
			number, beyond = uint8(1+i), sh.used-sh.most
		}
	}
	return number
}

// Shares is how many shares there are.
func (s *Shard) Shares() int { return len(s.shares) - 1 }

// ShareBytes is the memory that the i-th share of the last Divide uses, in chunks.
func (s *Shard) ShareBytes(i int) int64 { return int64(s.shares[1+i].used) * chunkBytes }
