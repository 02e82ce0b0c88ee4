package answerer

import "time"

const (
	// batchMax datagrams are read, and written, by one system call.
	batchMax = 64
	// datagramBytesMax is room for one query over UDP. The rest of a longer one is lost and it gets no answer.
	datagramBytesMax = 4096
	// socketBufferBytes is asked for the UDP socket: a few thousand queries may wait in it. When full, the kernel drops.
	socketBufferBytes = 8 << 20
	// streamBytes is read from a connection at once; answers to it are a few times as long at most (see answerBytesMax).
	streamBytes = 64 << 10
	// textBytesMax is the longest text of a TXT record. Which length a name has is drawn: all are equally frequent.
	textBytesMax = 63
	// answerBytesMax is what an answer is longer than its query, at most: a TXT record behind a pointer.
	answerBytesMax = 12 + 1 + textBytesMax
	// streamsMax streams or requests may be open per connection of DoQ or DoH: the peer waits beyond it.
	streamsMax = 4096
	// gapWait is how long a part of a query over DoQ that was lost on the way may hold up the others.
	gapWait = time.Millisecond
	// queryBytesMax is the longest query over a stream or in a request. More: the stream is reset, the request refused.
	queryBytesMax = 65535
	// idleTimeout ends connections nobody uses: longer than any pause of a run.
	idleTimeout = 5 * time.Minute
)
