package appliance

import (
	"os"
	"runtime"
	"runtime/debug"
)

// helpers is the number of Ps beside the workers'. The collector wants a quarter of all Ps for itself and workers, which never leave
// theirs, cannot give any: with a third of their number, and two, it finds its quarter and one is left for connections.
func helpers(workers int) int { return (workers+2)/3 + helpersMin }

// tune sets the Go runtime up for so many workers that hold on to their threads.
func tune(workers int) {
	runtime.GOMAXPROCS(workers + helpers(workers))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimitBytes)
	}
}
