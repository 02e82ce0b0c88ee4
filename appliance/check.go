package appliance

import (
	"fmt"
	"io"
	"strings"

	"secure-dns-proxy/appliance/config"
	"secure-dns-proxy/worker/inspect"
)

// Exit codes of the process.
const (
	ExitDone    = 0
	ExitFailure = 1
	ExitUsage   = 2 // bad command line or configuration
)

// Check validates a configuration file for a program with these inspectors: every problem as a line on problems, a summary of a good file on out.
func Check(file string, inspectors inspect.Registry, out, problems io.Writer) int {
	checked, found := config.Load(file)
	for _, p := range found {
		fmt.Fprintln(problems, p)
	}
	if checked == nil {
		return ExitUsage
	}
	if bad := checked.RPZ.CheckFiles(); len(bad) != 0 {
		for _, err := range bad {
			fmt.Fprintln(problems, err)
		}
		return ExitUsage
	}
	if err := checkInspector(inspectors, &checked.Inspect); err != nil {
		fmt.Fprintf(problems, "%s: %v\n", file, err)
		return ExitUsage
	}
	fmt.Fprintf(out, "%s: ok: %s\n", file, summary(checked))
	return ExitDone
}

// summary is one line on what a configuration does.
func summary(c *config.Checked) string {
	var listen, upstreams []string
	for _, a := range c.Listen {
		listen = append(listen, a.String())
	}
	for _, u := range c.Upstreams {
		upstreams = append(upstreams, u.URL)
	}
	cache := "no cache"
	if c.Cache.Enabled {
		cache = fmt.Sprintf("cache %d MiB", c.Cache.Bytes>>20)
	}
	return fmt.Sprintf("listens on %s; %d workers, %s; upstreams %s; pools %s",
		strings.Join(listen, ", "), c.Workers.Count, cache, strings.Join(upstreams, ", "), poolsText(c))
}

// poolsText names the pools with their policies.
func poolsText(c *config.Checked) string {
	var pools []string
	for i := range c.Pools {
		pools = append(pools, fmt.Sprintf("%s (%s)", c.Pools[i].Name, c.Pools[i].Policy))
	}
	return strings.Join(pools, ", ")
}
