package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Machine is the fingerprint that a result carries: figures of two machines are not to be compared.
type Machine struct {
	CPU         string            `json:"cpu"`
	CPUs        int               `json:"cpus"` // that this process may use
	NUMANodes   int               `json:"numa_nodes"`
	Hypervisor  bool              `json:"hypervisor"`
	MemoryMiB   uint64            `json:"memory_mib"`
	Kernel      string            `json:"kernel"`
	Mitigations map[string]string `json:"mitigations"` // by vulnerability, as the kernel words them
	Governor    string            `json:"governor"`    // of CPU 0; empty: the machine has none to choose
	RmemMax     uint64            `json:"rmem_max"`    // net.core.rmem_max, bytes: what a server without privileges can ask for
	Go          string            `json:"go"`
	LoadAverage float64           `json:"load_average"` // of the last minute when the run began: other people's work
}

// ReadMachine describes this machine. What the kernel does not tell stays empty.
func ReadMachine() (Machine, error) {
	cpus, err := AllowedCPUs()
	if err != nil {
		return Machine{}, err
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return Machine{}, fmt.Errorf("read CPU model: %w", err)
	}
	m := Machine{CPUs: len(cpus), Mitigations: map[string]string{}, Go: runtime.Version()}
	m.CPU, m.Hypervisor = parseCPUInfo(string(info))
	m.Kernel = line("/proc/sys/kernel/osrelease")
	m.Governor = line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	m.RmemMax = number(line("/proc/sys/net/core/rmem_max"))
	if fields := strings.Fields(line("/proc/loadavg")); len(fields) > 0 {
		if m.LoadAverage, err = strconv.ParseFloat(fields[0], 64); err != nil {
			return Machine{}, fmt.Errorf("load average: %w", err)
		}
	}
	if fields := strings.Fields(line("/proc/meminfo")); len(fields) >= 2 && fields[0] == "MemTotal:" {
		m.MemoryMiB = number(fields[1]) >> 10
	}
	for _, path := range matches("/sys/devices/system/cpu/vulnerabilities/*") {
		m.Mitigations[filepath.Base(path)] = line(path)
	}
	m.NUMANodes = max(1, len(matches("/sys/devices/system/node/node[0-9]*")))
	return m, nil
}

func parseCPUInfo(info string) (model string, hypervisor bool) {
	for l := range strings.Lines(info) {
		key, value, _ := strings.Cut(l, ":")
		switch strings.TrimSpace(key) {
		case "model name", "Processor":
			model = strings.TrimSpace(value)
		case "flags":
			hypervisor = strings.Contains(value+" ", " hypervisor ")
		}
	}
	return model, hypervisor
}

// line is the first line of a file, empty if there is none: for facts that a kernel may not know.
func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(first)
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// matches of a constant pattern.
func matches(pattern string) []string {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		panic("bad pattern " + pattern)
	}
	return paths
}

// Affected names the vulnerabilities that this CPU has, and so pays mitigations for.
func (m *Machine) Affected() int {
	n := 0
	for _, state := range m.Mitigations {
		if state != "Not affected" && state != "" {
			n++
		}
	}
	return n
}
