package block

const (
	// EntriesMax bounds a Table. More: New refuses, and who judges has to choose.
	EntriesMax = 4096
	// RateMax bounds Entry.Rate.
	RateMax = 10_000_000
)
