// Package cookie makes and checks the cookies by which clients and this server know each other again (RFC 7873), in the form that all servers
// behind one address share (RFC 9018), of version 1:
//
//	bytes    0        1..3      4..7                          8..15
//	         version  reserved  Unix time, big-endian         SipHash-2-4
//
// The hash is over client cookie | version | reserved | time | client address (4 or 16 bytes), with a secret of 128 bits. Who returns a valid
// cookie receives what is sent to the address that it sends from: its queries are not forged.
//
// A Jar is immutable and may be used by any number of threads; nothing but New allocates. There is no clock in here.
package cookie
