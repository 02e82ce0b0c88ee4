// Command echo is the kernel-socket ceiling of a DNS server: it reads datagrams by recvmmsg, sets QR and RA in place, and
// sends them back by sendmmsg. It parses nothing, so a server that parses, looks up and builds can at best come near it.
//
// One SO_REUSEPORT socket and one locked thread per worker, nothing shared, nothing allocated per datagram. A datagram too
// short for a DNS header is dropped: echoing it could start a loop between two echoes.
package main
