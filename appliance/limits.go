package appliance

import "time"

const (
	// remoteLook is how often it is looked whether the second-tier cache is in use.
	remoteLook = 250 * time.Millisecond

	// gcPercent trades memory that we have for garbage collections that we do not want: the Go heap is small, since caches, buffers
	// and tables are outside of it. GOGC in the environment overrides it.
	gcPercent = 400

	// memoryLimitBytes is where the collector works harder after all: 64 upstreams of 16 workers with 256 KiB for each connection
	// are 256 MiB, times the 4 that gcPercent allows. It is soft. GOMEMLIMIT in the environment overrides it.
	memoryLimitBytes = 1 << 30

	// helpersMin are Ps beside those of the workers, for encrypted connections and the collector; see helpers.
	helpersMin = 2

	// healthPoll is how often changes of upstreams' states are collected for the log. States keep them meanwhile.
	healthPoll = 100 * time.Millisecond

	// trendInterval is over how long the ratios among the metrics (enters per query, skew) are taken.
	trendInterval = 10 * time.Second

	// shortageQuiet is after how many intervals (trendInterval) without an event a shortage is over: a minute, so that one that comes and
	// goes writes two lines a minute at the most.
	shortageQuiet = 6

	// skewQueriesMin is the load from which skew matters, in queries per trendInterval: a worker is far from busy below it.
	skewQueriesMin = 10_000

	// skewLasting is how long one worker must have had too much before it is logged: three intervals after the first.
	skewLasting = 3 * trendInterval

	// skewLogPause is the least time between two such lines.
	skewLogPause = time.Hour

	// overloadPoll is how often overloads are looked for, for the log.
	overloadPoll = 200 * time.Millisecond

	// limitPoll is how often it is looked who is held back by a limit, for the log.
	limitPoll = time.Second

	// limitLines and limitLinesTime bound the lines about it; beyond them sources are only counted.
	limitLines     = 10
	limitLinesTime = time.Minute

	// setPoll is how often the files of sets are looked at.
	setPoll = time.Second

	// ruleLogPoll is how often the lines of rules are written.
	ruleLogPoll = 100 * time.Millisecond

	// overloadPause is the least time between two lines about overloads of one worker; what happened in between is in the metrics.
	overloadPause = 10 * time.Second

	// keepTimeout is how long writing the cache may take when the process stops; then the file of before stays.
	keepTimeout = time.Minute

	// clockSlack is how far the clock may have been set back while nobody ran, and the time away be taken for none. Further back, the age of kept
	// answers is not known, and none is used.
	clockSlack = time.Minute

	// liveInterval is the time from one line of live figures to the next.
	liveInterval = time.Second

	// certificatePoll is how often certificates are looked at for the log, those of clients in their files.
	certificatePoll = time.Second

	// metricsPortsTried follow the usual one when the embedded default finds it taken; then the kernel chooses.
	metricsPortsTried = 16

	// signalEcho is how long the signal that began the drain may come again without being a second one: timeout(1) signals a process
	// and then its group, and a shell's Ctrl-C may be passed on by a parent that got it too.
	signalEcho = 100 * time.Millisecond

	// notifyTimeout bounds telling the service manager; its socket is local.
	notifyTimeout = time.Second
)
