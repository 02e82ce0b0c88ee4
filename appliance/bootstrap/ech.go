package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/client"
)

// ECHTarget is a server whose configurations for Encrypted Client Hello are wanted.
type ECHTarget struct {
	Name  string   // what it is called in its certificate; not an address
	Port  uint16   // where it is asked
	ALPN  []string // what is spoken with it there: "dot", "doq", "h2", "h3"
	HTTPS bool     // its records may be of type HTTPS as well
	Sink  ECHSink
}

// ECHSink takes what was found.
type ECHSink interface {
	Publish(list []byte) // an ECHConfigList as published, not looked at; empty: none is
	Unknown(err error)   // the look-up failed
}

// FollowECH keeps the configurations of targets up to date until Close, with the same pauses as for addresses. It logs nothing: what
// became of it is for whoever uses the configurations to say.
func FollowECH(cfg Config, log *slog.Logger, targets []ECHTarget) *Follower {
	f := &Follower{cfg: cfg, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for _, t := range targets {
		f.tried.Add(1)
		f.running.Go(func() { f.followECH(ctx, t) })
	}
	return f
}

func (f *Follower) followECH(ctx context.Context, t ECHTarget) {
	first := sync.OnceFunc(f.tried.Done)
	defer first()
	failures := 0
	for ctx.Err() == nil {
		list, ttl, err := LookupECH(ctx, f.cfg, t)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		if err != nil {
			pause = f.afterFailure(failures)
			failures++
			t.Sink.Unknown(err)
		} else {
			pause, failures = f.afterSuccess(ttl), 0
			t.Sink.Publish(list)
		}
		first()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// svcbQuestion is where service binding records may be.
type svcbQuestion struct {
	name  string
	qtype uint16
}

// questions in the order in which they are asked. A resolver's records are at _dns in front of its name, whatever its port: the port is in
// the record (RFC 9461 §3). Those of its web server are at the name itself, and a port other than 443 stands in front (RFC 9460 §9.1).
func (t *ECHTarget) questions() []svcbQuestion {
	resolver := svcbQuestion{"_dns." + dns.Fqdn(t.Name), dns.TypeSVCB}
	if !t.HTTPS {
		return []svcbQuestion{resolver}
	}
	web := svcbQuestion{dns.Fqdn(t.Name), dns.TypeHTTPS}
	if t.Port != portHTTPS {
		web.name = "_" + strconv.Itoa(int(t.Port)) + "._https." + web.name
	}
	return []svcbQuestion{web, resolver}
}

// LookupECH returns the ECHConfigList that is published for t, nil if none is, and how long that is so.
func LookupECH(ctx context.Context, cfg Config, t ECHTarget) ([]byte, time.Duration, error) {
	ttl := ttlMax
	var errs []error
	for _, q := range t.questions() {
		list, life, err := t.find(ctx, cfg, q)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ttl = min(ttl, life)
		if list != nil {
			return list, ttl, nil
		}
	}
	if len(errs) > 0 {
		return nil, 0, fmt.Errorf("look up encrypted client hello of %s: %w", t.Name, transport.Joined(errs))
	}
	return nil, ttl, nil
}

// find follows the aliases from q to records of services (RFC 9460 §3), and takes the best one that is about t's.
func (t *ECHTarget) find(ctx context.Context, cfg Config, q svcbQuestion) ([]byte, time.Duration, error) {
	ttl := ttlMax
	for range chainMax {
		reply, err := askServers(ctx, cfg, q.name, q.qtype)
		if err != nil {
			return nil, 0, err
		}
		records, life := serviceRecords(reply, q)
		ttl = min(ttl, life)
		if len(records) == 0 {
			return nil, ttl, nil
		}
		if alias := records[0]; alias.Priority == 0 {
			if alias.Target == "." {
				return nil, ttl, nil // RFC 9460 §2.5.1: there is no such service
			}
			q.name = dns.Fqdn(alias.Target)
			continue
		}
		for _, r := range records {
			if list := t.listOf(r, t.usualPort(q.qtype)); list != nil {
				return list, ttl, nil
			}
		}
		return nil, ttl, nil
	}
	return nil, ttl, nil
}

// askServers asks one server after the other, upstreams first as for addresses, until one knows the name. No error: the name exists, with or
// without records, or those who answered say that it does not.
func askServers(ctx context.Context, cfg Config, name string, qtype uint16) (*dns.Msg, error) {
	var servers []*transport.Endpoint
	if cfg.Upstreams != nil {
		servers = located(cfg.Upstreams())
		servers = servers[:min(len(servers), upstreamsMax)]
	}
	var missing *dns.Msg
	var errs []error
	for _, server := range slices.Concat(servers, cfg.Servers) {
		reply, err := askFor(ctx, cfg.Timeout, server, name, qtype)
		switch {
		case err == nil && reply.Rcode == dns.RcodeSuccess:
			return reply, nil
		case err == nil && reply.Rcode == dns.RcodeNameError:
			missing = reply
			continue
		case err == nil:
			err = fmt.Errorf("answered %s", dns.RcodeToString[reply.Rcode])
		}
		errs = append(errs, fmt.Errorf("%s at %s: %w", dns.TypeToString[qtype], server.Name, err))
	}
	switch {
	case missing != nil:
		return missing, nil
	case len(errs) == 0:
		return nil, errors.New("nobody to ask")
	}
	return nil, transport.Joined(errs)
}

// askFor asks one server one question.
func askFor(ctx context.Context, timeout time.Duration, server *transport.Endpoint, name string, qtype uint16) (*dns.Msg, error) {
	c, err := client.New(server)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply, err := message(bounded, c, name, qtype)
	return reply, errors.Join(err, shut(ctx, c))
}

// serviceRecords follows the CNAMEs of an answer to service binding records, best first, and returns for how long they hold. Without any
// that is as long as the zone says (RFC 2308 §5).
func serviceRecords(reply *dns.Msg, q svcbQuestion) ([]*dns.SVCB, time.Duration) {
	out, ttl := follow(reply, q.name, func(rr dns.RR) (*dns.SVCB, bool) {
		switch rr := rr.(type) {
		case *dns.SVCB:
			return rr, q.qtype == dns.TypeSVCB
		case *dns.HTTPS:
			return &rr.SVCB, q.qtype == dns.TypeHTTPS
		}
		return nil, false
	})
	if len(out) == 0 {
		return nil, min(ttl, negativeTTL(reply))
	}
	slices.SortStableFunc(out, func(a, b *dns.SVCB) int { return cmp.Compare(a.Priority, b.Priority) })
	return out, ttl
}

func negativeTTL(reply *dns.Msg) time.Duration {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
		}
	}
	return unknownTTL
}

// listOf returns the ECHConfigList of one record, if it is about the server that is asked: its name, protocol, and port, which without a
// parameter is the given one. A record with parameters that are mandatory and unknown is not for us (RFC 9460 §8).
func (t *ECHTarget) listOf(r *dns.SVCB, port uint16) []byte {
	if r.Target != "." && !strings.EqualFold(r.Target, r.Hdr.Name) && !strings.EqualFold(r.Target, dns.Fqdn(t.Name)) {
		return nil
	}
	var list []byte
	fits := false
	for _, parameter := range r.Value {
		switch p := parameter.(type) {
		case *dns.SVCBMandatory:
			if slices.ContainsFunc(p.Code, func(k dns.SVCBKey) bool { return !slices.Contains(understood, k) }) {
				return nil
			}
		case *dns.SVCBAlpn:
			fits = slices.ContainsFunc(p.Alpn, func(id string) bool { return slices.Contains(t.ALPN, id) })
		case *dns.SVCBPort:
			port = p.Port
		case *dns.SVCBECHConfig:
			list = p.ECH
		}
	}
	if !fits || port != t.Port || len(list) == 0 {
		return nil
	}
	return list
}

// understood are the parameters that we act upon, or may pass over although they are mandatory: addresses come from elsewhere, and the path
// is configured.
var understood = []dns.SVCBKey{
	dns.SVCB_ALPN, dns.SVCB_NO_DEFAULT_ALPN, dns.SVCB_PORT, dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT, dns.SVCB_ECHCONFIG, dns.SVCB_DOHPATH,
}

// usualPort is what a record without a port means: for one of a web server the port that was asked for (RFC 9460 §7.2), for one of a
// resolver that of the protocol (RFC 9461 §4.2).
func (t *ECHTarget) usualPort(qtype uint16) uint16 {
	switch {
	case qtype == dns.TypeHTTPS:
		return t.Port
	case t.HTTPS:
		return portHTTPS
	}
	return portTLS
}

const (
	portHTTPS = 443
	portTLS   = 853 // RFC 7858 §3.1, RFC 9250 §4.1.1
)
