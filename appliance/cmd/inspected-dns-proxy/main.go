// Command inspected-dns-proxy is a worked example of a program that embeds the proxy and brings code of its own which decides on questions: see worker/inspect.
//
//	[inspect]
//	kind = "go"
//	name = "labels"
package main

import (
	"context"
	"fmt"
	"os"

	"secure-dns-proxy/appliance"
	"secure-dns-proxy/worker/inspect"
)

func main() {
	inspectors := inspect.Registry{"labels": func() (inspect.Source, error) { return labels{max: 10}, nil }}
	switch args := os.Args[1:]; {
	case len(args) == 1:
		os.Exit(appliance.Run(appliance.Options{ConfigFile: args[0], Build: appliance.BuildInfo("example"), Inspectors: inspectors}))
	case len(args) == 2 && args[0] == "--check":
		os.Exit(appliance.Check(args[1], inspectors, os.Stdout, os.Stderr))
	}
	fmt.Fprintln(os.Stderr, "usage: inspected-dns-proxy [--check] FILE")
	os.Exit(appliance.ExitUsage)
}

// labels refuses names of more than max labels: it is a source, and what it makes has no state.
type labels struct{ max int }

func (l labels) Open() (inspect.Inspector, error) { return inspect.Func(l.inspect), nil }

func (labels) Close() {}

func (l labels) inspect(_ context.Context, q *inspect.Question) (inspect.Verdict, error) {
	count := 0
	for at := 0; q.Name[at] != 0; at += 1 + int(q.Name[at]) { // a name ends in the root label
		count++
	}
	if count > l.max {
		return inspect.Refused(), nil
	}
	return inspect.Verdict{Do: inspect.Pass}, nil
}
