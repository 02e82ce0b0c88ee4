package tally

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what this process had used of the processor at one moment.
type Usage struct {
	At           time.Time
	User, System time.Duration
	Waited       time.Duration // ready to run, but the processor was another's; summed over the threads alive
}

// ReadUsage takes the figures now. Waited stays 0 on a kernel without schedstat.
func ReadUsage() (Usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return Usage{}, fmt.Errorf("getrusage: %w", err)
	}
	u := Usage{At: time.Now(), User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano())}
	stats, err := filepath.Glob("/proc/self/task/*/schedstat")
	if err != nil {
		return Usage{}, fmt.Errorf("list threads: %w", err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended since
		}
		var ran, waited int64
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			return Usage{}, fmt.Errorf("%s: %w", name, err)
		}
		u.Waited += time.Duration(waited)
	}
	return u, nil
}
