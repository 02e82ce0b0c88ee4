package tally

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what this process had used of the processor at one moment.
type Usage struct {
	At           time.Time
	User, System time.Duration
	Waited       time.Duration // the senders' threads were ready to run, but the processor was another's
}

// Before reports whether u was read before other. Both are read in two steps, and between these other goroutines may run.
func (u Usage) Before(other Usage) bool {
	return u.At.Before(other.At) || u.User+u.System < other.User+other.System
}

// ReadUsage takes the figures now. Waited is the sum over the given threads; 0 on a kernel without schedstat.
func ReadUsage(threads []int) (Usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return Usage{}, fmt.Errorf("getrusage: %w", err)
	}
	u := Usage{At: time.Now(), User: time.Duration(r.Utime.Nano()), System: time.Duration(r.Stime.Nano())}
	for _, tid := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/schedstat", tid))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Usage{}, fmt.Errorf("waiting time of thread %d: %w", tid, err)
		}
		var ran, waited int64
		if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
			return Usage{}, fmt.Errorf("waiting time of thread %d: %w", tid, err)
		}
		u.Waited += time.Duration(waited)
	}
	return u, nil
}
