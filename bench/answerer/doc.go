// Package answerer is the backend of the miss scenarios: it answers every question at once, over Do53, DoT, DoQ and DoH, as an
// authoritative server that has the name would. It is not measured, only watched: it must not be the bottleneck.
//
//	question type   answer
//	A, AAAA         one record, TTL 3600, address from the question's bytes
//	TXT             one record, TTL 3600, a text of 0 to 63 bytes: answers to questions of one length are of 64 lengths
//	any other       NOERROR with no record
//
// An OPT record in the query is answered by one. UDP is read and written in batches of up to 64; TCP and TLS answer all
// queries of one read by one write, in order, and so by one TLS record; DoQ has a stream per query (RFC 9250) and answers all
// streams that have arrived together, so that they share packets; DoH has a request per query (RFC 8484).
//
// Queries are counted by transport; the difference of two counts over the generator's answers is the hit ratio of whatever is
// between.
package answerer
