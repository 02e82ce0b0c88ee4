// Command inspected-dns-proxy is a worked example of a program that embeds the proxy and brings code of its own which decides on questions and answers: see
// worker/inspect.
//
//	[inspect]
//	kind = "go"
//	name = "labels"        or "networks", with points = ["response"]
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"secure-dns-proxy/appliance"
	"secure-dns-proxy/worker/inspect"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 1:
		os.Exit(appliance.Run(appliance.Options{ConfigFile: args[0], Build: appliance.BuildInfo("example"), Inspectors: inspectors}))
	case len(args) == 2 && args[0] == "--check":
		os.Exit(appliance.Check(args[1], inspectors, os.Stdout, os.Stderr))
	}
	fmt.Fprintln(os.Stderr, "usage: inspected-dns-proxy [--check] FILE")
	os.Exit(appliance.ExitUsage)
}

var inspectors = inspect.Registry{
	"labels":   func() (inspect.Source, error) { return labels{max: 10}, nil },
	"networks": func() (inspect.Source, error) { return networks{netip.MustParsePrefix("198.51.100.0/24")}, nil },
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

// networks says that names with addresses in a network that nobody is to reach do not exist, and holds to that for as long as the answer was good: whoever
// asks, and whichever type.
type networks []netip.Prefix

func (n networks) Open() (inspect.Inspector, error) { return inspect.Func(n.inspect), nil }

func (networks) Close() {}

func (n networks) inspect(_ context.Context, q *inspect.Question) (inspect.Verdict, error) {
	for r := range q.Answers {
		address, ok := r.Addr()
		for _, network := range n {
			if ok && network.Contains(address) {
				v := inspect.NXDomain()
				if seconds := uint16(min(q.TTL, 3600)); seconds != 0 { // else the next answer may be another one
					v.Keep = inspect.Keep{Seconds: seconds, AnyType: true}
				}
				return v, nil
			}
		}
	}
	return inspect.Verdict{Do: inspect.Pass}, nil
}
