package health

const (
	// ShareFull is the Share of an upstream that is used like any other.
	ShareFull = 256

	// FailuresMax is how many exchanges in a row may fail before the upstream is Down. Three: one lost datagram, or two, are no outage.
	FailuresMax = 3

	// RestMinNS and RestMaxNS bound the rest of a Down upstream (ns). The maximum keeps a repaired upstream unused for less than the
	// two seconds within which answers have to be back.
	RestMinNS = 100e6
	RestMaxNS = 1000e6

	// RecentSuccessNS is how long after an answer a failed connection alone does not condemn the upstream (ns).
	RecentSuccessNS = 1000e6

	// successGrainNS is how often lastSuccess is written under load (ns): the line is shared by all workers.
	successGrainNS = 50e6
)
