package transport

import (
	"time"

	"secure-dns-proxy/transport/wire"
)

const (
	// MessageBytesMax is the largest DNS message (RFC 1035 §4.2.2: a 16-bit length).
	MessageBytesMax = 65535

	// QueryBytesMax is the largest query a lane takes: header 12, question 255+4, OPT with a few options, padded. Longer: Submit refuses it.
	QueryBytesMax = wire.PaddedQueryBytesMax

	// ConnsMax bounds Endpoint.Conns. More is refused by Validate.
	ConnsMax = 64

	// OutstandingDefault is how many queries of one lane may be without a reply. 8192 covers 80,000 misses a second and worker at
	// 100 ms. Full: Submit returns false and the worker goes elsewhere or sheds.
	OutstandingDefault = 8192

	// QueryQueueDefault holds about 3,200 queries padded to 128 bytes: what a worker submits in 10 ms, the longest that the netpoller
	// leaves a sleeping driver unattended. Full: Submit returns false.
	QueryQueueDefault = 512 << 10

	// AnswerQueueDefault is 8192 × 32 bytes kept free for faults, and 768 KiB of answers: 2,400 of 300 bytes. Full of answers: the
	// goroutine that brings one waits up to answerWait, reading nothing from its connection meanwhile; then the answer is dropped,
	// counted, and reported as FaultFull.
	AnswerQueueDefault = 1 << 20

	answerWait       = 200 * time.Millisecond // a worker that received nothing for so long is stuck, and its clients are gone
	answerPauseFirst = 20 * time.Microsecond
	answerPauseMax   = time.Millisecond

	// Back-off after a failed dial: 50 ms, doubling to 1 s, each with up to a quarter of jitter either way.
	backoffFirst = 50 * time.Millisecond
	backoffMax   = time.Second

	// ProvenAfter is how long a connection must live, if it answered nothing, for its end not to count as a failure.
	ProvenAfter = time.Second

	// dialShareMin is the least time one address of several gets before the next is tried.
	dialShareMin = 250 * time.Millisecond
)
