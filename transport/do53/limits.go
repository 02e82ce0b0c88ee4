package do53

import "time"

const (
	// ExchangesMax bounds Config.Exchanges: one per slot of the biggest in-flight table. Full: Open says so, the caller tries another
	// upstream.
	ExchangesMax = 1 << 20

	// SocketsMax bounds the socket numbers of one worker: 64 upstreams of 8, and as many again that drain. Full: the caller finds no
	// free number, and the socket that was to be replaced is used on.
	SocketsMax = 1024

	// OutstandingPerSocketMax leaves seven of eight ids free, so an id is found at the first try mostly, and an arbitrary id in a forged
	// answer mostly hits nothing. 8192 on each of 8 ports is a second of 65,000 queries a second. Full: Choose passes the socket over.
	OutstandingPerSocketMax = 1 << 13

	// idTriesMax bounds the search for a free id: it fails once in 8^32 times.
	idTriesMax = 32

	// usesMax is how many queries a socket serves, ageMax how long it does once it has served one; each socket draws its own limit
	// between half of that and that, so that they do not all retire at once. Finding a port from off the path takes seconds (SAD DNS,
	// 2020, about 1000 probes a second through the ICMP limit); replacing a socket costs some 50 us, so this is under 0.2 % of a core at
	// 50,000 queries a second.
	usesMax = 1 << 14
	ageMax  = 10 * time.Second

	// wrongMax ids that match nothing make a socket retire at once. Late answers count too, so it is not lower.
	wrongMax = 256

	// drainMax is how long a retired socket waits for its exchanges; no query has a deadline beyond.
	drainMax = 30 * time.Second

	// replaceRetry is how soon Rotate asks again for a replacement that did not happen.
	replaceRetry = time.Second

	// scanInterval is how often all sockets are looked at for their age.
	scanInterval = 250 * time.Millisecond
)
