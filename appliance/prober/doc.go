// Package prober asks an upstream a question of its own, over the upstream's own transport, when its health wants to know.
//
// One goroutine for each endpoint sends one probe at a time, so a black-holed upstream costs one goroutine and one socket however long it
// stays that way. When to probe, and what a probe means, is decided by health.State; the prober owns the clock and the sockets.
//
// Probes go through a client (transport/client) with one connection, apart from those of the workers. It is made for the first probe, kept
// while probes are good, and given up when one is bad, so that the next one has to connect anew, and when no more are wanted.
package prober
