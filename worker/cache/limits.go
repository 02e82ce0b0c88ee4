package cache

import (
	"unsafe"

	"secure-dns-proxy/ring/sys"
	"secure-dns-proxy/transport/wire"
)

const (
	// BytesMin is the smallest shard: enough chunks for both queues, the reserve and a victim. Less: New and SetLimit refuse.
	BytesMin = 2 << 20
	// BytesMax is what 32-bit references can address. More: New and SetLimit refuse.
	BytesMax = 1 << 35
	// ShareBytesMin is the smallest share, as BytesMin. Less, or more than SharesMax: Divide refuses.
	ShareBytesMin = 2 << 20
	SharesMax     = 255
	// TTLMax bounds how long an entry is kept, in seconds (34 years), so that expiry times never overflow. Longer TTLs are cut to it.
	TTLMax = 1 << 30

	unitBytes     = 8
	chunkBits     = 14 // units of a chunk, as bits of a reference
	chunkBytes    = unitBytes << chunkBits
	headerBytes   = int(unsafe.Sizeof(entry{}))
	extendedBytes = 2
	entryBytesMax = headerBytes + 2*ttlsMax + wire.KeyBytesMax + wire.MessageBytesMax + extendedBytes + unitBytes
	keyBytesMin   = 1 + 4 + 1 // root, type, class, flags
	// ttlsMax: no message has room for more records of 11 bytes. More: Put refuses.
	ttlsMax = wire.MessageBytesMax / 11

	// bucketsPerChunk gives every 96 bytes of chunk an index slot. Common answers take 100 to 200 bytes, so the index is rarely more than
	// three quarters full. When both buckets of a key are full, the least useful of their 16 entries makes room.
	bucketsPerChunk = chunkBytes / (96 * bucketSlots)

	// fixedBytes covers the Shard itself and the rounding of the index to whole pages.
	fixedBytes = 64 << 10
	// costPerChunk is what each chunk takes off the limit.
	costPerChunk = chunkBytes + bucketsPerChunk*int(unsafe.Sizeof(bucket{})) + int(unsafe.Sizeof(chunk{}))

	// reserveChunks are kept free, by cleaning ahead: one for the front of each queue. If there is none in spite of that, Put cleans one
	// whole victim, and what would have moved is dropped once its queue's front chunk is full.
	reserveChunks = 2
	// probationShare: probation holds one chunk in so many; the rest is main. S3-FIFO found a tenth robust.
	probationShare  = 10
	probationChunks = 2 // at least

	// aheadChunks are provided before they are opened, as far as they are new: two huge pages, which last for 20 ms at a million new answers
	// a second. They are all that a cache with an Ahead takes before it needs it, beside the index.
	aheadChunks = 32

	// cleanFactor: a Put cleans at most this many times its own size, and one byte in so many must come free in the long run: so cleaning
	// keeps up with filling even if everything is worth keeping. What exceeds that is dropped in the queue's order.
	cleanFactor = 16
	// creditMax is how many bytes may be kept in a row, as when a hot set was stored at one time. Puts of a cleanFactor-th of it pass
	// meanwhile: one chunk, which the reserve has.
	creditMax = cleanFactor * chunkBytes
	// victimSamples chunks are looked at for garbage when a new victim is chosen.
	victimSamples = 64

	// bucketsPerTend and bucketsPerPut bound the work of moving to a larger index: 250 entries in a turn at most, each some misses of the CPU's caches.
	bucketsPerTend = 32
	bucketsPerPut  = 4
	bucketBytes    = int(unsafe.Sizeof(bucket{}))
	discardBuckets = sys.PopulateStep / bucketBytes // of the old index are given back at a time

	// entriesPerTend bounds the entries that a flush looks at in a turn: 10 to 30 us.
	entriesPerTend = 256

	// FlushesMax flushes may be under way at a time: no entry is further behind than that, and their numbers have to be told apart. Full:
	// Begin refuses.
	FlushesMax = flushNumbers - 1

	// failureSets and failureWays size the memory of failures: 192 KiB, more names than can fail in a few seconds but under an attack. Full: the
	// failure that ends first is forgotten, and its name asked for again.
	failureSets = 2048
	failureWays = 4

	// denialSets and denialWays size the memory of names that do not exist: 512 KiB, touched only where nxdomain_cut is on. Full: see Denials.
	denialSets = 8192
	denialWays = 4

	visitsMax     = 3 // two bits
	visitsToStay  = 1 // visits that move an entry from probation to main
	visitsPopular = 2 // visits that make an entry worth being refreshed before its end
	reuseSlackMax = 64
)

const (
	_ = uint8((wire.KeyBytesMax - keyBytesMin) >> 1)                                   // nine bits hold the length of a key
	_ = uint(chunkBytes - entryBytesMax)                                               // the biggest entry fits a chunk
	_ = uint(BytesMin - fixedBytes - costPerChunk*(probationChunks*2+reserveChunks+4)) // the smallest shard has chunks to clean
	_ = uint(ShareBytesMin/costPerChunk - probationChunks*2 - reserveChunks - 4)       // the smallest share too
	_ = uint32(BytesMax/chunkBytes<<chunkBits - 1)                                     // chunk ids fit a reference
)

// chunksWithin is how many chunks a limit pays for.
func chunksWithin(bytes int64) int { return int((bytes - fixedBytes) / int64(costPerChunk)) }
