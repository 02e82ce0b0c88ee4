package config

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// machine is what the file's values are checked against.
type machine struct {
	cpus  string // online CPUs as the kernel lists them: "0-3,8"; empty = unknown, then the pinning itself reports
	count int    // CPUs that this process may use
}

func thisMachine() machine {
	m := machine{count: runtime.NumCPU()}
	if list, err := os.ReadFile("/sys/devices/system/cpu/online"); err == nil {
		m.cpus = strings.TrimSpace(string(list))
	}
	return m
}

// online reads "0-3,8". The start mask of this process does not count: a service is rightly started on other CPUs than those
// that its workers pin themselves to.
func (m machine) online(cpu int) bool {
	if m.cpus == "" {
		return true
	}
	for _, span := range strings.Split(m.cpus, ",") {
		low, high, wide := strings.Cut(span, "-")
		if !wide {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA == nil && errB == nil && cpu >= a && cpu <= b {
			return true
		}
	}
	return false
}

// workers is the default of workers.count: half of the CPUs. The other half is for the goroutines that do TLS and QUIC, and for
// the kernel.
func (m machine) workers() int { return min(max(1, m.count/2), WorkersMax) }

func readUser(c *checker, t *Checked, v value) {
	name, ok := c.text(v)
	if !ok || name == "" {
		return
	}
	u, err := lookUpUser(name)
	if err != nil {
		c.fault(v, "%v", err)
		return
	}
	t.User = u
}

func lookUpUser(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user %q does not exist on this machine", name)
	}
	out := &User{Name: name}
	if out.UID, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("user %q has the uid %q", name, u.Uid)
	}
	if out.GID, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("user %q has the gid %q", name, u.Gid)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	out.Groups = []int{out.GID}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil && !slices.Contains(out.Groups, n) {
			out.Groups = append(out.Groups, n)
		}
	}
	return out, nil
}
