// Package trust holds what we demand of an upstream's TLS server before a query goes to it, what we show to it, and what was seen of it.
//
//	Policy    as configured: names, authorities, pins, versions, suites, groups, client certificate, ECH, key log
//	Client    one upstream's policy in force: gives the tls.Config of each attempt, verifies, remembers the certificate
//	Pin       SHA-256 of a SubjectPublicKeyInfo (RFC 7858 §4.2, the base64 of RFC 7469 §2.1.1)
//	Identity  a client certificate and its key, read again when their files change
//	ECH       the configurations for Encrypted Client Hello (RFC 9849) and what became of them
//	KeyLog    the file that the secrets of all connections go to, if somebody asked for it
//
// Verification happens in tls.Config.VerifyConnection, which crypto/tls also calls for resumed sessions; VerifyPeerCertificate it does not.
// It depends on nothing that Client.Attempt sets, so that a caller who dials with Client.Config alone is never less careful.
//
// Everything is safe for concurrent use. Nothing here logs, and no error holds a private key: errors are for the log.
package trust
