package query

const (
	headerBytes       = 12
	nameBytesMax      = 255 // RFC 1035 §3.1, with the root label
	labelBytesMax     = 63
	typeAndClassBytes = 4
	optBytes          = 11 // an empty OPT: root name, type, class, TTL, RDLENGTH

	// PacketBytesMax is the longest query: header, question, OPT.
	PacketBytesMax = headerBytes + nameBytesMax + typeAndClassBytes + optBytes

	// NamesMax bounds -names where each needs a table entry (Zipf: 12 bytes).
	NamesMax = 1 << 28
	// listLinesMax and listBytesMax bound a list of names; a longer file is refused.
	listLinesMax = 1 << 26
	listBytesMax = 1 << 31
	// TypesMax is the number of different types in one mix.
	TypesMax = 16
	// digitsMax is the length of the largest number a pattern can hold, 1<<63.
	digitsMax = 19
)
