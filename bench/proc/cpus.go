package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// cpusMax bounds a CPU number: beyond it a list is not one of the kernel's.
const cpusMax = 8192

// AllowedCPUs are the CPUs that this process may run on, ascending.
func AllowedCPUs() ([]int, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("read allowed CPUs: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return ParseCPUs(strings.TrimSpace(list))
		}
	}
	return nil, errors.New("/proc/self/status has no Cpus_allowed_list")
}

// ParseCPUs reads the kernel's list format, as in "0-3,8".
func ParseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 31)
		to, err2 := strconv.ParseUint(last, 10, 31)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("CPU list %q: %w", list, err)
		}
		if from > to || to >= cpusMax {
			return nil, fmt.Errorf("CPU list %q: bad range %s", list, part)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, nil
}

// FormatCPUs writes a list that taskset and dnsload read.
func FormatCPUs(cpus []int) string {
	var b strings.Builder
	for i, cpu := range cpus {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpu))
	}
	return b.String()
}
