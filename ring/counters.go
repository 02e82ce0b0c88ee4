package ring

// Counters of one engine since it was opened. Plain words: only the worker thread may read or write them.
type Counters struct {
	Enters           uint64 // system calls made by Turn and by flushes
	Datagrams        uint64 // datagrams received, empty and truncated ones included
	Empty            uint64 // of those, zero-length ones; each ends a multishot
	Truncated        uint64 // of those, longer than DatagramBytesMax
	DatagramsSent    uint64 // datagrams handed to the kernel, failed ones included
	MessagesSent     uint64 // what they left in: a train is one message
	SendFailures     uint64 // of those, refused by the kernel; a train counts as one
	SendsDropped     uint64 // datagrams dropped because the kernel took no submissions at all
	Rearms           uint64 // receives and accepts armed again after they ended
	BuffersExhausted uint64 // receives that found no buffer
	BuffersLost      uint64 // buffers taken back after lost completions
	Accepts          uint64 // streams opened
	AcceptsRefused   uint64 // connections closed because the socket table was full or the peer had gone
	AcceptPauses     uint64 // listeners or sockets put to rest for AcceptPause
	StreamReads      uint64 // StreamData events
	StreamSends      uint64 // StreamSent events
	Wakes            uint64 // wake-ups through the Waker
	Overflows        uint64 // turns that found the completion queue overflown
	Lost             uint64 // times the kernel reported completions really lost
	Stale            uint64 // completions for a socket that is gone
	Unexpected       uint64 // errors that no rule covers
}
