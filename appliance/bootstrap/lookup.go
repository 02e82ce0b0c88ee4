package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/client"
)

// Config says whom to ask, and how often.
type Config struct {
	// Upstreams returns the upstreams that may be asked now, best first; those without an address are passed over. nil: none ever.
	Upstreams        func() []*transport.Endpoint
	Servers          []*transport.Endpoint // asked in this order until one answers
	Timeout          time.Duration         // for the questions to one server
	RefreshThreshold time.Duration         // asked again so long before expiry
	MinTTL           time.Duration         // but no sooner than this after an answer
	FailureRetry     time.Duration         // longest pause after failures
	JitterPercent    int                   // of the pause after an answer, by which it is shortened at most
	Counters         *Counters             // nil: nobody counts
}

// Found is what a look-up brought.
type Found struct {
	Addrs    []netip.Addr  // IPv4 first; at least one
	TTL      time.Duration // how long they may be used
	Upstream bool          // an upstream knew them
	Fallback error         // why a bootstrap server had to be asked although upstreams were; else nil
}

// Lookup finds the addresses of a name. One family without an answer is no error as long as the other has addresses.
func Lookup(ctx context.Context, cfg Config, name string) (Found, error) {
	var fallback error
	if cfg.Upstreams != nil {
		upstreams := located(cfg.Upstreams())
		addrs, ttl, err := ask(ctx, cfg.Timeout, upstreams[:min(len(upstreams), upstreamsMax)], name, false)
		if err == nil {
			return Found{Addrs: addrs, TTL: ttl, Upstream: true}, nil
		}
		if len(upstreams) > 0 {
			fallback = err
		}
	}
	addrs, ttl, err := ask(ctx, cfg.Timeout, cfg.Servers, name, true)
	if err == nil {
		return Found{Addrs: addrs, TTL: ttl, Fallback: fallback}, nil
	}
	switch {
	case len(cfg.Servers) == 0 && fallback != nil:
		err = fallback
	case fallback != nil:
		err = fmt.Errorf("%w; %w", fallback, err)
	}
	return Found{}, fmt.Errorf("resolve %s: %w", name, err)
}

// located returns the endpoints that can be asked: nobody's name is resolved to resolve another.
func located(endpoints []*transport.Endpoint) []*transport.Endpoint {
	var out []*transport.Endpoint
	for _, e := range endpoints {
		if len(e.Addresses.Load()) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// families are asked for at the same time.
var families = [...]uint16{dns.TypeA, dns.TypeAAAA}

// ask asks one server after the other until each family was answered. A name that does not exist is not looked for any further if final is
// set: the servers are meant to say the same.
func ask(ctx context.Context, timeout time.Duration, servers []*transport.Endpoint, name string, final bool) ([]netip.Addr, time.Duration, error) {
	var found [len(families)]answer
	var errs []error
	for _, server := range servers {
		trouble := askOne(ctx, timeout, server, dns.Fqdn(name), &found)
		errs = append(errs, trouble...)
		missing := final && len(trouble) > 0 && errors.Is(transport.Joined(trouble), errNoName)
		if len(trouble) == 0 || missing || ctx.Err() != nil {
			break
		}
	}
	var out []netip.Addr
	ttl := ttlMax
	for _, a := range found {
		if len(a.addrs) > 0 {
			out = append(out, a.addrs[:min(len(a.addrs), addressesMax)]...)
			ttl = min(ttl, a.ttl)
		}
	}
	switch {
	case len(out) > 0:
		return out, ttl, nil
	case len(servers) == 0:
		return nil, 0, errors.New("nobody to ask")
	case len(errs) > 0:
		return nil, 0, transport.Joined(errs)
	}
	return nil, 0, errors.New("it exists, but has no address")
}

// answer is what is known of one family.
type answer struct {
	known bool // even if there are none
	addrs []netip.Addr
	ttl   time.Duration
	err   error
}

// askOne asks one server for the families that are not known yet, and returns what went wrong.
func askOne(ctx context.Context, timeout time.Duration, server *transport.Endpoint, name string, found *[len(families)]answer) (errs []error) {
	c, err := client.New(server)
	if err != nil {
		return []error{err}
	}
	defer func() {
		if err := shut(ctx, c); err != nil {
			errs = append(errs, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var results [len(families)]chan answer
	for i, qtype := range families {
		if found[i].known {
			continue
		}
		results[i] = make(chan answer, 1)
		go func() { results[i] <- exchange(ctx, c, name, qtype) }()
	}
	for i, result := range results {
		if result == nil {
			continue
		}
		if a := <-result; a.err != nil {
			errs = append(errs, fmt.Errorf("%s at %s: %w", dns.TypeToString[families[i]], server.Name, a.err))
		} else {
			found[i] = a
		}
	}
	return errs
}

// shut ends a client also if ctx has ended.
func shut(ctx context.Context, c *client.Client) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return c.Close(end)
}

var errNoName = errors.New("no such name")

// exchange asks one server for the addresses of one family.
func exchange(ctx context.Context, c *client.Client, name string, qtype uint16) answer {
	reply, err := message(ctx, c, name, qtype)
	if err != nil {
		return answer{err: err}
	}
	switch reply.Rcode {
	case dns.RcodeSuccess:
		addrs, ttl := addresses(reply, name, qtype)
		return answer{known: true, addrs: addrs, ttl: ttl}
	case dns.RcodeNameError:
		return answer{err: errNoName}
	}
	return answer{err: fmt.Errorf("answered %s", dns.RcodeToString[reply.Rcode])}
}

// message asks one server one question, and returns what it answered.
func message(ctx context.Context, c *client.Client, name string, qtype uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, qtype)
	query.SetEdns0(udpBytesMax, false)
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	msg, err := c.Exchange(ctx, packed)
	if err != nil {
		return nil, err
	}
	reply := new(dns.Msg)
	return reply, reply.Unpack(msg)
}

// addresses follows the CNAMEs of an answer to its addresses; the TTL is the lowest on the way.
func addresses(reply *dns.Msg, name string, qtype uint16) ([]netip.Addr, time.Duration) {
	return follow(reply, name, func(rr dns.RR) (a netip.Addr, ok bool) {
		switch rr := rr.(type) {
		case *dns.A:
			a, ok = netip.AddrFromSlice(rr.A)
			return a.Unmap(), ok && qtype == dns.TypeA && leadsSomewhere(a)
		case *dns.AAAA:
			a, ok = netip.AddrFromSlice(rr.AAAA)
			return a, ok && qtype == dns.TypeAAAA && leadsSomewhere(a)
		}
		return a, false
	})
}

// leadsSomewhere is false for what stands for no server: 0.0.0.0 and ::, which resolvers give for names that they block, are this very
// machine to a connect, and maybe the proxy itself.
func leadsSomewhere(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsUnspecified() && !a.IsMulticast()
}

// follow goes from name along the CNAMEs of an answer to the first records that read takes. The TTL is the lowest on the way, ttlMax without
// any record.
func follow[T any](reply *dns.Msg, name string, read func(dns.RR) (T, bool)) ([]T, time.Duration) {
	ttl := ttlMax
	for range chainMax {
		var out []T
		next := ""
		for _, rr := range reply.Answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			life := time.Duration(rr.Header().Ttl) * time.Second
			if alias, isAlias := rr.(*dns.CNAME); isAlias {
				next, ttl = alias.Target, min(ttl, life)
			} else if record, wanted := read(rr); wanted {
				out, ttl = append(out, record), min(ttl, life)
			}
		}
		if len(out) > 0 || next == "" {
			return out, ttl
		}
		name = next
	}
	return nil, ttl
}
