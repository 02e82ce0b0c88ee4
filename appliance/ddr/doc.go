// Package ddr finds out whether a plain resolver has an encrypted one beside it: Discovery of Designated Resolvers, RFC 9462.
//
//	ask      SVCB _dns.resolver.arpa at the plain resolver (§4); its answer names protocols, ports, a host name, addresses, a path
//	choose   by priority, then DoT, DoQ, DoH over HTTP/2, DoH over HTTP/3, whatever works first
//	verify   a real handshake and a real answer: the certificate must be valid for the host name and for the address of the plain resolver
//	         (§4.2). Without that, and only if it was allowed, a server at the very address of a resolver on a private network (§4.3)
//	keep     until the TTL is over, then ask again; sooner while the encrypted resolver is down
//
// A Seeker does this for one resolver, on a goroutine of its own, and tells its owner which endpoint to use. Whoever can forge the answer
// can keep a resolver from being upgraded, but not direct queries elsewhere. He cannot undo an upgrade either: once there is an encrypted
// endpoint it stays, whatever is heard later, unless the owner said that a downgrade is fine.
package ddr
