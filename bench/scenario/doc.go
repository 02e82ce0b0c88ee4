// Package scenario holds the questions that the benchmark asks, one file each: the question, the shape of the load, what is
// measured, and the criterion that package report holds it to.
//
// Every turn of every program starts a process of its own, so no program profits from what it learned in an earlier one. A
// turn is: start, fill the caches if the question is about hits, closed loop for Settings.Full (as many answers as possible
// with a fixed number of queries outstanding), open loop for Settings.Half at half of the rate just measured (latency from
// the intended send time), stop. CPU time is that of all threads of the server's process, read before and after a run.
//
// Non-goals: other machines, networks with loss or latency, other answers than one A record, zones with DNSSEC. The packets
// go over loopback: the cost of a network card is the same for all programs and is in none of the figures.
package scenario
