// Package limit holds every source to what it may ask, and every network to what it may be told: token buckets in a table of fixed size.
//
//	kinds                        a bucket for each               taken from by
//	ipv4_32 ipv4_24              IPv4 address, /24               queries over UDP
//	ipv6_128 ipv6_64 ipv6_56     IPv6 address, /64, /56          queries over UDP
//	cookie                       IPv4 address, IPv6 /64          queries over UDP whose cookie proves their address, in place of the above
//	tcp                          IPv4 address, IPv6 /64          queries over TCP
//	answers nxdomains errors     network and name, zone, nothing replies over UDP (response rate limiting)
//
// A group of sources may have limits of its own; its buckets are then apart from those of the rest.
//
// A query is admitted if all buckets of its source hold a token, and takes one from each; else it takes none, so a source that is over its own limit
// costs its network no more than that. A reply takes its token either way, and so an answer that is repeated without end is held back until it
// is asked for less (BIND's "window").
//
// The table has sets of four entries of 16 bytes, a cache line, chosen by a keyed hash which also names the bucket. An entry is only the time at
// which its bucket is full again; one that is full says nothing and can be forgotten. A source that finds its set taken takes the place of the
// fullest bucket there and begins with a full one of its own. So random sources drive out each other, never a heavy one, whose bucket is the
// emptiest; and nobody is refused for what others did, but by a collision of 64-bit hashes.
//
// One thread; times are ns and never go back. Nothing allocates but New and Report.
package limit
