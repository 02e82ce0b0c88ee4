package proc

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// PinSelf puts every thread of this process on the given CPUs; threads made later inherit it.
func PinSelf(cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	for _, path := range matches("/proc/self/task/*") {
		tid, err := strconv.Atoi(path[len("/proc/self/task/"):])
		if err != nil {
			return fmt.Errorf("thread %s: %w", path, err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin to CPUs %v: %w", cpus, err)
		}
	}
	return nil
}
