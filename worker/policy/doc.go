// Package policy decides what becomes of queries and answers by rules that an operator has written: a rule has a match, which is a tree of
// selectors, and an action. Rules stand in four chains and are looked at in order; a final action ends its chain.
//
//	query     every query, before the cache
//	miss      a query that the cache has no answer to, before anybody is asked
//	response  an answer of an upstream, before it is kept and given to whoever waits for it: all clients get the same
//	own       what the proxy says itself: answers of rules, special names, refusals
//
// A Policy is immutable once compiled and is read by all workers. What changes belongs to one worker each: a State, with hit counters, token
// buckets and scratch. Sets of names and prefixes may be exchanged under a policy that is in use (SetRef). Run allocates nothing, takes no lock and
// reads no clock, but for one look at the time of day a second where a rule asks for it.
//
// Rules are found through an index: those that cannot match are not looked at. Names and types have tables of the rules that need them; numbers
// (labels, flags, ports, sizes, codes) and client prefixes have axes, each one look-up for all rules together; a rule that needs a tag waits until
// one is set. What is in any and not takes part. Sets, expressions, rates and the like are asked of what is left.
//
// Names are in wire form without compression, lower case. Times are nanoseconds of the worker's clock.
package policy
