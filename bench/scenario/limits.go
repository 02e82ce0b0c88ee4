package scenario

import "time"

const (
	// window is queries outstanding in closed loop: enough to keep any server here busy while the generator reads a batch.
	window = 2048
	// fillWindow is the same while caches are filled: so few that they fit in a socket buffer of the default
	// size (212,992 bytes, in which a small datagram takes up to 2,304).
	fillWindow = 64
	// fillRounds is how often the names are asked again until every one was answered. More: the turn fails.
	fillRounds = 3
	// fillTimeout bounds one round of filling.
	fillTimeout = 2 * time.Minute
	// lossTimeout is after how long a query counts as lost.
	lossTimeout = time.Second

	// loneClients sockets have one query outstanding each: few enough for the usual limit of 1024 descriptors.
	loneClients = 1000
	// hitNames is the number of names of the hit scenarios.
	hitNames = 10_000
	// cacheRoom is how many more entries a cache gets than there are names: dnsdist's is divided into shards that do not fill
	// evenly, and a full one learns nothing.
	cacheRoom = 1.5
	// missCache is how many answers may be cached while every query is a miss: all of a run, for every program.
	missCache = 1_000_000
	// missWarm is how long misses are asked before they are measured: connections are opened, memory is touched the first time.
	missWarm = time.Second
	// namesPerRun numbers are set aside for each run whose names must be new.
	namesPerRun = 2_000_000
)
