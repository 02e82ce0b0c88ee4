package transport

import (
	"time"

	"secure-dns-proxy/transport/wire"
)

const (
	// MessageBytesMax is the largest DNS message (RFC 1035 §4.2.2: a 16-bit length).
	MessageBytesMax = 65535

	// QueryBytesMax is the largest query that a lane takes by default: header 12, question 255+4, OPT with a few options, padded. Longer: Submit refuses it.
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

	// Delay between attempts to connect to the addresses of one endpoint: RFC 8305 §5 recommends 250 ms, at least 100 ms, and forbids less
	// than 10 ms. It shrinks, down to that, where DialTimeout would otherwise end before the last address was tried.
	AttemptDelayDefault = 250 * time.Millisecond
	AttemptDelayMax     = 2 * time.Second
	attemptDelayMin     = 10 * time.Millisecond

	// An address that failed goes to the back of the order: for 1 s at first, twice as long after each further failure, up to a minute. Its
	// return is then found by a dial or a socket, not earlier than the minute and at the cost of one attempt.
	addressRestFirst = time.Second
	addressRestMax   = time.Minute

	// QUIC. A flow that is silent for 30 s is forgotten by many a middlebox, and two keep-alives may be lost before a connection is. Most
	// servers allow 100 streams; a limit of ours above the server's does no harm.
	QUICKeepAliveDefault = 15 * time.Second
	QUICMaxIdleDefault   = 30 * time.Second
	QUICStreamsDefault   = 256
	QUICStreamsMax       = 1024

	// QUICStreamWindowMin is the longest message with its length. A connection's window holds that for each of its streams, by default.
	QUICStreamWindowMin     = 2 + MessageBytesMax
	QUICStreamWindowDefault = 128 << 10
	QUICWindowMax           = 256 << 20
)
