package balance

const (
	// UpstreamsMax is how many upstreams one pool may hold: sets of them are bits of a uint64. More: refused with the configuration.
	UpstreamsMax = 64

	// WeightMax bounds the weight of an upstream.
	WeightMax = 1000

	// ShareFull is the Share of an upstream that takes all of its traffic.
	ShareFull = 256

	// decayNS is the time in which a latency that is no longer seen loses 63 % of its weight (ns).
	decayNS = 5e9

	// unknownNS is what an upstream whose latency is not known is taken to cost for each exchange that is out (ns): the first query goes
	// there at once, the second waits for what the first one shows.
	unknownNS = 1e9

	// tailStep is how far one sample moves the estimate of the 95th percentile, as a share of it: small enough not to follow single
	// answers, large enough to follow a network that changes within some hundred answers.
	tailStep = 0.05

	// tailSamplesMin is how many answers it takes before there is an estimate.
	tailSamplesMin = 20

	// budgetSeconds is the window of a Budget.
	budgetSeconds = 10

	// RetryFloor is what a retry budget grants each second however few queries there are: a proxy with little traffic may retry too.
	RetryFloor = 10
)
