// Package client asks an upstream single questions from ordinary goroutines: for names that have to be resolved, for probes, for discovery.
// It is not for clients' queries, which go through the workers.
//
// A Client has a lane of its own to its endpoint, with one connection that closes soon after the last question, and plays the worker on it.
// Over UDP it asks from a socket of its own for each question, and over TCP if the answer was cut (RFC 7766 §5). It uses the endpoint's
// addresses and adds to what is known of them, but resolves no name and reports nothing to the endpoint's health: what a failure means is
// for the caller to say.
package client
