package health

const (
	// ShareFull is the Share of an upstream that is used like any other.
	ShareFull = 256

	// shareFirst is the Share with which slow start begins: a sixteenth warms caches and shows faults without hurting many clients.
	shareFirst = 16

	// quietNS is how long no answer may have come before failures in a row take an upstream down (ns). Under load losses cluster: at
	// 100,000 exchanges a second and 1 % loss, three in a row come every ten seconds, beside thousands of answers.
	quietNS = 200e6

	// recentNS is how long after an answer a failed connection alone does not condemn the upstream (ns).
	recentNS = 1000e6

	// successGrainNS is how often lastSuccess is written under load (ns): the line is shared by all workers.
	successGrainNS = 50e6

	// judgeGrainNS is how often the window is added up while errors come (ns).
	judgeGrainNS = 10e6

	// buckets of the window. A tenth of it is forgotten at a time.
	buckets = 10

	// exactMax is how many answers of one bucket are counted one by one. Further ones are counted in sampled turns, one of sampleOneIn.
	exactMax    = 64
	sampleOneIn = 16

	// transitionsMax changes are kept for the one who reads them. Full: the oldest is dropped, and counted. At ten changes a second,
	// which RestMin allows at worst, this is more than a second's worth.
	transitionsMax = 16
)
