package proc

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 9 0 1000 0 0"
	want := Usage{User: 1230 * time.Millisecond, System: 450 * time.Millisecond}
	for _, name := range []string{"(echo)", "(two words)", "(a) b) c)", "()"} {
		if got, err := parseStat([]byte("17 " + name + rest)); err != nil || got != want {
			t.Errorf("name %s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "17 echo S 1", "17 (echo) S 1 2 3", "17 (echo) S 1 2 3 0 -1 4194560 100 0 0 0 x 45 0"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

func TestParseRSS(t *testing.T) {
	for _, c := range []struct {
		status  string
		want    uint64
		wantErr string
	}{
		{"Name:\techo\nVmPeak:\t 999 kB\nVmRSS:\t    2048 kB\nThreads:\t9\n", 2 << 20, ""},
		{"Name:\tzombie\nState:\tZ (zombie)\n", 0, "has ended"},
		{"VmRSS:\t12 MB\n", 0, "want a number of kB"},
		{"VmRSS:\tmany kB\n", 0, "invalid syntax"},
	} {
		got, err := parseRSS([]byte(c.status))
		if got != c.want || (err == nil) != (c.wantErr == "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("%q: got %d, %v, want %d, %q", c.status, got, err, c.want, c.wantErr)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for _, c := range []struct {
		list string
		want []int
	}{{"0", []int{0}}, {"0-1", []int{0, 1}}, {"0-2,8,10-11", []int{0, 1, 2, 8, 10, 11}}} {
		got, err := ParseCPUs(c.list)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, %v, want %v", c.list, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "a", "3-1", "0,,1", "-1", "0-99999"} {
		if got, err := ParseCPUs(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
	if got := FormatCPUs([]int{0, 2, 4}); got != "0,2,4" {
		t.Errorf("format: got %q", got)
	}
}

// The figures of a process that is surely there: this one.
func TestReadOwn(t *testing.T) {
	before, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after.Since(before).Total() < 30*time.Millisecond; {
		if after, err = ReadUsage(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	rss, err := ReadRSS(os.Getpid())
	if err != nil || rss < 1<<20 {
		t.Errorf("RSS: got %d, %v", rss, err)
	}
	m, err := ReadMachine()
	if err != nil || m.CPUs < 1 || m.CPUs > runtime.NumCPU() || m.Kernel == "" || m.MemoryMiB == 0 {
		t.Errorf("machine: got %+v, %v", m, err)
	}
	if _, err := ReadUsage(1 << 30); err == nil {
		t.Error("CPU time of a process that cannot be: want an error")
	}
}

func TestDistance(t *testing.T) {
	if _, err := Distance(0, 0); err == nil {
		t.Error("a distance of a CPU to itself")
	}
	cpus, err := AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 {
		t.Skip("one CPU")
	}
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, procs := range []int{before, 1} { // a process that is pinned to one CPU has one
		runtime.GOMAXPROCS(procs)
		d, err := Distance(cpus[0], cpus[1])
		if err != nil || d < time.Nanosecond || d > time.Millisecond {
			t.Errorf("%d procs: %v, %v", procs, d, err)
		}
		if n := runtime.GOMAXPROCS(0); n != procs {
			t.Errorf("left with %d procs of %d", n, procs)
		}
	}
	if _, err := Distance(cpus[0], 1023); err == nil {
		t.Error("a distance to a CPU that is not there")
	}
}
