package persist

const (
	// RecordBytesMax is the longest record. Longer: Add refuses; in a file: damage.
	RecordBytesMax = 1 << 17

	// namesMax and nameBytesMax bound the names in the header. More: Create refuses; in a file: damage.
	namesMax     = 256
	nameBytesMax = 255

	headerBytesMax = 8 + 2 + namesMax*(1+nameBytesMax)

	// bufferBytes is read and written at a time.
	bufferBytes = 1 << 20
)
