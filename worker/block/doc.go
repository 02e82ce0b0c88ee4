// Package block holds who is blocked, and which names: for a while, by the judgement of appliance/blocks or by an operator's hand. A Table is
// immutable once made and is read by all workers; what they count is apart, a line of its own for each worker. Nothing that a worker calls
// allocates or waits.
//
// A blocked source is turned away before anything is looked up for it. Below a blocked name only what the cache cannot answer is: a flood of
// random names is stopped, and the names that people ask for go on being answered.
package block
