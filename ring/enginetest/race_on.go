//go:build race

package enginetest

// raceEnabled: the race detector slows atomics down, so long loops run shorter.
const raceEnabled = true
