// Command secure-dns-proxy answers plain DNS and asks encrypted upstreams. See README.md and proxy.toml.example.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"secure-dns-proxy/appliance"
)

// version is set by the linker: -X main.version=...
var version string

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process: arguments in, exit code out.
func run(args []string, out, problems io.Writer) int {
	flags := flag.NewFlagSet("secure-dns-proxy", flag.ContinueOnError)
	flags.SetOutput(problems)
	configFile := flags.String("config", "", "the TOML `file` (or JSON with comments) to run with; without it, a demonstration on 127.0.0.1:5300 that needs no network")
	check := flags.Bool("check", false, "validate the file, print every problem as file:line: key: text, and exit (2 if there is an error)")
	migrate := flags.String("migrate", "", "print the original secure-dns-proxy's configuration `file` (TOML, or JSON with comments) in the new form, what is different then on stderr, and exit")
	showVersion := flags.Bool("version", false, "print version, commit, Go version and what this kernel allows, and exit")
	flags.Usage = func() {
		fmt.Fprintln(problems, "usage: secure-dns-proxy [--config FILE [--check]] | --migrate FILE | --version")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return appliance.ExitDone
	case err != nil:
		return appliance.ExitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(problems, "unexpected argument %q\n", flags.Arg(0))
		flags.Usage()
		return appliance.ExitUsage
	case *showVersion:
		appliance.PrintVersion(out, appliance.BuildInfo(version))
		return appliance.ExitDone
	case *migrate != "" && (*check || *configFile != ""):
		fmt.Fprintln(problems, "--migrate takes its own FILE, and neither --config nor --check")
		return appliance.ExitUsage
	case *migrate != "":
		return appliance.Migrate(*migrate, out, problems)
	case *check && *configFile == "":
		fmt.Fprintln(problems, "--check needs --config FILE")
		return appliance.ExitUsage
	case *check:
		return appliance.Check(*configFile, nil, out, problems)
	}
	return appliance.Run(appliance.Options{ConfigFile: *configFile, Build: appliance.BuildInfo(version)})
}
