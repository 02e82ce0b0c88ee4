// Package query says what a load run asks: which name comes next, with which type, and the packet that asks it.
//
// A Corpus is built once and shared; a Generator walks it for one sender and belongs to one goroutine. Names come from a
// pattern with a number in it, or from a list in dnsperf's format. The n-th name is chosen uniformly, by Zipf's law (number
// First is the most popular one), or in order, in which case every generator takes its own residue class and no name comes
// twice.
//
// A packet is composed in place, without allocation: pattern names from digits, as a million prepared packets would cost a
// cache miss each; listed names by one copy from an arena. A query has RD set, one question of class IN, and an OPT record
// (RFC 6891) in the share that Mix.EDNS says. Letters in a name are upper case at random (draft-vixie-dnsext-dns0x20) in the
// share that Mix.Case says; else they are as given.
package query
