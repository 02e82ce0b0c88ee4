package worker

import (
	"os"
	"strings"
	"time"

	"secure-dns-proxy/ring/sys"
)

// place binds the calling thread, which is worker i's, to its core and its memory to that core's NUMA node: both before anything of the
// worker is made, so that the kernel's part of it is local too. A worker without a core stays where the scheduler puts it. A kernel that
// refuses the memory policy is no reason not to serve: memory then comes from where it is touched first, which is nearly always the same
// node.
func (g *Group) place(i int) error {
	if len(g.cfg.CPUs) == 0 {
		return nil
	}
	if err := sys.PinThread(g.cfg.CPUs[i]); err != nil {
		return err
	}
	node, err := sys.PlaceThread()
	if err != nil && i == 0 && severalNodes() {
		g.cfg.Log.Warn("memory of the workers is not bound to their NUMA nodes", "reason", err)
	}
	if err == nil {
		g.cfg.Log.Debug("worker placed", "worker", i, "cpu", g.cfg.CPUs[i], "node", node)
	}
	return nil
}

// severalNodes reports whether it matters where memory is.
func severalNodes() bool {
	text, err := os.ReadFile("/sys/devices/system/node/online") // "0" or "0-3"
	return err == nil && strings.TrimSpace(string(text)) != "0"
}

// provide is the goroutine that has the kernel provide memory before a worker's cache touches it (cache.Ahead), until stop is closed. It
// looks again soon after there was something to do, and ever later while there is nothing.
func (g *Group) provide(stop <-chan struct{}) {
	pause := providePauseMin
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, providePauseMax)
		if g.provideShared() {
			pause = providePauseMin
		}
		for _, w := range g.workers {
			if w.memory.Work() {
				pause = providePauseMin
			}
		}
	}
}
