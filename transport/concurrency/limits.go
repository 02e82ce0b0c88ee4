package concurrency

const (
	// Least is where the limit stops falling: enough to notice that the upstream is back.
	Least = 16

	// FloorNS is the mean latency that is never congestion (ns): a recursion over several slow servers takes as long.
	FloorNS = 250e6

	windowNS       = 100e6
	windowMaxNS    = 2e9
	windowOutcomes = 8

	lossShare = 5   // more than one in so many outcomes lost: congested
	tolerance = 2.0 // mean latency over the usual one: congested
	cutMost   = 0.5 // one window takes at most half
	growth    = 0.125
	stuckMax  = 10   // windows at Least after which a latency is not blamed on load any more
	usualFall = 0.2  // one window's weight in the usual latency when it is lower,
	usualRise = 0.01 // and when it is higher: congestion must not become usual within a minute
)
