package probe

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// The test binary runs itself with this set: it then denies io_uring to itself and prints its report.
const denyVariable = "PROBE_TEST_DENY"

func TestMain(m *testing.M) {
	if os.Getenv(denyVariable) != "" {
		if err := denyUring(); err != nil {
			fmt.Println("filter:", err)
			os.Exit(1)
		}
		fmt.Println(Probe())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestProbeOnThisKernel(t *testing.T) {
	before := descriptors(t)
	r := Probe()
	if r.Kernel.before(KernelMin) {
		t.Skipf("kernel %v is older than %v", r.Kernel, KernelMin)
	}
	if r.Disabled <= 0 && r.Seccomp <= 0 && !r.Usable {
		t.Errorf("not usable on kernel %v: %s", r.Kernel, r.Reason)
	}
	if r.Usable != (r.Reason == "") {
		t.Errorf("usable %v, reason %q", r.Usable, r.Reason)
	}
	if r.Usable && r.Features == 0 {
		t.Error("usable, but no features noted")
	}
	if can := strings.Contains(r.String(), "busy poll"); can != r.BusyPoll || !r.Kernel.before(Version{6, 9}) && r.Usable && !can {
		t.Errorf("kernel %v, busy polling %v: %v", r.Kernel, r.BusyPoll, r)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors after, %d before", after, before)
	}
}

func TestSeccompIsNamed(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), denyVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"not usable", "seccomp filter", "io_uring_setup", "operation not permitted"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("report lacks %q: %s", want, out)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		report Report
		err    error
		want   string
	}{
		{Report{Disabled: 2}, syscall.EPERM, "kernel.io_uring_disabled=2"},
		{Report{Disabled: 1}, syscall.EPERM, "io_uring_group"},
		{Report{Seccomp: 2}, syscall.EPERM, "seccomp"},
		{Report{Seccomp: 2}, syscall.ENOSYS, "seccomp"},
		{Report{}, syscall.ENOSYS, "built without"},
		{Report{}, syscall.EPERM, "security module"},
		{Report{}, syscall.ENOMEM, "LimitMEMLOCK"},
		{Report{}, syscall.EMFILE, "LimitNOFILE"},
		{Report{}, syscall.EINVAL, "self-test failed"},
	} {
		if got := test.report.explain(fmt.Errorf("open ring: %w", test.err)); !strings.Contains(got, test.want) {
			t.Errorf("%+v, %v: %q lacks %q", test.report, test.err, got, test.want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for release, want := range map[string]Version{
		"6.1.0-44-amd64": {6, 1}, "6.18.44-fc-v657": {6, 18}, "5.15.0": {5, 15}, "": {}, "linux": {},
	} {
		if got := parseVersion(release); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
	if !(Version{5, 19}).before(KernelMin) || (Version{6, 1}).before(KernelMin) || (Version{10, 0}).before(KernelMin) {
		t.Error("order of versions")
	}
}

func TestParseSeccomp(t *testing.T) {
	for status, want := range map[string]int{"Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n": 2, "Seccomp:\t0": 0, "Name:\tx\n": -1} {
		if got := parseSeccomp(status); got != want {
			t.Errorf("%q: %d, want %d", status, got, want)
		}
	}
}

// denyUring puts a filter on all threads of this process that fails io_uring_setup, _enter and _register (425 to 427) with EPERM.
func denyUring() error {
	const (
		prSetNoNewPrivs = 38
		modeFilter      = 1 // SECCOMP_SET_MODE_FILTER
		allThreads      = 1 // SECCOMP_FILTER_FLAG_TSYNC
	)
	seccomp := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	type instruction struct {
		code   uint16
		jt, jf uint8
		k      uint32
	}
	filter := []instruction{
		{0x20, 0, 0, 0},          // load the number of the system call
		{0x35, 0, 2, 425},        // below: allow
		{0x25, 1, 0, 427},        // above: allow
		{0x06, 0, 0, 0x00050001}, // EPERM
		{0x06, 0, 0, 0x7FFF0000}, // allow
	}
	program := struct {
		length uint16
		filter *instruction
	}{uint16(len(filter)), &filter[0]}
	runtime.LockOSThread() // both calls on one thread; the second reaches the others
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0); errno != 0 {
		return errno
	}
	if _, _, errno := syscall.Syscall(seccomp, modeFilter, allThreads, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
