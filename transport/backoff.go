package transport

import (
	"math/rand/v2"
	"time"
)

// Backoff spaces attempts to connect: none after a success, then 50 ms doubling to 1 s, with jitter so that the lanes of many
// workers do not knock together. The zero value allows an attempt at once. Not for concurrent use.
type Backoff struct {
	failures int
	unproven int           // connections in a row that ended without having shown anything
	until    time.Duration // since Base: no attempt before
}

// Fail notes a failed attempt at now.
func (b *Backoff) Fail(now time.Duration) {
	pause := backoffMax
	if b.failures < 8 { // 50 ms << 5 is over 1 s already
		pause = min(backoffFirst<<b.failures, backoffMax)
	}
	b.failures++
	b.until = now + pause*3/4 + rand.N(pause/2)
}

// Ended notes the end of a connection at now. A proven one, which answered or lived for a while, shows that dialing is worth it and
// ends the back-off; that it could be dialed does not, or a server that hangs up at once would be dialed without pause. The first
// unproven one in a row is forgiven, because its queries were promised a second attempt.
func (b *Backoff) Ended(proven bool, now time.Duration) {
	if proven {
		*b = Backoff{}
		return
	}
	b.unproven++
	if b.unproven > 1 {
		b.Fail(now)
	}
}

// Failing reports whether the last attempt failed: queries are not kept waiting for the next one.
func (b *Backoff) Failing() bool { return b.failures > 0 }

// Ready reports whether an attempt may be made at now.
func (b *Backoff) Ready(now time.Duration) bool { return now >= b.until }

// Until returns the time before which no attempt may be made.
func (b *Backoff) Until() time.Duration { return b.until }
