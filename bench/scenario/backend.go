package scenario

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"secure-dns-proxy/bench/answerer"
	"secure-dns-proxy/bench/proc"
	"secure-dns-proxy/bench/server"
	"secure-dns-proxy/bench/trust"
)

// Backend is the answerer's process.
type Backend struct {
	PID       int
	Addresses answerer.Addresses
	trust     trust.Files
	command   *exec.Cmd
	ask       io.WriteCloser
	told      *bufio.Reader
}

// StartBackend starts the program at path on the given CPUs, with certificates in dir.
func StartBackend(path, dir string, cpus []int) (*Backend, error) {
	files, err := trust.Issue(dir)
	if err != nil {
		return nil, err
	}
	b := &Backend{trust: files}
	b.command = exec.Command("taskset", "-c", proc.FormatCPUs(cpus), path, "-certificate", files.Certificate, "-key", files.Key)
	b.command.Stderr = os.Stderr
	told, err := b.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start backend: %w", err)
	}
	if b.ask, err = b.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start backend: %w", err)
	}
	if err := server.Spawn(b.command); err != nil {
		return nil, fmt.Errorf("start backend: %w", err)
	}
	b.PID, b.told = b.command.Process.Pid, bufio.NewReader(told)
	if err := b.read(&b.Addresses); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

func (b *Backend) read(value any) error {
	line, err := b.told.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, value)
	}
	if err != nil {
		return fmt.Errorf("read from backend: %w", err)
	}
	return nil
}

// Counts are the queries it answered so far.
func (b *Backend) Counts() (answerer.Counts, error) {
	if _, err := b.ask.Write([]byte("counts\n")); err != nil {
		return answerer.Counts{}, fmt.Errorf("ask backend: %w", err)
	}
	var c answerer.Counts
	return c, b.read(&c)
}

// Upstream is the backend over one scheme.
func (b *Backend) Upstream(s server.Scheme) server.Upstream {
	u := server.Upstream{Scheme: s, Addr: b.Addresses.Do53, Name: trust.Name, CAFile: b.trust.CA}
	switch s {
	case server.TLS:
		u.Addr = b.Addresses.TLS
	case server.QUIC:
		u.Addr = b.Addresses.QUIC
	case server.HTTPS:
		u.Addr = b.Addresses.HTTPS
	}
	return u
}

// Stop ends it by the end of its input.
func (b *Backend) Stop() error {
	if err := b.ask.Close(); err != nil {
		return fmt.Errorf("stop backend: %w", err)
	}
	if err := b.command.Wait(); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	return nil
}
