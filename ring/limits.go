package ring

import (
	"time"

	"secure-dns-proxy/ring/slots"
)

// Sizes on the wire.
const (
	// DatagramBytesMax is the payload room for a datagram, both ways. Longer ones arrive with Truncated set.
	// 4096 is the largest UDP answer a Do53 upstream is ever allowed to send us (EDNS size).
	DatagramBytesMax = 4096
	// StreamBytesMax is the most one StreamData event carries. A longer stream simply takes more reads.
	StreamBytesMax = 4096
)

// Handle layout: 20 bits of index, 12 of generation.
const (
	HandleIndexBits = slots.IndexBits
	// SocketsMax is what the index can name, less the three descriptors an engine adds for itself. A full table:
	// AddDatagram and AddListener return an error, an accepted connection is closed at once and reported as AcceptFailed
	// with ENOBUFS.
	SocketsMax = 1<<HandleIndexBits - 3
	// SocketsDefault: TCP clients of one worker, its listeners, and its upstream sockets, with room to spare. About 100 bytes each.
	SocketsDefault = 16384
)

// Per turn.
const (
	// EventsDefault bounds the work between two looks at the clock, and with the numbers that follow from it the memory that io_uring goes
	// through in a circle: twice as much of everything cost a hit, and a miss, 2 to 4 % (ARCHITECTURE, "Measured"). What does not fit
	// waits in the completion queue.
	EventsDefault = 64
	EventsMax     = 4096
	// SendSlotsDefault: one reply for each event of a turn, as many queries to upstreams again. All used: the engine
	// flushes with an extra system call and goes on.
	SendSlotsDefault = 128
	SendSlotsMax     = 4096
)

// Trains: see train.
const (
	// segmentsMax is what the kernel cuts one message into at most (UDP_MAX_SEGMENTS before 6.8, 128 since). Full: another train.
	segmentsMax = 64
	// segmentBytesMax keeps every segment within any MTU of IPv4 (576, RFC 791) and IPv6. Longer: alone.
	segmentBytesMax = 512
	// TrainsMax is how many peers and lengths may have a train at a time; queries have about 60 lengths, a turn has EventsDefault replies. One that takes the place
	// of another ends its train. A power of two.
	TrainsMax = 64
	// socketStep is how many places apart the trains of sockets are that follow each other in the table of sockets: those of several upstreams that are asked
	// in turns go on beside each other. Odd, and not near a small part of TrainsMax.
	socketStep = 37
)

// Receive buffers. A kernel with bounded multishot loops takes them only inside our own enter, so depth belongs in the
// socket's receive buffer, and this number is the cache footprint. None left: the engine rearms once the current slice
// is consumed, nothing is lost but time (Counters.BuffersExhausted).
const (
	DatagramBuffersDefault = 128 // two slices of EventsDefault
	StreamBuffersDefault   = 128 // the same
	BuffersMax             = 32768
)

// Queues of the io_uring engine.
const (
	// SQEntriesDefault: SendSlotsDefault datagrams, then one operation for each event of a turn and as many rearms.
	// Full: submitted with an extra system call.
	SQEntriesDefault = 256
	SQEntriesMax     = 16384
	// CQEntriesDefault: every receive buffer (128 + 128), every failed send (128), and bursts of accepts and closes.
	// Full: the kernel keeps the rest aside and ends multishots, which are rearmed (Counters.Overflows).
	CQEntriesDefault = 1024
	CQEntriesMax     = 65536
	// FixedFiles is the number of datagram sockets and listeners in the ring's own file table. Further ones work
	// through their descriptors, a little slower.
	FixedFiles = 64
)

// Rates.
const (
	// AcceptPause is how long a listener rests after EMFILE, ENFILE, ENOBUFS or ENOMEM: long enough not to spin, short
	// enough that a client's SYN retry (1 s) finds it listening.
	AcceptPause = 100 * time.Millisecond
	// ErrorsInRowMax errors that no peer can cause, without one success between, send a socket into the same pause.
	ErrorsInRowMax = 8
	// RawWaitMax is the longest wait made without telling the Go scheduler: it keeps the P, so it must be short.
	RawWaitMax = time.Millisecond
	// BusyPollMax bounds how long a wait may poll network cards: it is part of the wait, and a longer one would only burn the core.
	BusyPollMax = time.Millisecond
	// DrainTurnsMax bounds Shutdown: turns of 10 ms each to see the last completion of every operation.
	DrainTurnsMax = 200
)

// The default sizes must fit each other; a negative constant does not compile as uint.
const (
	_ = uint(SQEntriesDefault - SendSlotsDefault - 2*EventsDefault)
	_ = uint(CQEntriesDefault - DatagramBuffersDefault - StreamBuffersDefault - SendSlotsDefault)
	_ = uint(DatagramBuffersDefault - EventsDefault)
)
