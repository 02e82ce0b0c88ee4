// Package local holds the answers that are given without asking anybody: special-use names (RFC 6761), reverse zones of addresses that
// mean something in one network only (RFC 6303), ANY (RFC 8482), and what the server says of itself. A Table is immutable once built and is
// read by all workers; looking something up allocates nothing.
//
// Names are in wire form without compression, lower case.
package local

import (
	"bytes"
	"errors"
	"fmt"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/route"
)

// Any says what becomes of queries of type ANY.
type Any uint8

const (
	AnyForward Any = iota // as any other type
	AnyHINFO              // the one record of RFC 8482 §4.2
	AnyRefused            // REFUSED
)

// AnyNames are the names used in the configuration, by value.
var AnyNames = [...]string{"forward", "hinfo", "refused"}

// Spec says what is answered here. The zero value answers nothing.
type Spec struct {
	Localhost      bool     // localhost. is the loopback address (RFC 6761 §6.3)
	Nonexistent    [][]byte // names that do not exist, with all below them: invalid. (RFC 6761 §6.4), onion. (RFC 7686) and the like
	PrivateReverse bool     // the zones of RFC 6303 and RFC 7793 are empty
	ResolverARPA   bool     // resolver.arpa. is empty: it is about the resolver that is asked (RFC 9462 §6.4)
	ApplicationDNS bool     // use-application-dns.net. does not exist: browsers use the system's resolver
	Any            Any
	Version, ID    string // version.bind. and id.server. of class CHAOS (RFC 4892), at most TextBytesMax; "": refused
}

// Table holds the answers of a Spec.
type Table struct {
	routes *route.Table
	zones  []zone
	any    *wire.Answer
	chaos  map[string]*wire.Answer
}

// zone is a name whose answers are known, with all below it.
type zone struct {
	name       []byte
	top, below *wire.Answer // for the name itself and for those below it, where no record fits
	soa        *wire.Answer // for type SOA at the top, nil where there is no zone
	a, aaaa    *wire.Answer // nil: as other types
}

// New builds a table. Errors: a name that stands twice or is none, a text that is too long.
func New(s *Spec) (*Table, error) {
	t := &Table{routes: route.New(), chaos: map[string]*wire.Answer{}}
	var errs []error
	add := func(z zone) {
		if len(t.zones) == ZonesMax {
			errs = append(errs, fmt.Errorf("more than %d names", ZonesMax))
			return
		}
		if err := t.routes.Add(z.name, uint8(len(t.zones))); err != nil {
			errs = append(errs, err)
		}
		t.zones = append(t.zones, z)
	}
	for _, name := range s.Nonexistent {
		add(missing(name))
	}
	if s.ApplicationDNS {
		add(missing(name("use-application-dns.net.")))
	}
	if s.Localhost {
		add(loopback(name("localhost.")))
	}
	if s.ResolverARPA {
		z := empty(name("resolver.arpa."))
		z.below = z.top // §6.4: NODATA for all of it
		add(z)
	}
	if s.PrivateReverse {
		for _, text := range privateReverse() {
			add(empty(name(text)))
		}
	}
	switch s.Any {
	case AnyHINFO:
		t.any = hinfo()
	case AnyRefused:
		t.any = &wire.Answer{RCode: wire.RCodeRefused, Extended: wire.ReasonType}
	}
	errs = append(errs, t.describe(s.Version, "version.bind.", "version.server."), t.describe(s.ID, "id.server.", "hostname.bind."))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("local answers: %w", err)
	}
	return t, nil
}

// describe enters a text about this server.
func (t *Table) describe(text string, names ...string) error {
	if len(text) > TextBytesMax {
		return fmt.Errorf("text of %d bytes: want at most %d", len(text), TextBytesMax)
	}
	if text == "" {
		return nil
	}
	for _, of := range names {
		t.chaos[string(name(of))] = chaosText(text)
	}
	return nil
}

// Answer returns the answer to a question of class IN, nil if it is not given here. claimed says that a pool has the name as its own: then
// only the type counts.
func (t *Table) Answer(name []byte, qtype uint16, claimed bool) *wire.Answer {
	if !claimed {
		if i, ok := t.routes.Lookup(name); ok {
			return t.zones[i].answer(name, qtype)
		}
	}
	if qtype == wire.TypeANY {
		return t.any
	}
	return nil
}

// Chaos returns the answer to a question of class CHAOS, nil if there is none.
func (t *Table) Chaos(name []byte, qtype uint16) *wire.Answer {
	if qtype != wire.TypeTXT && qtype != wire.TypeANY {
		return nil
	}
	return t.chaos[string(name)]
}

// answer is nil for the DS records of an empty zone: those are its parent's (RFC 4035 §3.1.4.1), and say that the zone is not signed.
func (z *zone) answer(name []byte, qtype uint16) *wire.Answer {
	top := bytes.Equal(name, z.name)
	switch {
	case qtype == wire.TypeA && z.a != nil:
		return z.a
	case qtype == wire.TypeAAAA && z.aaaa != nil:
		return z.aaaa
	case !top:
		return z.below
	case qtype == wire.TypeDS && z.soa != nil:
		return nil
	case qtype == wire.TypeSOA && z.soa != nil:
		return z.soa
	}
	return z.top
}

// missing is a name that does not exist.
func missing(name []byte) zone {
	none := negative(name, wire.RCodeNXDomain)
	return zone{name: name, top: none, below: none}
}

// empty is a zone with nothing below its top.
func empty(name []byte) zone {
	return zone{
		name: name, top: negative(name, wire.RCodeNoError), below: negative(name, wire.RCodeNXDomain),
		soa: positive(wire.TypeSOA, soaTTL, soaData(name)),
	}
}

// loopback is localhost.
func loopback(name []byte) zone {
	none := negative(name, wire.RCodeNoError)
	v6 := make([]byte, 16)
	v6[15] = 1
	return zone{
		name: name, top: none, below: none,
		a: positive(wire.TypeA, soaTTL, []byte{127, 0, 0, 1}), aaaa: positive(wire.TypeAAAA, soaTTL, v6),
	}
}
