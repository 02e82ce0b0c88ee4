package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"secure-dns-proxy/appliance/control"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailure = 1
	exitUsage   = 2
)

// commandLine is all that can be asked for; kong makes flags and help of it.
type commandLine struct {
	Socket  string        `help:"The proxy's control socket." default:"${socket}" env:"SDPCTL_SOCKET" placeholder:"PATH"`
	JSON    bool          `help:"Print what the proxy answered, as JSON." name:"json"`
	Timeout time.Duration `help:"How long to wait for the answer." default:"5m"`

	Status    statusCommand    `cmd:"" help:"What is running, and its figures."`
	Upstreams upstreamsCommand `cmd:"" help:"Whom it asks, and how they are."`
	Blocks    blocksCommand    `cmd:"" help:"Dynamic blocks: list, add, remove."`
	Zones     zonesCommand     `cmd:"" help:"Response policy zones: list, lookup, refresh."`
	Inspect   inspectCommand   `cmd:"" help:"The inspector: show it, forget what it has said."`
	Cache     cacheCommand     `cmd:"" help:"Look at the cache, flush it, refresh it."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the process.
func run(args []string, out, problems io.Writer) int {
	var line commandLine
	ended := -1 // by --help
	parser, err := kong.New(&line,
		kong.Name("sdpctl"), kong.Description("Talks to a running secure-dns-proxy."), kong.Writers(out, problems),
		kong.Vars{"socket": control.DefaultSocket}, kong.Exit(func(code int) { ended = code }), kong.UsageOnError(),
	)
	if err != nil {
		panic(err) // the command line's own definition is wrong
	}
	chosen, err := parser.Parse(args)
	switch {
	case ended >= 0:
		return ended
	case err != nil:
		fmt.Fprintln(problems, "sdpctl:", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(context.Background(), line.Timeout)
	defer cancel()
	c := &session{ctx: ctx, client: control.NewClient(line.Socket), json: line.JSON, out: out}
	defer c.client.Close()
	if err := chosen.Run(c); err != nil {
		fmt.Fprintln(problems, "sdpctl:", err)
		return exitFailure
	}
	return exitDone
}

// session is what a command runs with.
type session struct {
	ctx    context.Context
	client *control.Client
	json   bool
	out    io.Writer
}

// do sends a request. It fills in result and calls show, or prints the answer as JSON.
func (c *session) do(method, path string, arguments, result any, show func(*table)) error {
	var answer json.RawMessage
	if err := c.client.Do(c.ctx, method, path, arguments, &answer); err != nil {
		return err
	}
	if c.json {
		_, err := fmt.Fprintf(c.out, "%s\n", answer)
		return err
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("the proxy's answer: %w", err)
	}
	t := newTable(c.out)
	show(t)
	return t.flush()
}
