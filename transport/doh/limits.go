package doh

const (
	// headerBytesMax bounds the header of a response. More: the stream is reset and the query fails with FaultProtocol.
	headerBytesMax = 16 << 10

	// readChunk is how far the buffer for an answer grows at a time, if the server did not announce the size.
	readChunk = 2048
)
