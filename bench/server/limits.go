package server

import "time"

const (
	// readyTimeout is how long a program may take from exec to its first answer. More: the turn fails with the program's log.
	readyTimeout = 15 * time.Second
	// probeTimeout is when a probe is repeated that got no answer, probePause the pause after one that was refused: the
	// resolution of start-up times.
	probeTimeout = 20 * time.Millisecond
	probePause   = 500 * time.Microsecond
	// stopTimeout is how long a program may take to end after SIGTERM, before SIGKILL.
	stopTimeout = 3 * time.Second
	// logTail is how much of a program's log an error quotes, in bytes.
	logTail = 2000
	// buildTimeout bounds the build of one program, installTimeout an apt-get.
	buildTimeout   = 15 * time.Minute
	installTimeout = 5 * time.Minute

	// Bytes of cache per entry where everything shall fit, for the programs that count bytes: what each takes for an answer of
	// one A record, rounded up generously.
	proxyEntryBytes    = 256
	dnsProxyEntryBytes = 512
	unboundEntryBytes  = 2048
	// cacheBytesMin is this proxy's default cache, and the smallest given to any program that counts bytes.
	cacheBytesMin = 64 << 20
)
