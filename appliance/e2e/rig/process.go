package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs until the test stops it. Its standard output and error go to one file.
type Process struct {
	tb      testing.TB
	name    string
	command *exec.Cmd
	logPath string
	done    chan struct{} // closed when the program has ended and been waited for
}

// startProcess starts command; what it logs is printed at the end if the test failed, and it is stopped then.
func startProcess(tb testing.TB, name string, command *exec.Cmd) *Process {
	tb.Helper()
	return start(tb, name, command, false)
}

// start is startProcess; onTerminal makes standard output a terminal, whose text goes to the log as well.
func start(tb testing.TB, name string, command *exec.Cmd, onTerminal bool) *Process {
	tb.Helper()
	p := &Process{tb: tb, name: name, command: command, done: make(chan struct{})}
	p.logPath = filepath.Join(tb.TempDir(), name+".log")
	file, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) // appended to by several writers
	if err != nil {
		tb.Fatal(err)
	}
	// A file and not a pipe: the program never waits for the test to read, and no goroutine copies.
	command.Stdout, command.Stderr = file, file
	if onTerminal {
		screen := terminal(tb, p.logPath)
		defer screen.Close() // the program has its own copy by then
		command.Stdout = screen
	}
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A test binary that is killed by its timeout must leave nothing running behind.
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = command.Start()
	file.Close()
	if err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	go func() {
		command.Wait()
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.Stop()
		if tb.Failed() {
			tb.Logf("%s (%s), end of its log:\n%s", name, command.ProcessState, tail(p.Log()))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// RSS is the resident memory, bytes.
func (p *Process) RSS(tb testing.TB) int64 {
	tb.Helper()
	kib, err := strconv.ParseInt(string(bytes.TrimSuffix(p.status(tb, "VmRSS:"), []byte(" kB"))), 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kib << 10
}

// status is one line of /proc/PID/status, without its name.
func (p *Process) status(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return bytes.TrimSpace(value)
		}
	}
	tb.Fatalf("no %s in /proc/%d/status", name, p.PID())
	return nil
}

// Running tells whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends sig; a program that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) {
	p.tb.Helper()
	if err := p.command.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Errorf("signal %s with %v: %v", p.name, sig, err)
	}
}

// Wait waits for the program to end and returns its exit code, -1 for a signal; ended is false after timeout.
func (p *Process) Wait(timeout time.Duration) (code int, ended bool) {
	select {
	case <-p.done:
		return p.command.ProcessState.ExitCode(), true
	case <-time.After(timeout):
		return 0, false
	}
}

// Stop asks the program to end, and kills it if it does not.
func (p *Process) Stop() {
	p.tb.Helper()
	p.Signal(syscall.SIGTERM)
	if _, ended := p.Wait(stopTimeout); !ended {
		p.Kill()
	}
}

// Kill ends the program at once.
func (p *Process) Kill() {
	p.tb.Helper()
	p.Signal(syscall.SIGKILL)
	if _, ended := p.Wait(stopTimeout); !ended {
		p.tb.Errorf("%s, process %d, survived SIGKILL for %v", p.name, p.PID(), stopTimeout)
	}
}

// Log is all that the program has written so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		p.tb.Errorf("log of %s: %v", p.name, err)
	}
	return string(text)
}

// LogLines are the lines of the log that contain all of the parts.
func (p *Process) LogLines(parts ...string) []string {
	var lines []string
nextLine:
	for line := range strings.Lines(p.Log()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue nextLine
			}
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func tail(text string) string {
	if len(text) <= logTailBytes {
		return text
	}
	return "[...]" + text[len(text)-logTailBytes:]
}

// Eventually looks at condition until it holds, and fails the test after timeout, saying what was awaited.
func Eventually(tb testing.TB, timeout time.Duration, what string, condition func() bool) {
	tb.Helper()
	if !Holds(timeout, condition) {
		tb.Fatalf("not within %v: %s", timeout, what)
	}
}

// Holds looks at condition until it holds or timeout has passed.
func Holds(timeout time.Duration, condition func() bool) bool {
	for deadline := time.Now().Add(timeout); ; time.Sleep(pollInterval) {
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// program finds a program in PATH or where Debian puts servers, which is not in every user's PATH.
func program(tb testing.TB, name string) string {
	tb.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%s is not installed: run tools/install-test-packages.sh", name)
	}
	return path
}
