// Package session runs scenarios: for each, turn by turn, every program after the other, so that the machine's drift hits all
// alike. The program that begins changes from turn to turn.
//
// A turn that fails is noted and the session goes on; one that was cut off by the end of the context is left out. What was
// not run for lack of time is named in the results.
package session
