package ring

import (
	"math/bits"
	"syscall"

	"secure-dns-proxy/ring/sys"
)

// missesMax cancellations in a row that find an operation neither pending nor completed prove that its completion was lost.
const missesMax = 2

// recoverLost starts over after the kernel has dropped completions for want of memory: every pending operation is cancelled
// and armed again by its own completion, and an operation that turns out to be gone is completed here. Buffers named by
// lost completions are taken back once no completion is left to look at.
func (r *Ring) recoverLost(lost uint32) {
	if lost != r.lost {
		r.lost = lost
		r.counts.Lost++
		r.reclaim = true
		r.alarmed = false // or it would never be set again
		for h, i := r.sockets.Next(0); h != 0; h, i = r.sockets.Next(i) {
			s := r.sockets.Get(h)
			s.suspect = s.pending
			if s.pending != 0 {
				r.push(Handle(h), s, todoCancel)
			}
		}
		return
	}
	if r.u.Ready() != 0 || r.u.Overflown() {
		return
	}
	r.reclaim = false
	for _, b := range [...]*sys.BufferRing{r.datagrams, r.streams} {
		// A kernel before 6.8 cannot say which are lost: they stay lost, which costs a few of them per event.
		if n, errno := b.Reclaim(); errno == 0 {
			r.counts.BuffersLost += uint64(n)
		}
	}
}

// missed deals with a cancellation that failed. The operation's own completion comes before it if there is one, so an
// operation still noted as pending is being finished just now (EALREADY: asked again), or was lost (ENOENT).
func (r *Ring) missed(h Handle, s *socket, bit uint8, result int32) {
	if s.pending&bit == 0 || (!s.closing && s.suspect&bit == 0) {
		return
	}
	misses := &s.misses[bits.TrailingZeros8(bit)]
	if syscall.Errno(-result) == syscall.ENOENT {
		*misses++
	}
	if *misses < missesMax {
		r.push(h, s, todoCancel)
		return
	}
	r.done(s, bit)
	switch {
	case s.closing:
	case bit == pendingWrite:
		r.wrote(h, s, -int32(syscall.EBADR)) // how much was written is unknown
	case s.role == roleStream:
		r.read(h, s, -int32(syscall.EBADR), 0) // bytes are missing: the stream is of no more use
	default:
		r.counts.Rearms++
		r.push(h, s, todoArm)
	}
}

// watch looks at some sockets each turn, more of them when there is nothing else to do, for one that waits for input but
// has none armed. None should ever be found; one that is would otherwise be deaf for good.
func (r *Ring) watch() {
	n := 1
	if len(r.events) == 0 {
		n = watchIdle
	}
	for range n {
		h, next := r.sockets.Next(r.watchAt)
		r.watchAt = next
		if h == 0 {
			r.watchAt = 0
			return
		}
		s := r.sockets.Get(h)
		if s.role != roleStream && !s.queued && s.pending == 0 {
			r.counts.Unexpected++
			r.push(Handle(h), s, todoArm)
		}
	}
}

// watchIdle sockets are looked at in a turn without events: about 100 ns.
const watchIdle = 64
