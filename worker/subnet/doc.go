// Package subnet is what a worker does about the networks of clients in EDNS (RFC 7871, ECS): which one an upstream is told (Spec), and
// for which networks answers to a name have been kept (Scopes).
//
// Scopes is memory outside the Go heap, of a fixed size, for one thread. Nothing allocates but NewScopes; nothing has a clock.
package subnet
