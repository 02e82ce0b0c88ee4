// Package census counts, for one worker, who asks how much and what they are answered, and below which names what is asked is unknown: the
// ground on which dynamic blocks are decided (appliance/blocks), by somebody who has time for it.
//
//	Counter (the worker's) ── a full Tally, when one is due ──> Take (the judge's) ── Return, emptied ──> Counter
//
// Two tallies go round between the worker and the judge, so that neither waits: while the judge is late, the worker goes on with the tally
// that it has, which then covers a longer time. Nothing is shared but the two pointers.
//
// Memory is fixed. A tally has sets of four entries, chosen by a keyed hash, and in each set the Space-Saving algorithm (Metwally,
// Agrawal, El Abbadi 2005): who is not there takes the place of the least one. So who asks much is there, whatever else arrives; a flood of
// forged sources only makes the places of those change hands who ask little. What an entry counts, it counts from when it took its place: never too
// much, and too little by what came before.
package census
