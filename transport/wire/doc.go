// Package wire reads and writes DNS messages in place: views over a client's query, the cached form of an upstream's answer, and the
// builders of upstream queries and client replies. It copies only what it emits, never allocates and keeps no state.
//
//	offset  bytes  field
//	0       2      id
//	2       2      flags: QR 15, opcode 14-11, AA 10, TC 9, RD 8, RA 7, Z 6, AD 5, CD 4, rcode 3-0
//	4       8      QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT
//	12      n+4    question: qname (1-255 bytes), type, class
//	12+n+4         records: owner name, type, class, TTL (4), RDLENGTH (2), RDATA
//
// A key names a cacheable question: lower-cased qname | type | class | flags byte (KeyDO, KeyCD, KeyRD). Letters outside a-z are
// left alone (RFC 4343), so two keys are equal exactly when the questions are.
//
// Bytes: every view points into the message it was parsed from and lives as long as that message. Messages never carry the 2-byte
// stream length. Threads: plain values, no sharing inside; a ResponseScratch belongs to one thread.
//
// What is accepted, where the RFCs leave room:
//   - Bytes after the last counted record are ignored, in queries (which are never forwarded: a new query is built from the key) and in
//     responses (where they are cut off). dnsdist and miekg/dns do the same.
//   - SIG(0) and unknown records in a query's additional section are walked over and ignored. TSIG is refused with NOTAUTH: the client
//     would drop an unsigned answer, and a proxy that rewrites messages cannot keep a signature valid (RFC 8945 §5.2).
//   - A compression pointer may name only the start of a label of a name that was read before it (RFC 1035 §4.1.4 "prior occurrence"),
//     so loops cannot exist and a message costs time linear in its length.
//
// RFCs: 1035 (format), 2181 (TTL range), 2308 (negative answers), 3597 (unknown types), 4343 (case), 6840 (AD and CD), 6891 (EDNS),
// 7828 (keepalive), 7830 and 8467 (padding), 8767 (TTL range), 8914 (extended errors), 9619 (one question).
package wire
