package worker

import (
	"time"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

const _ = uint(crateBytes - recordLengthBytes - RecordBytesMax) // every record fits a crate

const (
	// WorkersMax bounds the threads; a machine with more cores runs one process per NUMA node.
	WorkersMax = 256

	// SlotsMin is the smallest in-flight table. Full: the query is answered SERVFAIL at once and counted in Stats.Shed.
	SlotsMin = 16

	// portsTried is how many more ports are tried where the kernel may choose: the one it chose for TCP may be taken for UDP. All taken: an error.
	portsTried = 16

	// UDPSizeLimit is the largest UDP reply: what one transmit slot of the engine holds.
	UDPSizeLimit = ring.DatagramBytesMax

	// upstreamUDPSize is the EDNS size announced to upstreams: DNS Flag Day 2020. Larger answers come with TC and are fetched over TCP.
	upstreamUDPSize = 1232

	// streamUDPSize is announced over streams, where no datagram of ours can be too large. Some servers (CoreDNS 1.15 over QUIC and HTTP/3) cut
	// answers to it all the same, and others ask their own upstream for as much: 4096 is what they have buffers for.
	streamUDPSize = 4096

	// attemptsMax is how often one query may be sent out, to all upstreams together. Used up: what is under way is waited for.
	attemptsMax = inflight.ExchangesMax

	// staleTTL is the TTL in seconds that answers past theirs are told with: RFC 8767 §4.
	staleTTL = 30

	// PoolsMax bounds the pools of a snapshot: half of the tags that a key can hold, so that a reload can rename all of them once.
	PoolsMax = wire.KeyPoolsMax / 2

	// viewTags bounds the names that views have had since the start, plus one: they have numbers in a byte of keys, and places in the header of a kept cache
	// behind those of the pools. More: the reload is refused.
	viewTags = wire.KeyPartitionsMax - wire.KeyPoolsMax

	// PoolRateMax bounds Pool.MaxRate: beyond that it is no limit.
	PoolRateMax = 10_000_000

	// UpstreamsMax bounds the upstreams of a snapshot: half of upstreamsKept, so that a reload can replace all of them.
	UpstreamsMax = upstreamsKept / 2

	// QueryTimeoutMax keeps every deadline within the horizon of the timer wheel.
	QueryTimeoutMax = 30 * time.Second

	// PrefetchPercentMax keeps refreshes to the second half of a TTL: earlier ones ask upstreams for what they have just said.
	PrefetchPercentMax = 50

	// SharedPercentMax leaves the workers something of their own: only that is found without a copy.
	SharedPercentMax = 90

	// FailureTTLLimit is how long a failure may be remembered: RFC 9520 §3.2, RFC 2308 §7.
	FailureTTLLimit = 5 * time.Minute

	// idleWait is the longest sleep of a turn with nothing to wait for; what is slow (rotation of source ports, published figures) is
	// never later than this.
	idleWait = time.Second

	// busyWait is the wait of a turn that follows a busy one: short enough to be taken without telling the Go scheduler.
	busyWait = time.Millisecond

	// publishInterval is how old published figures may get under load.
	publishInterval = 10 * time.Millisecond

	// socketsPerUpstream is how many source ports one worker uses towards one Do53 upstream at a time.
	socketsPerUpstream = 8

	// lookahead is how many queries are parsed before the first of them is looked up: enough to hide the latency of memory, few enough that
	// their keys (some 12 KiB) stay in the L1 cache.
	lookahead = 32

	// upstreamsKept bounds upstreams of one worker: those in use and those that drain after reloads. Full: the reload waits.
	upstreamsKept = 128

	// followGrace is how late the owner of a question may be with what it was to do, before a worker that follows it asks itself: longer than a
	// thread waits for its CPU, short beside a client's patience.
	followGrace = int64(250 * time.Millisecond)

	// aloneTime is how long nobody waits for another worker's answer to a question whose last answer could not be shared.
	aloneTime = int64(10 * time.Second)

	// laneBatch bounds the answers taken from one lane in one turn; the rest is taken in the next one, after the clients had theirs.
	laneBatch = 256

	// PassOptionsMax bounds the codes of EDNS options that are passed on: each option of each query is compared with all of them.
	PassOptionsMax = 16

	// subnetRest is how long an upstream that has refused a client's network, and answered without, is told none. Then one query finds out.
	subnetRest = 5 * time.Minute

	// silentMax is how many exchanges with one address of a Do53 upstream may end without an answer in a row before its sockets are replaced by
	// some to another address: one lost datagram, or two, mean nothing.
	silentMax = 3

	// openRetry is how long a UDP socket that could not be opened is not tried again: trying costs system calls.
	openRetry = 20 * time.Millisecond

	// refusedSweep is the least time between two sweeps that fail the exchanges of a refusing Do53 upstream: a sweep looks at every slot.
	refusedSweep = 20 * time.Millisecond

	// providePauseMin and providePauseMax bound how long a worker's wish for memory may lie before it is looked at: shortly after the last one,
	// and after a rest, in which a worker learns at most 50 ms of new answers. Later: the worker faults its pages in itself.
	providePauseMin = time.Millisecond
	providePauseMax = 50 * time.Millisecond

	// crowdMin events in one turn are what only a worker that is busy gets: then it is worth while to look who sends them.
	crowdMin = 16

	// idleLook is how soon a worker looks again that runs out of work although sources are refused something: the flood may have paused.
	idleLook = 4 * time.Millisecond

	// gateRest is how old the figures of the clients' sockets may get while there are no crowds.
	gateRest = time.Second

	// nearlyFull is the share of a socket's receive buffer beyond which not all that is lost is refused.
	nearlyFull = 0.9

	// overloadKnown is how long an overload must last until its sources are reported: some looks, as not all may send at all times.
	overloadKnown = 200 * time.Millisecond

	// zonesNamed is how many zones that are shed a worker knows the names of, and zoneNameMax the longest one. More, or longer: the log cannot name them.
	zonesNamed  = 256
	zoneNameMax = 54

	// sheddingKnown is how long an excess of questions must last until it is reported.
	sheddingKnown = time.Second

	// overloadSources bounds the sources in the report of an overload: as many as a line of the log is readable with.
	overloadSources = 5

	// errandsMax bounds the operators' commands under way at a time: each costs a part of every turn. Full: the command is refused.
	errandsMax = 8

	// refreshStep and lookStep bound the entries that such a command looks at in a turn: 10 to 50 us.
	refreshStep = 256
	lookStep    = 256

	// dumpStep and loadStep bound the answers that a worker gives to a dump, or takes from a load, in a turn: 20 to 40 us.
	dumpStep = 128
	loadStep = 64

	// crateBytes is a crate of records between a worker and a dump or load; two of them take all that passes in some milliseconds. Full: the
	// dump waits for the file, the load for the worker.
	crateBytes = 256 << 10

	// cacheAgeMax bounds ages and TTLs that are restored, in seconds: more than any configured TTL with what it may be served stale. Older: as old as that.
	cacheAgeMax = 1 << 24

	// cacheEpoch is the cache's second when the process starts: what is restored was stored before.
	cacheEpoch = 2 * cacheAgeMax

	// LookMax bounds the entries that are shown of one worker's cache; the rest is not.
	LookMax = 500

	// heldMax bounds the answers of a worker that an inspector looks at, with 78 KiB for each. Full: no verdict, counted.
	heldMax = 256

	// restingMax bounds the queries of a worker that rules delay, or an inspector looks at, at a time, restingBytesMax one of them. Full, or longer:
	// not delayed, no verdict; counted.
	restingMax      = 1024
	restingBytesMax = 512

	// ackPoll is how often a reload looks whether the workers have adopted it.
	ackPoll = time.Millisecond

	// ackTimeout is how long a reload waits for that: a turn takes milliseconds at most, so a worker that is not back by then is stuck.
	ackTimeout = 5 * time.Second

	// goneGrain is how often it is looked whether a removed upstream has finished.
	goneGrain = 10 * time.Millisecond

	// laneCloseTimeout is how long closing the lanes of an upstream may take: connections are shut, not drained, by then.
	laneCloseTimeout = 5 * time.Second

	// cutProbesMax is how many names, from the one that was asked for upwards, are looked for among those that do not exist: all that the reverse name of
	// an IPv6 address has. Longer names: those further up are not looked for.
	cutProbesMax = 34
)
