package worker

import (
	"errors"
	"fmt"
	"slices"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// RequestKind is a kind of request that is no ordinary query.
type RequestKind uint8

const (
	RequestNotify   RequestKind = iota // RFC 1996
	RequestUpdate                      // RFC 2136
	RequestOpcode                      // of another opcode
	RequestTransfer                    // AXFR and IXFR: RFC 5936, RFC 1995
	RequestSigned                      // a query with a TSIG that asks for no transfer: RFC 8945
	requestKinds
)

// RequestKinds is how many there are: Stats.Requests is indexed by RequestKind.
const RequestKinds = int(requestKinds)

// String returns the value of the `kind` label in metrics.
func (k RequestKind) String() string {
	return [...]string{"notify", "update", "opcode", "transfer", "signed"}[k]
}

// RequestOutcome says what became of such a request.
type RequestOutcome uint8

const (
	// RequestRelayed has been answered by an upstream; a transfer, to its end.
	RequestRelayed RequestOutcome = iota
	// RequestFailed could be carried to no upstream, had no answer in time, or ended in the middle of a transfer: SERVFAIL.
	RequestFailed
	// RequestFull found no room among those under way: SERVFAIL.
	RequestFull
	// RequestLeft is a transfer whose client went away, or stopped reading.
	RequestLeft
	// RequestRefused is not served here: NOTIMP, REFUSED, NOTAUTH or FORMERR; an IXFR over UDP gets TC.
	RequestRefused
	requestOutcomes
)

// RequestOutcomes is how many there are: Stats.Requests is indexed by them as well.
const RequestOutcomes = int(requestOutcomes)

// String returns the value of the `result` label in metrics.
func (o RequestOutcome) String() string {
	return [...]string{"relayed", "failed", "full", "left", "refused"}[o]
}

// Treatment is what a request that is no ordinary query gets.
type Treatment uint8

const (
	NotImplemented Treatment = iota // NOTIMP
	Refused                         // REFUSED
	Forwarded                       // an upstream is asked
	NotAuthorized                   // NOTAUTH
)

// Course is what becomes of requests of a kind.
type Course struct {
	Treatment Treatment
	Pool      string // Forwarded: name of the pool that is asked; "": the one that the name in the request belongs to
}

// Requests says what becomes of requests that are no ordinary queries.
type Requests struct {
	Kinds   [RequestKinds]Course // NotAuthorized only for signed ones
	Classes Treatment            // queries of other classes than IN; Forwarded: to the pool of the name
}

// Relays reports whether there is a kind that is forwarded.
func (r *Requests) Relays() bool {
	return slices.ContainsFunc(r.Kinds[:], func(c Course) bool { return c.Treatment == Forwarded })
}

// validate returns what is wrong with the requests of a snapshot.
func (s *Snapshot) validateRequests() error {
	var errs []error
	for k, c := range s.Requests.Kinds {
		kind := RequestKind(k)
		switch at := slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == c.Pool }); {
		case c.Treatment > NotAuthorized, c.Treatment == NotAuthorized && kind != RequestSigned:
			errs = append(errs, fmt.Errorf("requests: %v: no treatment %d", kind, c.Treatment))
		case c.Treatment != Forwarded || c.Pool == "":
		case at < 0:
			errs = append(errs, fmt.Errorf("requests: %v: no pool %q", kind, c.Pool))
		case kind == RequestTransfer && !slices.ContainsFunc(s.Pools[at].Members, func(m int) bool {
			return m >= 0 && m < len(s.Upstreams) && s.Upstreams[m].Endpoint.Scheme != transport.HTTPS
		}):
			errs = append(errs, fmt.Errorf("requests: transfers cannot go to pool %q: all its upstreams are https", c.Pool))
		}
	}
	if s.Requests.Classes > Forwarded {
		errs = append(errs, fmt.Errorf("requests: no treatment %d", s.Requests.Classes))
	}
	return errors.Join(errs...)
}

// kindOf returns the kind of a request with a fault; false: it is of none, but malformed.
func kindOf(q *wire.Query, fault wire.Fault) (RequestKind, bool) {
	transfer := q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR
	switch opcode := q.Flags & wire.OpcodeMask; {
	case fault == wire.FaultOpcode && opcode == wire.OpcodeNotify:
		return RequestNotify, true
	case fault == wire.FaultOpcode && opcode == wire.OpcodeUpdate:
		return RequestUpdate, true
	case fault == wire.FaultOpcode:
		return RequestOpcode, true
	case (fault == wire.FaultType || fault == wire.FaultSigned) && transfer:
		return RequestTransfer, true
	case fault == wire.FaultSigned:
		return RequestSigned, true
	}
	return 0, false
}

// rcode is that of an answer of our own.
func (t Treatment) rcode() uint16 {
	switch t {
	case NotImplemented:
		return wire.RCodeNotImp
	case NotAuthorized:
		return wire.RCodeNotAuth
	}
	return wire.RCodeRefused
}

// unusual answers a request of a kind, or has it carried to an upstream.
func (w *worker) unusual(l *lookup, kind RequestKind, from *origin) {
	course := &w.active.requests.Kinds[kind]
	// DNS Stateful Operations (RFC 8490) are about a connection, which ends here.
	if course.Treatment == Forwarded && l.query.Flags&wire.OpcodeMask != wire.OpcodeDSO {
		w.relay(l, kind, from)
		return
	}
	rcode := course.Treatment.rcode()
	if course.Treatment == Forwarded {
		rcode = wire.RCodeNotImp
	}
	ede := l.fault.EDE()
	if kind == RequestTransfer { // with a TSIG or without
		ede = wire.ReasonType
	}
	w.stats.Malformed[l.fault]++
	w.stats.Requests[kind][RequestRefused]++
	w.replyError(from, rcode, ede)
}

// otherClass answers a query of another class than IN: such are about a server, not about names.
func (w *worker) otherClass(l *lookup, from *origin) {
	if w.describe(l, from) {
		return
	}
	w.stats.RefusedClass++
	w.replyError(from, w.active.requests.Classes.rcode(), wire.ReasonClass)
}

// describe answers a query about this server, if there is something to tell, and reports whether it did.
func (w *worker) describe(l *lookup, from *origin) bool {
	if l.query.Class != wire.ClassCHAOS {
		return false
	}
	var space [wire.KeyBytesMax]byte
	a := w.active.local.Chaos(wire.KeyName(l.query.Key(&space)), l.query.Type)
	if a == nil {
		return false
	}
	w.stats.Local++
	w.reply(from, a, 0)
	return true
}
