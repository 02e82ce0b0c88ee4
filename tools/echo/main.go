package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

const usage = `echo sends every DNS query back as its own answer, as fast as the kernel's sockets allow: the ceiling to compare servers with.

  echo -listen 127.0.0.1:5301              one worker on any CPU
  echo -listen 127.0.0.1:5301 -cpu 0       one worker pinned to CPU 0
  echo -listen 127.0.0.1:5301 -cpu 0,2,4   three workers, one per CPU, each with its own SO_REUSEPORT socket

It prints "listening on ADDRESS" when it is ready, and ends on a signal. Flags:
`

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	address := flags.String("listen", "127.0.0.1:5301", "`address:port` to listen on; loopback only; port 0 lets the kernel choose")
	list := flags.String("cpu", "", "comma-separated `CPUs` to pin to, one worker each; empty: one worker, not pinned")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	addr, err := netip.ParseAddrPort(*address)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if !addr.Addr().IsLoopback() {
		return fmt.Errorf("-listen %v: an echo open to the network amplifies spoofed traffic; only loopback addresses are allowed", addr)
	}
	cpus, err := parseCPUs(*list)
	if err != nil {
		return fmt.Errorf("-cpu: %w", err)
	}
	failed := make(chan error, len(cpus))
	for i, cpu := range cpus {
		fd, err := listen(addr)
		if err != nil {
			return err
		}
		if i == 0 {
			if addr, err = boundTo(fd); err != nil {
				return err
			}
		}
		go func() { failed <- serve(fd, cpu) }()
	}
	fmt.Println("listening on", addr)
	return <-failed
}

// parseCPUs returns one CPU per worker, -1 for a worker that is not pinned.
func parseCPUs(list string) ([]int, error) {
	if list == "" {
		return []int{-1}, nil
	}
	var cpus []int
	for field := range strings.SplitSeq(list, ",") {
		cpu, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || cpu < 0 {
			return nil, fmt.Errorf("%q is no CPU number", field)
		}
		cpus = append(cpus, cpu)
	}
	if len(cpus) > workersMax {
		return nil, fmt.Errorf("%d workers, at most %d", len(cpus), workersMax)
	}
	return cpus, nil
}
