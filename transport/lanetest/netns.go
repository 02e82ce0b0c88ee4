package lanetest

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// isolatedMark is the environment variable of a test that runs in a network of its own.
const isolatedMark = "SDP_TEST_ISOLATED"

// Isolated lets a test change settings of the network: it runs the test, a top-level one, once more in a network namespace of its own,
// with nothing but a loopback interface in it. It reports true there; where it reports false that run is over and nothing is left to do.
func Isolated(t *testing.T) bool {
	t.Helper()
	if os.Getenv(isolatedMark) == t.Name() {
		raiseLoopback(t)
		return true
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), isolatedMark+"="+t.Name())
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 { // a user namespace gives the right to make a network
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
	return false
}

func raiseLoopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatalf("loopback interface: %v", err)
	}
}

// Sysctl changes a setting of an isolated network, such as "ipv4.tcp_fastopen".
func Sysctl(t *testing.T, name, value string) {
	t.Helper()
	if os.Getenv(isolatedMark) == "" {
		t.Fatal("settings are changed in a network namespace only")
	}
	if err := os.WriteFile("/proc/sys/net/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}
