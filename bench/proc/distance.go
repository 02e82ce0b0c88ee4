package proc

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A distance is the median of distanceBatches batches of batchRounds rounds: 0.5 to 4 ms.
	distanceBatches, batchRounds = 50, 200
	// distanceMost bounds all of it: the other side may not get its CPU. The clock is read every lookMany looks at the line, 0.1 ms.
	distanceMost = 5 * time.Second
	lookMany     = 1 << 16
)

// Distance returns how long a word takes from CPU a to CPU b and back, by way of a line of memory: about 70 ns between CPUs that share a cache, 340 ns between
// others. A host may move the CPUs of a virtual machine from the one to the other while it runs. Whatever two CPUs hand each other, packets too, costs accordingly.
func Distance(a, b int) (time.Duration, error) {
	if a == b {
		return 0, fmt.Errorf("distance from CPU %d to itself", a)
	}
	var line struct {
		_    [128]byte
		word atomic.Uint32 // odd: for b, even: for a
		_    [128]byte
	}
	if n := runtime.GOMAXPROCS(0); n < 3 { // both sides spin; the runtime allows one, on its own, to a process that is pinned to a CPU
		runtime.GOMAXPROCS(3)
		defer runtime.GOMAXPROCS(n)
	}
	deadline := time.Now().Add(distanceMost)
	far := make(chan error, 1)
	go func() { far <- onCPU(b, func() error { return bounce(&line.word, 1, deadline, func() {}) }) }()
	var batches []time.Duration
	rounds, begun := 0, time.Now()
	near := onCPU(a, func() error {
		return bounce(&line.word, 0, deadline, func() {
			if rounds++; rounds%batchRounds == 0 {
				now := time.Now()
				batches = append(batches, now.Sub(begun)/batchRounds)
				begun = now
			}
		})
	})
	if err := errors.Join(near, <-far); err != nil {
		return 0, fmt.Errorf("distance of CPUs %d and %d: %w", a, b, err)
	}
	slices.Sort(batches)
	return batches[len(batches)/2], nil
}

// bounce takes part in all rounds of a distance: it waits until the word is its own, odd or even, and hands it on.
func bounce(word *atomic.Uint32, own uint32, deadline time.Time, round func()) error {
	for i := range uint32(distanceBatches * batchRounds) {
		for looks := 1; word.Load() != 2*i+own; looks++ {
			if looks%lookMany == 0 && time.Now().After(deadline) {
				return errors.New("the other CPU does not answer")
			}
		}
		word.Add(1)
		round()
	}
	return nil
}

// onCPU runs work on a thread of its own that stays on one CPU.
func onCPU(cpu int, work func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and its mask with it
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- err
			return
		}
		done <- work()
	}()
	return <-done
}
