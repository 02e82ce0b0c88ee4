// Package embedded is the upstream that the program brings along: a DNS server for a small demo zone over TLS (RFC 7858) and QUIC
// (RFC 9250), on loopback ports that the kernel chooses. It lets the whole path be tried, and tested, without any network.
//
//	demo.example   NS, SOA, MX, TXT; www (A, AAAA); alias -> www and chain -> alias -> www (CNAME); big (TXT of over 1232 bytes);
//	               short (TTL 2 s); *.wild (wildcard A, any number of names)
//	anything else  NXDOMAIN with the SOA of an otherwise empty root zone. Not REFUSED: that would count as a sick upstream
//
// The certificate and the authority that signed it are made at start and live in memory only. Whoever connects verifies the
// server against that authority and by name, as it would any other.
//
// It is a demonstration, not a name server: the zone is fixed, there is no DNSSEC and no transfer.
package embedded
