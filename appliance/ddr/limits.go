package ddr

import "time"

const (
	// designationsMax is how many designations of one answer are tried. Further ones are left out: each may cost the whole timeout.
	designationsMax = 8

	// addressesMax is how many addresses of one designation are used. Further ones are left out.
	addressesMax = 8

	// udpBytesMax is announced to the resolver (DNS Flag Day 2020).
	udpBytesMax = 1232

	// absentRetry is the time to the next question after an answer without a designation that does not say how long that is true.
	absentRetry = 5 * time.Minute

	// ttlMax bounds the time to the next question after a designation or its lack: RFC 9462 §4.2 lets a client ask again where the TTL is so
	// long that an attacker of a moment would keep it from encryption for days.
	ttlMax = time.Hour

	// firstRetry is the pause after a first failure; it doubles from there.
	firstRetry = time.Second

	// closeTimeout bounds the end of a connection; it is shut, not drained.
	closeTimeout = 5 * time.Second
)
