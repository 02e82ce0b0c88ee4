package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/udp"
)

const usage = `dnsload asks a DNS server questions and reports answers per second, loss and latency. Every answer is verified.

Without -rate it keeps -window queries outstanding and so finds what the server can do (closed loop). With -rate it sends on
a timetable whatever the server does, and counts latency from the time on the timetable (open loop).

  dnsload -target 127.0.0.1:5300
        How fast is it? 10,000 names at random over UDP, 2048 outstanding, for 10 s after 1 s of warm-up.

  dnsload -target 127.0.0.1:5300 -rate 50000 -duration 30s -json
        How long do answers take at 50,000 queries/s?

  dnsload -target 127.0.0.1:5853 -transport dot -flows 16 -names 1000000 -zipf 1.0 -edns 0.7 -do 0.3 -case 0.1
        A realistic mix over TLS: popular names more often, some EDNS, some DO, some 0x20 case.

On a machine that also runs the server give each a CPU of its own: taskset -c 0 server..., dnsload -cpu 1. If the report says
GENERATOR-BOUND, the figure is dnsload's, not the server's. Flags:
`

type options struct {
	target    netip.AddrPort
	transport string // udp, tcp, dot
	tlsName   string
	tlsCA     string
	sources   []netip.Addr
	flows     int
	window    int
	rate      float64
	warmup    time.Duration
	duration  time.Duration
	count     uint64
	timeout   time.Duration
	cpus      []int // one UDP sender each; empty: one, not pinned
	corpus    query.Config
	names     string // the corpus in words
	segment   bool
	spin      bool
	json      bool
	quiet     bool
}

// raw is the flags as given, before they are checked against each other.
type raw struct {
	target, source, pattern, file, types, cpus string
	sources, udpSize                           int
	names, first                               uint64
	zipf                                       float64
	once, random, remote                       bool
	set                                        map[string]bool // flags given explicitly
}

// parseOptions reads the command line. help goes to the given writer.
func parseOptions(args []string, help io.Writer) (*options, error) {
	o, r := &options{}, &raw{set: map[string]bool{}}
	flags := flag.NewFlagSet("dnsload", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.Usage = func() {
		fmt.Fprint(help, usage)
		flags.PrintDefaults()
	}
	o.define(flags, r)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; all settings are flags", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) { r.set[f.Name] = true })
	return o, errors.Join(o.checkTarget(r), o.checkLoad(r), o.checkCorpus(r))
}

func (o *options) define(f *flag.FlagSet, r *raw) {
	f.StringVar(&r.target, "target", "127.0.0.1:5300", "`address:port` of the server")
	f.StringVar(&o.transport, "transport", "udp", "`udp`, tcp or dot")
	f.BoolVar(&r.remote, "allow-remote", false, "allow a target that is not loopback: only with its operator's consent")
	f.StringVar(&o.tlsName, "tls-name", "", "`name` to ask for by SNI, and to verify with -tls-ca")
	f.StringVar(&o.tlsCA, "tls-ca", "", "PEM `file` of certificates to trust; without it the server's certificate is not verified")
	f.StringVar(&r.source, "source", "", "first local `address` to send from; default: the kernel's choice")
	f.IntVar(&r.sources, "sources", 1, "`number` of consecutive local addresses from -source on, flows take turns")

	f.IntVar(&o.flows, "flows", 0, "UDP sockets, or connections; 0: 128 or 16 (fewer with a smaller window)")
	f.IntVar(&o.window, "window", 0, "queries outstanding at most; 0: 2048 in closed loop, rate x timeout in open loop")
	f.Float64Var(&o.rate, "rate", 0, "queries/s to send (open loop); 0: closed loop")
	f.DurationVar(&o.warmup, "warmup", time.Second, "`time` of load before the measured time")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "measured `time`; 0: until -count is reached")
	f.Uint64Var(&o.count, "count", 0, "end after this many measured queries; 0: no limit")
	f.DurationVar(&o.timeout, "timeout", 2*time.Second, "`time` after which a query is lost")
	f.BoolVar(&o.segment, "segment", true, "UDP: hand the kernel queries of equal length at once (UDP_SEGMENT); the server sees ordinary datagrams")
	f.BoolVar(&o.spin, "spin", false, "UDP: never sleep, so that no wake-up is part of a latency; takes a whole CPU per sender, and a closed loop can no longer tell whether the generator is the bottleneck")
	f.StringVar(&r.cpus, "cpu", "", "comma-separated `CPUs` to run on, one UDP sender each; default: one sender, not pinned")

	f.Uint64Var(&r.names, "names", 10000, "number of names the pattern makes")
	f.StringVar(&r.pattern, "pattern", "n%d.bench.example", "`name` with one %d, or %0Nd for N digits")
	f.Uint64Var(&r.first, "first", 0, "first `number` of the pattern, so that a second run with -once asks new names")
	f.StringVar(&r.file, "file", "", "`file` of names instead of a pattern, \"name type\" per line as dnsperf reads it; - is standard input")
	f.Float64Var(&r.zipf, "zipf", 0, "choose names by Zipf's law with this `exponent`, the first most often; 0: all alike")
	f.BoolVar(&r.once, "once", false, "ask each name once, in order (cache misses), and end with the last; a pattern without -names has no last")
	f.BoolVar(&r.random, "random", false, "choose names of a file at random; default: in order, again and again")
	f.StringVar(&r.types, "types", "", "types and weights, as in A=80,AAAA=20; default: A, or the file's")
	f.Uint64Var(&o.corpus.Seed, "seed", 1, "seed: the same one asks the same questions")
	f.Float64Var(&o.corpus.Mix.EDNS, "edns", 0, "`share` of queries with EDNS, 0 to 1")
	f.Float64Var(&o.corpus.Mix.DO, "do", 0, "`share` of queries with DO, at most -edns")
	f.Float64Var(&o.corpus.Mix.Case, "case", 0, "`share` of queries with random upper case (0x20)")
	f.IntVar(&r.udpSize, "bufsize", 1232, "EDNS UDP size in `bytes`, 512 to 65535")

	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.quiet, "quiet", false, "no progress on the terminal")
}

func (o *options) checkTarget(r *raw) error {
	var err error
	if o.target, err = netip.ParseAddrPort(r.target); err != nil {
		return fmt.Errorf("-target: %w", err)
	}
	o.target = netip.AddrPortFrom(o.target.Addr().Unmap(), o.target.Port())
	if !o.target.Addr().IsLoopback() && !r.remote {
		return fmt.Errorf("-target %v is not loopback: load on a machine that is not yours is an attack; add -allow-remote if its operator agrees", o.target)
	}
	switch o.transport {
	case "udp", "tcp", "dot":
	default:
		return fmt.Errorf("-transport %q: want udp, tcp or dot", o.transport)
	}
	if o.transport != "dot" && (o.tlsName != "" || o.tlsCA != "") {
		return errors.New("-tls-name and -tls-ca need -transport dot")
	}
	if r.sources < 1 || r.sources > sourcesMax {
		return fmt.Errorf("-sources %d: want 1 to %d", r.sources, sourcesMax)
	}
	if r.source == "" {
		if r.sources > 1 {
			return errors.New("-sources needs -source, the first address")
		}
		return nil
	}
	source, err := netip.ParseAddr(r.source)
	if err != nil {
		return fmt.Errorf("-source: %w", err)
	}
	if source.Is4() != o.target.Addr().Is4() {
		return fmt.Errorf("-source %v and -target %v are of different families", source, o.target)
	}
	for range r.sources {
		o.sources = append(o.sources, source)
		source = source.Next()
	}
	return nil
}

// tlsConfig trusts the certificates of -tls-ca, or any.
func (o *options) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: o.tlsName, NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS12}
	if o.tlsCA == "" {
		c.InsecureSkipVerify = true
		return c, nil
	}
	text, err := os.ReadFile(o.tlsCA)
	if err != nil {
		return nil, fmt.Errorf("-tls-ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("-tls-ca %s: no certificate in it", o.tlsCA)
	}
	if c.ServerName == "" {
		c.ServerName = o.target.Addr().String()
	}
	return c, nil
}

func (o *options) checkLoad(r *raw) error {
	if !(o.rate >= 0) || math.IsInf(o.rate, 0) {
		return fmt.Errorf("-rate %v: want a number from 0 on", o.rate)
	}
	for name, d := range map[string]time.Duration{"warmup": o.warmup, "duration": o.duration} {
		if d < 0 {
			return fmt.Errorf("-%s %v is negative", name, d)
		}
	}
	if o.timeout < time.Millisecond {
		return fmt.Errorf("-timeout %v: want at least 1 ms", o.timeout)
	}
	if o.duration == 0 && o.count == 0 && !r.once {
		return errors.New("-duration 0 needs -count or -once, else the run has no end")
	}
	if err := o.checkCPUs(r); err != nil {
		return err
	}
	if o.spin && o.transport != "udp" {
		return errors.New("-spin is for UDP")
	}
	return o.checkWindow()
}

func (o *options) checkCPUs(r *raw) error {
	if r.cpus == "" {
		return nil
	}
	for field := range strings.SplitSeq(r.cpus, ",") {
		cpu, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || cpu < 0 {
			return fmt.Errorf("-cpu: %q is no CPU number", field)
		}
		o.cpus = append(o.cpus, cpu)
	}
	return nil
}

// senders is how many UDP senders there are.
func (o *options) senders() int { return max(1, len(o.cpus)) }

// checkWindow settles flows and window, which have defaults that depend on each other.
func (o *options) checkWindow() error {
	if o.flows < 0 || o.window < 0 {
		return errors.New("-flows and -window cannot be negative")
	}
	least, flows := 1, streamFlows
	if o.transport == "udp" {
		least, flows = o.senders(), udpFlows*o.senders()
	}
	if o.flows > 0 {
		flows = o.flows
	}
	perFlow := udp.OutstandingPerFlowMax
	if o.window == 0 {
		o.window = closedWindow
		if o.rate > 0 {
			o.window = int(min(o.rate*o.timeout.Seconds()+1, float64(flows*perFlow)))
		}
		o.window = max(o.window, flows)
	}
	if o.flows == 0 {
		flows = min(flows, o.window)
		if o.count > 0 {
			flows = int(min(uint64(flows), o.count))
		}
	}
	o.flows = flows
	if flows < least || flows > least*udp.FlowsMax {
		return fmt.Errorf("-flows %d: want %d to %d", flows, least, least*udp.FlowsMax)
	}
	if o.count > 0 && o.count < uint64(flows) {
		return fmt.Errorf("-count %d with %d flows: want a query for each", o.count, flows)
	}
	if o.window < flows || o.window > flows*perFlow {
		return fmt.Errorf("-window %d with %d flows: want %d to %d", o.window, flows, flows, flows*perFlow)
	}
	return nil
}

func (o *options) checkCorpus(r *raw) error {
	c := &o.corpus
	if r.udpSize < 512 || r.udpSize > math.MaxUint16 {
		return fmt.Errorf("-bufsize %d: want 512 to 65535", r.udpSize)
	}
	c.Mix.UDPSize = uint16(r.udpSize)
	if r.types != "" {
		var err error
		if c.Mix.Types, err = query.ParseTypes(r.types); err != nil {
			return fmt.Errorf("-types: %w", err)
		}
	}
	switch {
	case r.once && r.zipf != 0 || r.once && r.random || r.random && r.zipf != 0:
		return errors.New("-once, -zipf and -random exclude each other")
	case r.once:
		c.Order, o.names = query.Once, ", each once"
	case r.zipf != 0:
		c.Order, c.Exponent, o.names = query.Zipf, r.zipf, fmt.Sprintf(", Zipf %v", r.zipf)
	case r.file != "" && !r.random:
		c.Order, o.names = query.Cycle, ", in order"
	default:
		c.Order, o.names = query.Uniform, ", uniform"
	}
	if r.file != "" {
		return o.openList(r)
	}
	c.Pattern, c.First, c.Names = r.pattern, r.first, r.names
	number := strconv.FormatUint(r.names, 10)
	if r.once && !r.set["names"] {
		c.Names, number = 0, "no end"
	}
	o.names = fmt.Sprintf("%s of %s from %d%s", number, r.pattern, r.first, o.names)
	return nil
}

func (o *options) openList(r *raw) error {
	for _, name := range []string{"names", "pattern", "first", "types"} {
		if r.set[name] {
			return fmt.Errorf("-file says what is asked, -%s cannot", name)
		}
	}
	file := os.Stdin
	if r.file != "-" {
		var err error
		if file, err = os.Open(r.file); err != nil {
			return fmt.Errorf("-file: %w", err)
		}
	}
	list, err := query.ParseList(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("-file %s: %w", r.file, err)
	}
	o.corpus.List = list
	o.names = fmt.Sprintf("%d of %s%s", list.Len(), r.file, o.names)
	return nil
}
