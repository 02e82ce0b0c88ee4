package tier

import (
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

const (
	// ValueBytesLimit is the largest message that Config.MessageBytesMax may allow. Longer answers are not stored.
	ValueBytesLimit = 1 << 15

	// MessageBytesMin is the least that Config.MessageBytesMax may be: what fits a datagram without EDNS.
	MessageBytesMin = 512

	// FillBytesMin and FillBytesMax bound Config.FillBytes. Full: the answer is not stored, and counted (Line.Fill says so).
	FillBytesMin = 64 << 10
	FillBytesMax = 64 << 20

	// PrefixBytesMax keeps names within the 250 bytes that memcached allows.
	PrefixBytesMax = 64

	// AddressesMax is how many servers may be listed: a cluster is found from any of its nodes.
	AddressesMax = 16

	// TimeoutMin and TimeoutMax bound Config.Timeout.
	TimeoutMin = 10 * time.Millisecond
	TimeoutMax = 10 * time.Second

	// BudgetMin is a tick of the worker's timers; BudgetMax is more than any server nearby needs.
	BudgetMin = time.Millisecond
	BudgetMax = 100 * time.Millisecond

	// RestMin and RestLimit bound BreakerConfig.Rest and RestMax.
	RestMin   = 100 * time.Millisecond
	RestLimit = 10 * time.Minute

	// asksMax is how many questions of one worker may be under way: at 5 ms each 200,000 a second. Full: Ask says so and the upstream is asked.
	asksMax = 1024

	// askBatch and fillBatch bound what one call to the library carries. askCalls and fillCalls are how many a Line has under way, and so how many
	// goroutines; all busy: questions wait in the queue until their time is over, fills until the queue is full.
	askBatch  = 64
	askCalls  = 4
	fillBatch = 32
	fillCalls = 1

	// lineAnswerBytes holds asksMax records of 32 bytes that are kept for failures, and some 200 answers of 500 bytes or two of the largest size. Full: as for
	// any lane.
	lineAnswerBytes = 256 << 10

	// ttlMax is the longest time that anything is stored: RFC 8767 §4 names 7 days.
	ttlMax = 7 * 24 * 3600

	// window is the time over which the breaker counts, windowMin how many questions there must be in it for a percentage to mean anything, runMax how
	// many bad ones in a row mean enough without one, and trialsMin how many trials must go well.
	window    = time.Second
	windowMin = 20
	runMax    = 10
	trialsMin = 3

	// trialTime is how long a trial is waited for before the next one: longer than any budget.
	trialTime = time.Second

	// fillFailuresMax failed fills in a row are a state that is worth a line in the log.
	fillFailuresMax = 10

	// forgetMax bounds what Store.Forget keeps apart: each value found is compared with all of them.
	forgetMax = 64

	// connectPauseFirst and connectPauseMax: how soon a first connection is tried again that could not be made.
	connectPauseFirst = 100 * time.Millisecond
	connectPauseMax   = 5 * time.Second

	// clientBuffer is each connection's buffer for reading, and for writing: a few full batches.
	clientBuffer = 64 << 10

	// clientRing is how many calls, as a power of two, may be under way on one connection: a connection that hangs cannot gather more.
	clientRing = 8

	// pingGap is how long a connection may be silent before it is asked whether it lives.
	pingGap = time.Second

	// topologyInterval is how often sentinels and clusters are asked who is the master.
	topologyInterval = 5 * time.Second
)

// The longest name of a pool fits a question beside the longest key.
const _ = uint(transport.QueryBytesMax - 1 - poolBytesMax - wire.KeyBytesMax)

// poolBytesMax bounds names of pools: appliance/config allows 32 bytes. idBytesMax is what a lane takes.
const (
	poolBytesMax = 64
	idBytesMax   = transport.QueryBytesMax
)
