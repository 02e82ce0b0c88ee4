package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat: 100 on every architecture that Go runs Linux on.
const ticksPerSecond = 100

// Usage is CPU time of a whole process: all threads, also those that have ended.
//
// The sum is exact to 10 ms: the kernel scales its samples to the run time that the scheduler accounts in nanoseconds
// (cputime_adjust in kernel/sched/cputime.c). The split between user and system is by samples, CONFIG_HZ times a second.
type Usage struct {
	User, System time.Duration
}

func (u Usage) Total() time.Duration { return u.User + u.System }

// Since is what was used after before.
func (u Usage) Since(before Usage) Usage {
	return Usage{User: u.User - before.User, System: u.System - before.System}
}

// ReadUsage reads /proc/PID/stat.
func ReadUsage(pid int) (Usage, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	text, err := os.ReadFile(path)
	if err != nil {
		return Usage{}, fmt.Errorf("read CPU time: %w", err)
	}
	u, err := parseStat(text)
	if err != nil {
		return Usage{}, fmt.Errorf("%s: %w", path, err)
	}
	return u, nil
}

// parseStat takes fields 14 and 15 (proc_pid_stat(5)). Field 2 is the program's name in parentheses and may hold spaces
// and parentheses itself: fields are counted from the last one.
func parseStat(text []byte) (Usage, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return Usage{}, errors.New("no name in parentheses")
	}
	fields := bytes.Fields(text[end+1:])
	const state, utime, stime = 3, 14, 15
	if len(fields) <= stime-state {
		return Usage{}, fmt.Errorf("%d fields after the name, want at least %d", len(fields), stime-state+1)
	}
	user, err := strconv.ParseUint(string(fields[utime-state]), 10, 63)
	system, err2 := strconv.ParseUint(string(fields[stime-state]), 10, 63)
	if err := errors.Join(err, err2); err != nil {
		return Usage{}, fmt.Errorf("CPU time: %w", err)
	}
	const tick = time.Second / ticksPerSecond
	return Usage{User: time.Duration(user) * tick, System: time.Duration(system) * tick}, nil
}

// ReadRSS returns the resident memory of a process in bytes.
func ReadRSS(pid int) (uint64, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/status"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read RSS: %w", err)
	}
	rss, err := parseRSS(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return rss, nil
}

func parseRSS(status []byte) (uint64, error) {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte("VmRSS:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(value)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0, fmt.Errorf("VmRSS is %q, want a number of kB", bytes.TrimSpace(value))
		}
		kib, err := strconv.ParseUint(string(fields[0]), 10, 53)
		if err != nil {
			return 0, fmt.Errorf("VmRSS: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("no VmRSS: the process has ended")
}
