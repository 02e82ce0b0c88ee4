package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config says whom to ask, and how often.
type Config struct {
	Servers          []netip.AddrPort // asked in this order until one answers; at least one
	Timeout          time.Duration    // for one question to one server
	RefreshThreshold time.Duration    // asked again so long before expiry
	MinTTL           time.Duration    // but no sooner than this after an answer
	FailureRetry     time.Duration    // longest pause after failures
}

// Lookup returns the addresses of a name, IPv4 first, and how long they may be used. One family without an answer is no error as
// long as the other has addresses.
func Lookup(ctx context.Context, cfg Config, name string) ([]netip.Addr, time.Duration, error) {
	var out []netip.Addr
	var errs []error
	ttl := ttlMax
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found, life, err := lookupType(ctx, cfg, dns.Fqdn(name), qtype)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(found) > 0 {
			out = append(out, found[:min(len(found), addressesMax)]...)
			ttl = min(ttl, life)
		}
	}
	switch {
	case len(out) > 0:
		return out, ttl, nil
	case len(errs) > 0:
		return nil, 0, fmt.Errorf("resolve %s: %w", name, joined(errs))
	}
	return nil, 0, fmt.Errorf("resolve %s: it exists, but has no address", name)
}

// lookupType asks the servers one after the other. No addresses and no error means that the name has none of this type.
func lookupType(ctx context.Context, cfg Config, name string, qtype uint16) ([]netip.Addr, time.Duration, error) {
	var errs []error
	for _, server := range cfg.Servers {
		reply, err := exchange(ctx, cfg, server, name, qtype)
		if err == nil && reply.Rcode == dns.RcodeNameError {
			return nil, 0, fmt.Errorf("%s at %s: no such name", dns.TypeToString[qtype], server)
		}
		if err == nil && reply.Rcode != dns.RcodeSuccess {
			err = fmt.Errorf("answered %s", dns.RcodeToString[reply.Rcode])
		}
		if err == nil {
			addrs, ttl := addresses(reply, name, qtype)
			return addrs, ttl, nil
		}
		errs = append(errs, fmt.Errorf("%s at %s: %w", dns.TypeToString[qtype], server, err))
	}
	return nil, 0, joined(errs)
}

// joined is errors.Join on one line, as logs want it.
func joined(errs []error) error {
	var err error
	for _, next := range errs {
		if err == nil {
			err = next
		} else {
			err = fmt.Errorf("%w; %w", err, next)
		}
	}
	return err
}

// exchange asks one server over UDP, and over TCP if the answer did not fit (RFC 7766 §5).
func exchange(ctx context.Context, cfg Config, server netip.AddrPort, name string, qtype uint16) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	query.SetEdns0(udpBytesMax, false)
	client := &dns.Client{Net: "udp", Timeout: cfg.Timeout}
	reply, _, err := client.ExchangeContext(ctx, query, server.String())
	if err == nil && reply.Truncated {
		client.Net = "tcp"
		reply, _, err = client.ExchangeContext(ctx, query, server.String())
	}
	if err != nil {
		return nil, err
	}
	if len(reply.Question) != 1 || reply.Question[0].Qtype != qtype || !strings.EqualFold(reply.Question[0].Name, name) {
		return nil, errors.New("answered another question")
	}
	return reply, nil
}

// addresses follows the CNAMEs of an answer to its addresses; the TTL is the lowest on the way.
func addresses(reply *dns.Msg, name string, qtype uint16) ([]netip.Addr, time.Duration) {
	ttl := ttlMax
	for range chainMax {
		var out []netip.Addr
		next := ""
		for _, rr := range reply.Answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			life := time.Duration(rr.Header().Ttl) * time.Second
			switch rr := rr.(type) {
			case *dns.CNAME:
				next, ttl = rr.Target, min(ttl, life)
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A); ok && qtype == dns.TypeA {
					out, ttl = append(out, a.Unmap()), min(ttl, life)
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA); ok && qtype == dns.TypeAAAA {
					out, ttl = append(out, a), min(ttl, life)
				}
			}
		}
		if len(out) > 0 || next == "" {
			return out, ttl
		}
		name = next
	}
	return nil, 0
}
