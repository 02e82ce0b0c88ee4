package config

import "time"

// Ceilings of the file itself. Beyond them the file is refused; nothing is cut silently.
const (
	FileBytesMax = 1 << 20 // a configuration is written by hand; more is a wrong file

	// BracketsMax bounds how deep JSON can be nested, so that its parser's recursion ends: 10,000 levels are a few MiB of stack.
	BracketsMax = 10_000

	ListenersMax = 64 // sockets per worker: one UDP and one TCP for each

	UpstreamsMax = 64 // a query remembers the upstreams it tried as bits of one uint64
	AddressesMax = 16 // per upstream and per hosts entry; lanes try them in turn within one dial time
	PinsMax      = 8  // per upstream: a key, its successor, and an authority or two
	SuitesMax    = 16 // more than TLS 1.2 has secure ones
	ServersMax   = 8  // bootstrap servers, tried in turn within one refresh
	WorkersMax   = 256

	secretFileBytesMax = 4 << 10 // secrets and what they are for; more is a wrong file

	jitterPercentMax = 95 // as in the original: some time has to be left between two look-ups

	// A worker's share of the cache: worker/cache's BytesMin and BytesMax, which this folder may not import.
	cacheShareMin = 2 << 20
	cacheShareMax = 32 << 30

	// A worker's share of the TCP connections: what worker/stream can number, with its buffers.
	connsShareMax = 60_000
	CPUIndexMax   = 1023 // the kernel's cpu_set_t in its usual size
)

// What the translation from the original's form must know of the key tables, whose rows use these.
const (
	connectionsMax = 16

	inFlightMin      = 16
	inFlightStandard = 1 << 14
	waitersStandard  = 1 << 15

	cacheBytesStandard = 64 << 20
	attemptStandard    = time.Second

	// nonexistentMax bounds local.nonexistent: worker/local has room for 255 names, of which some 100 are its own.
	nonexistentMax = 64

	// originalEntryBytes is what an entry of the original's cache, which counted entries, is taken to need: an answer of 512 bytes
	// and as much for its place.
	originalEntryBytes = 1 << 10
)

// commentWidth is that of this source, and of proxy.toml.example.
const commentWidth = 120

// Ranges that several rows of the key table share.
const (
	waitMin = 10 * time.Millisecond // below this the timer wheel's millisecond and the scheduler decide, not the operator
	waitMax = 30 * time.Second      // the timer wheel's horizon

	secondsMax = 7 * 24 * time.Hour // longest time for which an answer may be believed (RFC 8767 §4 names 7 days)
)

// Ranges of [admission]: TargetMin, TargetMax and ExemptMax of worker/admission, which this folder may not import.
const (
	targetDelayMin = time.Millisecond
	targetDelayMax = 100 * time.Millisecond
	exemptMax      = 64
)

// thresholdMax bounds the numbers of [[blocks.rule]].
const thresholdMax = 1_000_000_000

// prefixesMax bounds each list of [acl].
const prefixesMax = 4096

// Ranges of rules.
const (
	setsMax         = 256
	setEntriesMax   = 1 << 24 // 16 million: 350 MB
	setLineMax      = 4096    // bytes
	setProblemsMax  = 10
	averageEntry    = 16 // bytes of a line, to guess from a file's size how many there are
	matchesMax      = 64 // in one all or any
	recordsMax      = 64 // of one answer
	sourcesStandard = 1 << 14
	linesStandard   = 10 // a second, of log
)

// Ranges of pools and caps.
const (
	fanoutMax         = 8       // inflight.ExchangesMax, which this folder may not import
	outstandingMax    = 1 << 20 // of the in-flight tables together
	connectionsAllMax = 1 << 16
	suffixesMax       = 4096 // of one pool; a list as long is better a file
)
