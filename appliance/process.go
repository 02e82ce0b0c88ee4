package appliance

import (
	"os"
	"runtime"
	"runtime/debug"
)

// helpers is the number of Ps beside the workers'. The collector wants a quarter of all Ps for itself and workers, which never leave
// theirs, cannot give any: with a third of their number, and two, it finds its quarter and one is left for connections.
//
// A single worker on the only CPU that we may use gets one helper: more of them could only take that CPU from each other, and from the
// worker, and would hand work over in smaller batches. The collector takes its part of the one's time.
func helpers(workers, cpus int) int {
	if workers == 1 && cpus == 1 {
		return 1
	}
	return (workers+2)/3 + helpersMin
}

// tune sets the Go runtime up for so many workers that hold on to their threads.
func tune(workers int) {
	runtime.GOMAXPROCS(workers + helpers(workers, runtime.NumCPU()))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimitBytes)
	}
}
