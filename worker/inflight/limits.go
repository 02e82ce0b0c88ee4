package inflight

import "secure-dns-proxy/transport/wire"

const (
	// SlotsMax bounds Config.Slots. One worker answers at most about 400,000 misses a second (DESIGN.md §2: 4 us of CPU each and more);
	// all of them outstanding for two seconds fit. Table full: Open says so and the worker sheds the query.
	SlotsMax = 1 << 20

	// WaitersMax bounds Config.Waiters: four per slot of the biggest table. Pool empty: AddWaiter says so and the worker sheds the
	// client, not the exchange. Each takes 168 bytes, 8 of them for the tags that rules have given its query: 704 MB if all that there can be wait at a time.
	WaitersMax = 4 * SlotsMax

	// WaitersPerSlotMax bounds the replies that one answer sets off, and so how long it holds up the turn: 8192 replies of about 3 us are 25 ms,
	// which the same queries would have taken one after the other, too. Ten thousand clients that ask two workers at once are 5000 each. It is also
	// what keeps one name whose servers are slow from taking the whole pool, a quarter of it as it is configured by default. Normal life
	// stays far below: a name asked for 5,000 times a second that takes 100 ms to resolve gathers 500. Full: as above.
	WaitersPerSlotMax = 8192

	// TickNanos is the resolution of the timers: 1 ms.
	TickNanos = 1_000_000

	// wheelBuckets is one lap of the wheel in ticks: 32.768 s, more than any query may take. A later timer is kept all the same; it
	// costs one more move per lap.
	wheelBuckets = 1 << 15
)

// The key's length is kept in 16 bits and the waiter count too.
const (
	_ = uint16(wire.KeyBytesMax)
	_ = uint16(WaitersPerSlotMax)
)
