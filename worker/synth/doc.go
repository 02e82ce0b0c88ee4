// Package synth changes answers on their way from an upstream to cache and clients: it makes IPv6 addresses for hosts that have none (DNS64, RFC
// 6147, addresses by RFC 6052), and finds answers that would let a stranger's name point into one's own network (DNS rebinding).
//
// DNS64 and Rebinding are immutable once built and are read by all workers. They work on parsed answers; what they make are views of the
// wire.Assembly that they are given. Nothing allocates but New functions.
package synth
