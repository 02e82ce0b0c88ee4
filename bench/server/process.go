package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"secure-dns-proxy/bench/proc"
)

// Process is a program that runs. It ends by Stop, and at the latest with the harness, however that ends.
type Process struct {
	PID   int
	Setup Setup
	// Ready is the time from exec to the first answer.
	Ready time.Duration

	name string
	dead chan struct{} // closed when the process has ended
	end  error         // valid then
}

// Start configures and starts program, and waits for its first answer to a question over UDP.
func Start(ctx context.Context, program *Program, s Setup) (*Process, error) {
	if program.Missing != "" {
		return nil, fmt.Errorf("%s is missing: %s", program.Title, program.Missing)
	}
	launch, err := program.Configure(s)
	if err != nil {
		return nil, err
	}
	for name, text := range launch.Files {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("configure %s: %w", program.ID, err)
		}
	}
	p := &Process{Setup: s, name: program.ID, dead: make(chan struct{})}
	begun := time.Now()
	if err := p.exec(append([]string{"-c", proc.FormatCPUs(s.CPUs), program.Path}, launch.Arguments...)); err != nil {
		return nil, err
	}
	if p.Ready, err = p.awaitAnswer(ctx, begun); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w%s", program.ID, err, p.log()), p.Stop())
	}
	return p, nil
}

// exec starts taskset, which becomes the program: the process id stays.
func (p *Process) exec(arguments []string) error {
	log, err := os.Create(filepath.Join(p.Setup.Dir, "log"))
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close() // the program has its own copy
	command := exec.Command("taskset", arguments...)
	command.Dir, command.Stdout, command.Stderr = p.Setup.Dir, log, log
	command.Env = append(os.Environ(), p.Setup.Env...)
	if err := spawn(command); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.PID = command.Process.Pid
	go func() {
		p.end = command.Wait()
		close(p.dead)
	}()
	return nil
}

// spawn starts a command that the kernel kills when this process ends, by whatever end. It sees no signal of the terminal:
// Stop ends it in order.
//
// PR_SET_PDEATHSIG is about the thread that forked, so all forks are made by one that lives as long as the process.
func spawn(command *exec.Cmd) error {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	done := make(chan error)
	spawner <- func() { done <- command.Start() }
	return <-done
}

var spawner = startSpawner()

func startSpawner() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
}

// Spawn is for the helpers of a run: like every Process, they end with the harness.
func Spawn(command *exec.Cmd) error { return spawn(command) }

// Running tells whether the process still is.
func (p *Process) Running() bool {
	select {
	case <-p.dead:
		return false
	default:
		return true
	}
}

// Check returns an error with the end of its log if the process has ended.
func (p *Process) Check() error {
	if p.Running() {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%w)%s", p.name, p.end, p.log())
}

// Signal sends a signal to this process.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.Check(); err != nil {
		return err
	}
	if err := syscall.Kill(p.PID, s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop ends the process, by force if it takes too long. It is safe to repeat.
func (p *Process) Stop() error {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !p.Running() {
			return nil
		}
		if err := syscall.Kill(p.PID, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", p.name, err)
		}
		select {
		case <-p.dead:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("stop %s: process %d outlives SIGKILL", p.name, p.PID)
}

// log quotes the end of what the program wrote.
func (p *Process) log() string {
	text, err := os.ReadFile(filepath.Join(p.Setup.Dir, "log"))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + string(text[max(0, len(text)-logTail):])
}
