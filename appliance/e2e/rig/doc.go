// Package rig starts the real programs of the end-to-end tests as processes on loopback and reads what they say.
//
//	Authority      a certificate authority of the test's own: good, expired, misnamed and foreign certificates
//	Unbound        the authoritative peer: Do53 over UDP and TCP, DoT, DoH
//	Actor          a UDP upstream that is slow, mute, useless or gone when the test says so
//	Steady         a client that sends at a steady rate and counts by phase of the test
//	DNSProxy       AdGuard's dnsproxy in front of an Unbound: DoQ, DoH over HTTP/2 and HTTP/3
//	CoreDNS        CoreDNS in front of an Unbound: DoT, DoQ, DoH over HTTP/2 and HTTP/3
//	Proxy          the product: configuration file, signals, log, metrics, /proc
//	Dig, Kdig      one query by a client that was not written here
//	Perf           dnsperf, a load and its counts
//
// Everything takes a testing.TB: what cannot be started fails the test, and what was started ends with it, by its process
// id, its log printed if the test failed. Every wait is bounded by limits.go. All addresses are loopback. Nothing here is
// safe for use by several tests at once but FreePort.
package rig
