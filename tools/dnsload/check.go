package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"secure-dns-proxy/tools/dnsload/query"
	"secure-dns-proxy/tools/dnsload/udp"
)

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
	if o.warmup < 0 || o.duration < 0 {
		return fmt.Errorf("-warmup %v and -duration %v: neither can be negative", o.warmup, o.duration)
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
	c.Pattern, c.First, c.Names, c.Fresh = r.pattern, r.first, r.names, r.first+r.names
	if r.set["fresh-first"] {
		c.Fresh = r.freshFirst
	}
	number := strconv.FormatUint(r.names, 10)
	if r.once && !r.set["names"] {
		c.Names, number = 0, "no end"
	}
	o.names = fmt.Sprintf("%s of %s from %d%s", number, r.pattern, r.first, o.names)
	switch {
	case c.Mix.Fresh > 0:
		o.names += fmt.Sprintf(", %v new ones from %d", c.Mix.Fresh, c.Fresh)
	case r.set["fresh-first"]:
		return errors.New("-fresh-first without -fresh")
	}
	return nil
}

func (o *options) openList(r *raw) error {
	for _, name := range []string{"names", "pattern", "first", "types", "fresh", "fresh-first"} {
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
