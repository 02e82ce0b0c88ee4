package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"time"

	"secure-dns-proxy/tools/dnsload/query"
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
	names, first, freshFirst                   uint64
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
	f.Float64Var(&o.rate, "rate", 0, "queries/s to send (open loop); 0: closed loop. From 100,000 for each sender on it takes a whole CPU")
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
	f.Float64Var(&o.corpus.Mix.Fresh, "fresh", 0, "`share` of queries that ask a new name of the pattern each, 0 to 1: that many misses among hits")
	f.Uint64Var(&r.freshFirst, "fresh-first", 0, "first `number` of those names; default: the one after -names")
	f.IntVar(&r.udpSize, "bufsize", 1232, "EDNS UDP size in `bytes`, 512 to 65535")

	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.quiet, "quiet", false, "no progress on the terminal")
}
