// Package server knows the programs that are measured: how each is found or built, configured for a scenario, started on its
// CPUs, probed, reloaded and stopped.
//
//	id              program
//	uring, mmsg     this proxy with either engine
//	dnsdist-tuned   dnsdist as its manual advises for speed
//	dnsdist         dnsdist with its defaults and a packet cache of the same size
//	unbound         as a caching forwarder, without validation
//	coredns         plugins cache and forward
//	dnsproxy        AdGuard's
//	echo            tools/echo: no DNS server, but the ceiling of kernel sockets
//
// What a Setup cannot be expressed in (dnsdist has no DoQ upstreams) is an error that wraps ErrCannot and ends up in the
// report. All programs listen on one loopback address and forward to one backend.
package server
