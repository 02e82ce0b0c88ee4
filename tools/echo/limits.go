package main

import "time"

const (
	// batchMax datagrams are read, and sent, by one system call: the kernel's own bound is 1024, more than 64 gain nothing.
	batchMax = 64
	// datagramBytesMax is what a query may have; the rest of a longer one is cut off and not echoed.
	datagramBytesMax = 4096
	// receiveBufferBytes is asked of SO_RCVBUFFORCE, else of SO_RCVBUF; when it is full the kernel drops.
	receiveBufferBytes = 4 << 20
	// receiveWait bounds one wait for a datagram, and with it how long the Go runtime may have to wait for a worker.
	receiveWait = 10 * time.Millisecond
	// workersMax is the number of workers one process may have.
	workersMax = 256
	// sendRetriesMax is how often a batch that the kernel refuses is offered again, sendPause apart; then the rest of it is
	// dropped, as the network would.
	sendRetriesMax = 100
	sendPause      = 20 * time.Microsecond
)
