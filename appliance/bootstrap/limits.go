package bootstrap

import "time"

const (
	// addressesMax is how many addresses of one family are used; a lane tries them in turn. Further ones are left out.
	addressesMax = 8

	// chainMax bounds CNAMEs followed in one answer. Longer: the answer counts as one without addresses.
	chainMax = 16

	// udpBytesMax is announced to the servers (DNS Flag Day 2020).
	udpBytesMax = 1232

	// upstreamsMax is how many upstreams are asked for a name before the bootstrap servers are: each may take the whole timeout.
	upstreamsMax = 3

	// firstRetry is the pause after a first failure; it doubles from there.
	firstRetry = time.Second

	// ttlMax bounds the time to the next look-up: a typing error in a zone shall not last for weeks.
	ttlMax = 24 * time.Hour

	// closeTimeout bounds the end of a connection to whoever was asked; it is shut, not drained.
	closeTimeout = 5 * time.Second

	// unknownTTL is for how long nothing is published if the answer does not say.
	unknownTTL = 5 * time.Minute
)
