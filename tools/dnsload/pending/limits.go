package pending

const (
	// OutstandingMax queries may wait on one flow. The table has at least twice as many slots, 2048 or 11 bits of the id,
	// which leaves 5 for the generation.
	OutstandingMax = 1024
	// generationsKept is how far back a slot remembers whether a query was answered or lost. An answer to one before that
	// counts as a wrong id.
	generationsKept = 16
)

// The index takes at most 11 of 16 bits; 5 bits of generation tell at least generationsKept apart from the current one.
const _ = uint(1<<5 - 1 - generationsKept)
