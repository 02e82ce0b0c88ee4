// Package probe finds out whether io_uring can carry this process, by doing what the engine does, and says so in words for an operator.
//
// The kernel's version alone decides little: distributions patch, containers filter system calls, and 6.1.7 broke multishot receives. So the
// verdict is a self-test on loopback; version, sysctl and seccomp are read to explain a failure.
package probe

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"secure-dns-proxy/ring"
)

// KernelMin is the first kernel on which the engine is used: 6.1 brought DEFER_TASKRUN.
var KernelMin = Version{6, 1}

// Report is what was found.
type Report struct {
	Usable bool
	Reason string // why not, and what to do; "" if usable

	Kernel   Version
	Disabled int // sysctl kernel.io_uring_disabled: 0 allowed, 1 privileged only, 2 nobody; -1 not there (before 6.6)
	Seccomp  int // of /proc/self/status: 0 off, 1 strict, 2 filter; -1 unknown

	Features uint32   // feature word of io_uring_setup; 0 if it did not come so far
	BusyPoll bool     // waits can poll network cards (6.9)
	Without  []string // optional setup flags that the kernel did not take: it works, only slower
}

// String is the report for people, without a line break.
func (r Report) String() string {
	var b strings.Builder
	if r.Usable {
		fmt.Fprintf(&b, "io_uring usable, self-test passed")
	} else {
		fmt.Fprintf(&b, "io_uring not usable: %s", r.Reason)
	}
	fmt.Fprintf(&b, " (kernel %v", r.Kernel)
	if r.Disabled >= 0 {
		fmt.Fprintf(&b, ", kernel.io_uring_disabled=%d", r.Disabled)
	}
	if r.Seccomp > 0 {
		fmt.Fprintf(&b, ", seccomp mode %d", r.Seccomp)
	}
	if r.Features != 0 {
		fmt.Fprintf(&b, ", features %#x", r.Features)
	}
	if r.BusyPoll {
		b.WriteString(", can busy poll")
	}
	if len(r.Without) > 0 {
		fmt.Fprintf(&b, ", without %s", strings.Join(r.Without, " and "))
	}
	b.WriteString(")")
	return b.String()
}

// Probe looks and tries. It takes some milliseconds, opens sockets on loopback only, and leaves nothing behind.
func Probe() Report {
	r := Report{Kernel: kernelVersion(), Disabled: sysctlDisabled(), Seccomp: seccompMode()}
	if r.Kernel.known() && r.Kernel.before(KernelMin) {
		r.Reason = fmt.Sprintf("kernel %v is older than %v; upgrade it to use io_uring", r.Kernel, KernelMin)
		return r
	}
	err := onThread(func() error {
		if err := r.look(); err != nil {
			return err
		}
		return selfTest()
	})
	if err != nil {
		r.Reason = r.explain(err)
		return r
	}
	r.Usable = true
	return r
}

// explain turns the error of the self-test into what an operator can act on.
func (r *Report) explain(err error) string {
	denied := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSYS)
	switch {
	case denied && r.Disabled == 2:
		return fmt.Sprintf("the sysctl kernel.io_uring_disabled=2 forbids it to everybody; set it to 0 (%v)", err)
	case denied && r.Disabled == 1:
		return fmt.Sprintf("the sysctl kernel.io_uring_disabled=1 forbids it without CAP_SYS_ADMIN; set it to 0, or put the "+
			"process's group into kernel.io_uring_group (%v)", err)
	case denied && r.Seccomp > 0:
		return fmt.Sprintf("a seccomp filter forbids it, as container runtimes do by default; allow the system calls io_uring_setup, "+
			"io_uring_enter and io_uring_register (%v)", err)
	case errors.Is(err, syscall.ENOSYS):
		return fmt.Sprintf("this kernel was built without it (%v)", err)
	case denied:
		return fmt.Sprintf("a security module forbids it (%v)", err)
	case errors.Is(err, syscall.ENOMEM):
		return fmt.Sprintf("no memory to lock: raise LimitMEMLOCK (%v)", err)
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return fmt.Sprintf("out of file descriptors: raise LimitNOFILE (%v)", err)
	}
	return fmt.Sprintf("its self-test failed: %v", err)
}

// onThread runs f on an OS thread of its own, which ends with it: a ring belongs to the thread that opened it.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- f()
	}()
	return <-result
}

// smallRing is enough for the self-test.
var smallRing = ring.Config{
	CPU: -1, Sockets: 8, Events: 16, DatagramBuffers: 16, StreamBuffers: 4, SendSlots: 8, SQEntries: 32, CQEntries: 128,
}
