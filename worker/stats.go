package worker

import (
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/block"
	"secure-dns-proxy/worker/inspect"
)

// Drop says why a datagram or a message got no answer.
type Drop uint8

const (
	// DropShort is a message too short for a DNS header (an empty datagram too).
	DropShort Drop = iota
	// DropResponse is a message with QR set: answering it could start a loop.
	DropResponse
	// DropTruncated is a datagram larger than the receive buffer.
	DropTruncated
	// DropDraining is a query that would need an upstream while the process stops.
	DropDraining
	// DropSend is a reply that the kernel refused to send.
	DropSend
	// DropGone is an answer whose TCP client has left.
	DropGone
	// DropSlowReader is an answer for a TCP client that does not read; its connection is closed.
	DropSlowReader
	// DropProhibited is a query over UDP of a client that may not ask (Access).
	DropProhibited
	// DropRule is a query, or an answer, that a rule drops.
	DropRule
	dropKinds
)

// DropKinds is how many reasons there are: Stats.Drops is indexed by Drop.
const DropKinds = int(dropKinds)

// String returns the value of the `reason` label in metrics.
func (d Drop) String() string {
	return [...]string{"short", "response", "oversized", "draining", "send_failed", "client_gone", "slow_reader", "prohibited", "rule"}[d]
}

// Stream says what became of a TCP connection or of an attempt to open one.
type Stream uint8

const (
	// StreamAccepted counts connections taken in.
	StreamAccepted Stream = iota
	// StreamRefusedTotal counts connections refused at the cap in total.
	StreamRefusedTotal
	// StreamRefusedClient counts connections refused at the client's cap.
	StreamRefusedClient
	// StreamIdle counts connections closed for want of a complete query in time.
	StreamIdle
	// StreamBroken counts connections closed for broken framing or for want of a buffer.
	StreamBroken
	// StreamFailed counts connections ended by a read or write error.
	StreamFailed
	// StreamAcceptFailed counts failures of accept itself (out of descriptors).
	StreamAcceptFailed
	// StreamProhibited counts connections closed because their client may not ask (Access).
	StreamProhibited
	// StreamCrowded counts quiet connections closed for new ones, because few places were free.
	StreamCrowded
	streamKinds
)

// StreamKinds is how many there are: Stats.Streams is indexed by Stream.
const StreamKinds = int(streamKinds)

// String returns the value of the `event` label in metrics.
func (s Stream) String() string {
	return [...]string{"accepted", "refused_total", "refused_client", "idle", "broken", "failed", "accept_failed", "prohibited", "crowded"}[s]
}

// RCodeOther is the index in Stats.Answers of every RCODE that does not fit the header's four bits.
const RCodeOther = 16

// LatencyBuckets is the number of buckets of a Histogram: eight per octave, from 1 us to over 16 s.
const LatencyBuckets = 192

// Histogram counts durations in buckets whose width is an eighth of their octave.
type Histogram struct {
	Count [LatencyBuckets]uint64
	SumNS uint64
}

// add counts n durations of ns nanoseconds each.
func (h *Histogram) add(ns int64, n uint64) {
	h.Count[latencyBucket(ns)] += n
	h.SumNS += uint64(max(ns, 0)) * n
}

// latencyBucket returns the bucket of a duration: exact below 8 units of 1024 ns, then three bits after the leading one.
func latencyBucket(ns int64) int {
	v := uint64(max(ns, 0)) >> 10
	if v < 8 {
		return int(v)
	}
	shift := bits.Len64(v) - 4
	return min((shift+1)*8+int(v>>shift)-8, LatencyBuckets-1)
}

// LatencyBound returns the upper bound of bucket i.
func LatencyBound(i int) time.Duration {
	if i < 8 {
		return time.Duration(i+1) << 10
	}
	shift := i/8 - 1
	return time.Duration((i%8+9)<<shift) << 10
}

// Quantile returns the upper bound of the bucket that holds quantile q (0 to 1) of all counted durations; 0 when none was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total, seen uint64
	for _, n := range h.Count {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	for i, n := range h.Count {
		if seen += n; n > 0 && seen > rank {
			return LatencyBound(i)
		}
	}
	return LatencyBound(LatencyBuckets - 1)
}

// Stats are the figures of one worker, or the sum over all. All fields are 64-bit words: they are copied and added as such.
// Counters only grow; those under "gauges" are momentary.
type Stats struct {
	QueriesUDP, QueriesTCP uint64 // queries with a usable header, answered or not
	Hits                   uint64 // answered from the cache
	Misses                 uint64 // opened an exchange; those that followed another worker's are in Followed
	Coalesced              uint64 // joined an exchange that was under way
	Local                  uint64 // answered without cache and upstream: see worker/local
	HeldFailures           uint64 // answered with a failure that was remembered
	Prefetches             uint64 // exchanges for cached answers shortly before their end
	PrefetchesDenied       uint64 // that would have been beyond the rate
	Shed                   uint64 // refused because there was no room, ShedHeavy included
	ShedHeavy              uint64 // questions of heavy sources and zones that were not asked
	RefusedClass           uint64 // refused: a class other than IN
	Requests               [RequestKinds][RequestOutcomes]uint64
	TransferMessages       uint64 // of zone transfers, given to clients
	TransferBytes          uint64
	Delays, DelaysDenied   uint64                 // queries that a rule had wait; those that could not for want of room
	Tees, TeesDenied       uint64                 // exchanges whose answers are ignored; those that were not for want of room
	Prohibited             uint64                 // over UDP, of clients that may not ask: REFUSED or dropped
	Malformed              [wire.FaultsMax]uint64 // answered FORMERR, NOTIMP, BADVERS or NOTAUTH, by wire.Fault
	Truncated              uint64                 // replies sent with TC
	SubnetsKept            uint64                 // answers that were cached for a network of clients (RFC 7871)
	SubnetsUnkept          uint64                 // that were not, for there were too many of one question
	OptionsPassed          uint64                 // queries with EDNS options that are passed on
	OptionsRefused         uint64                 // REFUSED: more of them than fit
	Failed                 uint64                 // queries answered SERVFAIL because no upstream answered
	Retries                uint64                 // exchanges repeated, on the same or another upstream
	Answers                [RCodeOther + 1]uint64
	Cookies                [CookieVerdicts]uint64 // queries with a cookie
	Limited                [LimitKinds][HeldBacks]uint64
	Drops                  [DropKinds]uint64
	Streams                [StreamKinds]uint64
	Latency                Histogram // from the turn that saw the query to the one that queued the reply

	Returned uint64 // queries of our own that came back: see Beacons

	Scrubs Scrubs // answers of upstreams that were changed

	Turns, Enters              uint64 // laps of the loop; system calls that submitted or waited
	DatagramsIn, DatagramsSent uint64
	MessagesSent               uint64 // what datagrams left in
	Rearms, BuffersExhausted   uint64 // receives started anew; receives that found no buffer

	Refused    uint64                // datagrams kept out because their source sends too much; those that the kernel dropped are an estimate while a socket is nearly full
	Blocked    [block.Actions]uint64 // queries of blocked sources and names, by what became of them
	SocketFull uint64                // datagrams that found no room in a client's socket, or were broken; Refused and these are all that the kernel dropped

	// Of the inspector.
	Inspect                         [inspect.Points]InspectStats
	VerdictsKept, VerdictsDisplaced uint64 // verdicts that were kept for a while; those that had to make room before they were over

	// Of the cache that instances share.
	TierAsked, TierSkipped, TierRefused uint64    // questions asked; not asked because it is out, or because there was no room
	TierHits, TierMisses                uint64    // answered in time: with an answer, that it has none
	TierInvalid                         uint64    // with what is none
	TierLate, TierLateHits              uint64    // the budget ended first; of them, those answered before an upstream did
	TierErrors                          uint64    // failed in time
	TierFills, TierFillsDropped         uint64    // answers given to it; those that had no room, were too long, or came while it was out
	TierOuts                            uint64    // times that a worker took it out
	TierLatency                         Histogram // of questions answered or failed in time

	CacheInserts, CacheEvictions, CacheExpired, CacheRefused uint64
	CacheFlushes, CacheFlushed                               uint64 // flushes by command, each counted once a worker, and answers that they have removed
	CacheRefreshes                                           uint64 // exchanges for cached answers by command

	// The level that the workers of a node share.
	SharedHits, SharedMisses       uint64 // looked up there after a miss; hits are in Hits, too
	SharedBusy                     uint64 // of all look-ups there: missed because another worker was writing
	SharedInserts, SharedEvictions uint64
	SharedRefused                  uint64 // not stored: too large, or other workers were writing
	Followed                       uint64 // queries whose question another worker was asking already
	FollowsFailed                  uint64 // of these, asked after all: that worker had no answer to share, or was late

	// gauges
	CacheEntries, CacheBytes uint64
	SharedBytes              uint64 // that the workers share, in use or not
	InFlight, Waiters        uint64
	Relays                   uint64 // requests that are being carried to upstreams: Requests
	Connections              uint64 // TCP clients
	TierOut                  uint64 // workers that have taken the cache out that instances share
	Shedding                 uint64 // workers that do not ask all questions
	Overloaded               uint64 // workers to which more arrives than they can answer, or has in the last two seconds
	LimitedSources           uint64 // sources that limits hold back, limit.Offenders at most for each worker
	RefusedSources           uint64 // sources that workers refuse something
}

// Queries returns all queries, over UDP and TCP.
func (s *Stats) Queries() uint64 { return s.QueriesUDP + s.QueriesTCP }

// UpstreamStats are the figures of one upstream, of one worker or summed over all. 64-bit words only, as in Stats.
type UpstreamStats struct {
	Exchanges     uint64                       // queries sent, retries included
	Answers       uint64                       // answers accepted
	Faults        [transport.FaultCount]uint64 // exchanges that failed, by transport.Fault
	Rejected      uint64                       // datagrams with a wrong id, question or form, or too late
	Truncated     uint64                       // UDP answers with TC that were asked again over TCP
	SubnetRefused uint64                       // asked again without the client's network, which it would not have
	Cancelled     uint64                       // exchanges given up in time because another one had answered first
	Latency       Histogram                    // of answered exchanges

	// gauges
	InFlight uint64
	Limit    uint64 // how many there may be: the adaptive limits of all workers, where they are below the static ones
}

// PoolStats are the figures of one pool, of one worker or summed over all. 64-bit words only, as in Stats.
type PoolStats struct {
	Queries              uint64 // that needed an upstream
	Retries              uint64
	RetriesDenied        uint64 // the budget was used up
	Hedges, HedgesDenied uint64 // second exchanges because the first was slow; those beyond the budget
	HedgeWins            uint64 // hedges that answered first
	Racers               uint64 // exchanges beside the first one of a race
	Limited              uint64 // queries refused because every upstream had as much under way as it may
	Stale                uint64 // queries answered from the cache after the TTL
	Failed               uint64 // slots that ended without an answer
	InFlight             uint64 // gauge: exchanges under way
	CacheBytes           uint64 // gauge: of Pool.CacheBytes in use, in the workers' own caches
}

const (
	statsWords         = int(unsafe.Sizeof(Stats{}) / 8)
	upstreamStatsWords = int(unsafe.Sizeof(UpstreamStats{}) / 8)
	poolStatsWords     = int(unsafe.Sizeof(PoolStats{}) / 8)
	viewStatsWords     = int(unsafe.Sizeof(ViewStats{}) / 8)
)

// published is the copy of a worker's figures that other goroutines may read. The worker counts in plain memory and publishes when it
// is about to sleep and at least every publishInterval: no locked instruction per query, and exact figures whenever it is idle.
type published[T any] struct {
	shadow T // what was published last, worker only
	shared T // written with atomic stores, read with atomic loads
}

// publish stores the words of now that changed since the last call.
func publish[T any](p *published[T], now *T, count int) {
	from := unsafe.Slice((*uint64)(unsafe.Pointer(now)), count)
	last := unsafe.Slice((*uint64)(unsafe.Pointer(&p.shadow)), count)
	to := unsafe.Slice((*uint64)(unsafe.Pointer(&p.shared)), count)
	for i, v := range from {
		if v != last[i] {
			last[i] = v
			atomic.StoreUint64(&to[i], v)
		}
	}
}

// addTo adds the published words to sum; safe from any goroutine.
func addTo[T any](p *published[T], sum *T, count int) {
	from := unsafe.Slice((*uint64)(unsafe.Pointer(&p.shared)), count)
	to := unsafe.Slice((*uint64)(unsafe.Pointer(sum)), count)
	for i := range from {
		to[i] += atomic.LoadUint64(&from[i])
	}
}
