// Package e2e tests the product from outside: the real binary as a process, real peers (unbound, AdGuard's dnsproxy) behind
// it, real clients (dig, kdig, dnsperf) before it, all on loopback. It has tests only; appliance/e2e/rig starts the programs.
//
//	default_test.go    the embedded default, as `make run` starts it
//	upstream_test.go   one upstream of each kind: the same answers as the peer itself gives, through both engines
//	names_test.go      addresses that change, are dead or broken; name servers that go; discovery of designated resolvers
//	exchange_test.go   coalescing, forgery, retries, policies, names of upstreams, the cache
//	client_test.go     what clients see: truncation, EDNS, question case, reply addresses, pipelining
//	load_test.go       dnsperf with 10,000 names: nothing lost, hits and metrics add up
//	caps_test.go       connections to upstreams, capped by kind and by pool
//	blackhole_test.go  all upstreams silent at full load
//	outage_test.go     the upstream killed and started again under load
//	hostile_test.go    malformed, oversized, half-sent and idle input
//	probes_test.go     active probes of every kind of upstream: hung, killed, back
//	sick_test.go       one upstream of three in turn slow, silent, refusing, useless, untrusted, killed
//	trust_test.go      certificates and addresses that are wrong, and what the log says
//	pins_test.go       keys that are pinned, key exchange, and what is loud in the log
//	operate_test.go    --check, signals, privileges, io_uring denied
//	race_test.go       the whole program under the race detector
//
// The Makefile builds what they start: `make e2e`, with E2E_SECONDS for longer loads and RUN for a part.
package e2e
