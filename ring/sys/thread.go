package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// PinThread binds the calling OS thread to one core. The goroutine must be locked to its thread.
func PinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin thread to cpu %d: %w", cpu, err)
	}
	return nil
}
