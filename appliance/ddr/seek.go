package ddr

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/client"
)

// unreachable is a plain resolver that did not answer.
type unreachable struct{ err error }

func (u *unreachable) Error() string { return u.err.Error() }

// seek asks the plain resolver once and tries whom it designates. Nobody was found and no error: it designates nobody. The error says why
// none of those designated can be used, or is unreachable.
func (s *Seeker) seek(ctx context.Context) (found *Upgrade, ttl time.Duration, err error) {
	plain, err := client.New(s.cfg.Plain)
	if err != nil {
		return nil, 0, &unreachable{err}
	}
	defer func() { err = joinClose(ctx, plain, err) }()
	reply, err := s.ask(ctx, plain, Name, dns.TypeSVCB)
	if err == nil && reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		err = fmt.Errorf("%s answered %s", s.cfg.Plain.Name, dns.RcodeToString[reply.Rcode])
	}
	if err != nil {
		return nil, 0, &unreachable{err}
	}
	list, ttl, skipped := Designations(reply)
	var errs []error
	if skipped != nil {
		errs = append(errs, skipped)
	}
	for _, d := range list {
		if len(d.Addrs) == 0 {
			d.Addrs = s.locate(ctx, plain, d.Target)
		}
		u, err := s.try(ctx, d)
		if err == nil {
			return u, ttl, nil
		}
		errs = append(errs, err)
	}
	return nil, ttl, oneLine(errors.Join(errs...))
}

// try builds the endpoint of a designation and asks it something.
func (s *Seeker) try(ctx context.Context, d Designation) (*Upgrade, error) {
	u := &Upgrade{Designation: d, Verified: true}
	err := s.verify(ctx, u)
	if err == nil {
		return u, nil
	}
	if d, ok := s.opportune(d); ok {
		u = &Upgrade{Designation: d}
		if s.verify(ctx, u) == nil {
			return u, nil
		}
	}
	return nil, err
}

// verify makes a handshake and wants an answer, whatever it is, to Name.
func (s *Seeker) verify(ctx context.Context, u *Upgrade) (err error) {
	if len(u.Addrs) == 0 {
		return fmt.Errorf("%s has no address", u.Target)
	}
	if u.Endpoint, err = s.cfg.Build(&u.Designation, u.Verified); err != nil {
		return err
	}
	c, err := client.New(u.Endpoint)
	if err != nil {
		return err
	}
	defer func() { err = joinClose(ctx, c, err) }()
	if _, err = s.ask(ctx, c, Name, dns.TypeSVCB); err != nil {
		return fmt.Errorf("%s: %w", u.String(), err)
	}
	return nil
}

// locate looks the target up at the resolver that named it (RFC 9462 §4.1: at no other).
func (s *Seeker) locate(ctx context.Context, plain *client.Client, target string) (addrs []netip.Addr) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply, err := s.ask(ctx, plain, dns.Fqdn(target), qtype)
		if err != nil {
			continue // verify says that there is no address
		}
		for _, rr := range reply.Answer {
			var a netip.Addr
			switch rr := rr.(type) {
			case *dns.A:
				a, _ = netip.AddrFromSlice(rr.A)
			case *dns.AAAA:
				a, _ = netip.AddrFromSlice(rr.AAAA)
			}
			if a.IsValid() && len(addrs) < addressesMax {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	return addrs
}

// ask exchanges one question.
func (s *Seeker) ask(ctx context.Context, c *client.Client, name string, qtype uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, qtype)
	query.SetEdns0(udpBytesMax, false)
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	msg, err := c.Exchange(ctx, packed)
	if err != nil {
		return nil, err
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(msg); err != nil {
		return nil, err
	}
	return reply, nil
}

func joinClose(ctx context.Context, c *client.Client, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if trouble := c.Close(ctx); trouble != nil {
		return errors.Join(err, trouble)
	}
	return err
}

// oneLine is for logs; nil stays nil.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}
