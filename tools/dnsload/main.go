package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal ends the run early, with a report; a second one kills.
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dnsload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer, progress *os.File) error {
	o, err := parseOptions(args, progress)
	if err != nil {
		return err
	}
	l, err := newLoad(o)
	if err != nil {
		return err
	}
	report, err := l.run(ctx, progress)
	if err != nil {
		return err
	}
	if o.json {
		return report.WriteJSON(out)
	}
	return report.WriteText(out)
}
