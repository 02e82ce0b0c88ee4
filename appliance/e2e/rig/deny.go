package rig

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denyVariable, set to a program's path, makes the test binary a launcher of that program: see LaunchDenied.
const denyVariable = "SECURE_DNS_PROXY_E2E_DENY_URING"

// DenyURing returns a command that runs a program with a seccomp filter as container runtimes have: io_uring_setup fails
// with EPERM. It works through the test binary itself, whose TestMain must call LaunchDenied first.
func DenyURing(path string, arguments ...string) *exec.Cmd {
	command := exec.Command("/proc/self/exe", arguments...)
	command.Args[0] = path
	command.Env = append(os.Environ(), denyVariable+"="+path)
	return command
}

// LaunchDenied does nothing in a test run. In a process started by DenyURing it installs the filter and becomes the
// program; it returns only in the first case.
func LaunchDenied() {
	path := os.Getenv(denyVariable)
	if path == "" {
		return
	}
	runtime.LockOSThread() // the filter is this thread's, and exec keeps the calling thread's
	os.Unsetenv(denyVariable)
	err := denyURing()
	if err == nil {
		err = syscall.Exec(path, os.Args, os.Environ())
	}
	fmt.Fprintf(os.Stderr, "launch %s without io_uring: %v\n", path, err)
	os.Exit(126)
}

func denyURing() error {
	// The number of the call is at offset 0 of struct seccomp_data. The three calls have the same numbers on every
	// architecture; the test runs natively, so the architecture needs no check.
	const returnEPERM = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 2},
		{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: unix.SYS_IO_URING_REGISTER, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: returnEPERM},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
