package rig

import "time"

const (
	// startTimeout bounds the time until a started program answers; generous, for a machine that several builds share.
	startTimeout = 30 * time.Second
	// stopTimeout bounds the time from SIGTERM to the end of a peer; then it is killed.
	stopTimeout = 5 * time.Second
	// pollInterval is how often a condition is looked at again.
	pollInterval = 20 * time.Millisecond
	// commandTimeout bounds a client that runs to its end by itself (dig, kdig), dnsperf's own limit coming on top.
	commandTimeout = 60 * time.Second
	// steadyTimeout bounds one query of a Steady over TCP.
	steadyTimeout = 5 * time.Second
	// steadyBuffer is its socket's, bytes.
	steadyBuffer = 8 << 20
	// perfBufferKiB is that of dnsperf's sockets over UDP, as far as the kernel allows: with the default three hundred answers that come while dnsperf waits
	// for a CPU are all that fits, and what is dropped there looks like the proxy's loss.
	perfBufferKiB = 8 << 10
	// logTailBytes of a failed test's programs are printed.
	logTailBytes = 6000

	// Ports are taken below the kernel's ephemeral range (32768 and up), so that no client socket of a load sits on one.
	portFirst, portLast = 20000, 32000
	portAttemptsMax     = 1000
	actorAttemptsMax    = 10 // ports that an Actor tries
	// Ports below 1024 that no distribution's service uses, for the tests of privileges.
	lowPortFirst, lowPortLast = 700, 740
)
