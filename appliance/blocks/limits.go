package blocks

import "time"

const (
	// RulesMax bounds the rules.
	RulesMax = 32
	// windowsMax bounds the different windows of all rules; each costs memory for everybody who is tracked.
	windowsMax = 4
	// tracksMax bounds whose rates are known: sources and names apart. Full: those with the least are forgotten.
	tracksMax = 8192
	// forgotten is the rate, in queries a second, below which nobody is tracked.
	forgotten = 0.01
	// period is how often the tallies are taken.
	period = time.Second
	// linesMax bounds the lines about blocks in the log in one period; the last one says how many were left out.
	linesMax = 20
	// keepPause is the least time between two writes of the file.
	keepPause = 10 * time.Second
	// sameZone is the share of a name's rate that one name below it must have to be blamed alone.
	sameZone = 0.8
)
