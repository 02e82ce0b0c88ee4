package shared

import (
	"time"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

const (
	// BytesMin is the smallest table, and the smallest share of one: some sets of each class. Less, or more shares than SharesMax: New refuses.
	BytesMin  = 1 << 20
	SharesMax = 255
	// BytesMax is the largest one. More: New refuses.
	BytesMax = 1 << 40

	// EntryBytesMax is the largest answer that is shared, header, key and TTL offsets included. Larger ones, which are rare and mostly asked
	// for once (zone keys, long TXT sets), are Put's TooLarge: each worker asks for them itself.
	EntryBytesMax = slotBytesMax

	// ways is how many slots a set has: their state words fill one cache line.
	ways = 8

	slotBytesMax = 4096
	slotWordsMax = slotBytesMax / wordBytes
	wordBytes    = 8
	headerWords  = 5
	metaWords    = 2 * ways // state and info words of a set
	keyBytesMin  = 1 + 4 + 1
	ttlMax       = 1 << 30 // seconds, so that expiry times never overflow: as in worker/cache

	// readTries is how often a reader copies a slot that is written meanwhile. Used up: a miss.
	readTries = 2
	// putTries is how many slots of a set a writer tries to take. Used up: Busy.
	putTries = 3
	// flushTries is how often a flush, which no worker does, comes back to a slot that is being written, flushPause later: longer than a worker's
	// thread waits for its CPU. Used up: it is counted as left.
	flushTries = 100
	flushPause = time.Millisecond

	// joinTries bounds how often Join competes for an entry: each lost round is another worker's success. Used up: Alone.
	joinTries = 16

	// entriesMin and entriesMax bound a directory. A question whose entry is taken by another one is asked by each worker itself; with a
	// hundredth of the entries in use that is one question in a hundred.
	entriesMin = 1 << 12
	entriesMax = 1 << 20
	// entriesPerSlot: a directory has so many entries for each slot of all in-flight tables.
	entriesPerSlot = 4

	// FollowerBits is how many workers an entry can tell apart. With more, each bit stands for several, all of which are told.
	FollowerBits = 32

	// inboxCells is how many words an inbox holds: all that some peers can have to say in one turn (worker's laneBatch of answers each). Full:
	// the word is lost, and the inbox says so (Missed).
	inboxBits  = 12
	inboxCells = 1 << inboxBits
	// postTries is as joinTries.
	postTries = 16

	// populateStep is how much of a table Provide has the kernel provide at a time.
	populateStep = sys.PopulateStep
)

// slotBytes are the classes of slots, and classShare how many sixteenths of the memory each has. Most answers without signatures need 100 to 200
// bytes, with signatures 300 to 1500. Where a class is full, its answers go to what is free of the next ones.
var (
	slotBytes  = [...]int{192, 384, 1024, slotBytesMax}
	classShare = [...]int{4, 6, 4, 2}
)

const classes = 4

const (
	_ = uint(192 - headerWords*wordBytes - keyBytesMin) // the smallest slot holds something
	_ = uint16(wire.KeyBytesMax)
)
