package ring

import (
	"strconv"
	"syscall"
)

// Handle names a socket registered with an engine: the table index in the low 20 bits, the generation (1..4095) above.
// Zero is never a valid handle. A handle whose socket is gone is stale: every method ignores it.
type Handle uint32

// Kind says what an Event reports. The zero value is no event.
type Kind uint8

const (
	// Datagram: Data is the payload (it may be empty), Path the sender and, on wildcard sockets, the local address.
	// Truncated is set when the payload was longer than DatagramBytesMax; Data then holds its beginning.
	Datagram Kind = iota + 1
	// DatagramError: Errno came from a datagram socket (ECONNREFUSED on a connected one). The engine has rearmed it.
	DatagramError
	// SendFailed: a datagram committed to Handle could not be sent, for the reason Errno. Nothing is held for it any more.
	SendFailed
	// Accepted: Handle is the new stream, Tag the tag of its listener, Path the peer. Nothing is read until Recv(Handle).
	Accepted
	// AcceptFailed: Errno from a listener. The engine rearms it, after AcceptPause where the cause is a shortage.
	AcceptFailed
	// StreamData: Data is 1..StreamBytesMax bytes. Reading has stopped; Recv goes on.
	StreamData
	// StreamEnd: nothing more will be read; Errno 0 is a clean end of file. Writing may still work. The handle lives until Close.
	StreamEnd
	// StreamSent: the whole buffer given to Send was taken (Errno 0), or writing failed (Errno). The buffer is free again.
	StreamSent
	// StreamClosed: the last event of a stream, after Close. The kernel holds nothing of it; a buffer given to Send is free.
	StreamClosed
)

var kindNames = [...]string{
	Datagram: "datagram", DatagramError: "datagram error", SendFailed: "send failed", Accepted: "accepted",
	AcceptFailed: "accept failed", StreamData: "stream data", StreamEnd: "stream end", StreamSent: "stream sent",
	StreamClosed: "stream closed",
}

// String returns the kind in words, for logs and tests.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Event is one thing that happened to one socket. Which fields are set is said at each Kind.
//
// Data and Path point into memory of the engine and are valid until the next Turn.
type Event struct {
	Kind      Kind
	Truncated bool
	Handle    Handle
	Tag       uint32 // as given at AddDatagram, AddListener or SetTag
	Errno     syscall.Errno
	Data      []byte
	Path      *Path
}
