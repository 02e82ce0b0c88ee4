package wasm

import "time"

const (
	// ModuleBytesMax is the longest module. Longer is an error.
	ModuleBytesMax = 8 << 20

	// PageBytes is the unit of a module's memory. MemoryMin and MemoryMax bound what an operator may allow.
	PageBytes = 64 << 10
	MemoryMin = PageBytes
	MemoryMax = 256 << 20

	// tableEntriesMax is the largest maximum of a table, of 8 bytes each. More, or none, is an error.
	tableEntriesMax = 64 << 10

	// startTime is how long a module's start function and buffer may take. More is an error.
	startTime = time.Second
)
