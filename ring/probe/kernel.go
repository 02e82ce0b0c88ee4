package probe

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Version is a kernel's major and minor number. The zero value is unknown.
type Version struct{ Major, Minor int }

// String returns "6.1", or "unknown".
func (v Version) String() string {
	if !v.known() {
		return "unknown"
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

func (v Version) known() bool { return v.Major != 0 }

func (v Version) before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// kernelVersion asks uname(2).
func kernelVersion() Version {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return Version{}
	}
	var b strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return parseVersion(b.String())
}

// parseVersion reads the beginning of a release such as "6.1.0-44-amd64".
func parseVersion(release string) Version {
	var v Version
	if n, _ := fmt.Sscanf(release, "%d.%d", &v.Major, &v.Minor); n != 2 {
		return Version{}
	}
	return v
}

// sysctlDisabled reads kernel.io_uring_disabled; -1 where it does not exist.
func sysctlDisabled() int {
	text, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}

// seccompMode reads the Seccomp line of /proc/self/status; -1 where there is none.
func seccompMode() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	return parseSeccomp(string(text))
}

func parseSeccomp(status string) int {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return n
			}
		}
	}
	return -1
}
