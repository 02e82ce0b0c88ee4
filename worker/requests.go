package worker

import (
	"errors"
	"fmt"

	"secure-dns-proxy/transport/wire"
)

// Treatment is what a request that is no ordinary query gets.
type Treatment uint8

const (
	NotImplemented Treatment = iota // NOTIMP
	Refused                         // REFUSED
	Forwarded                       // the pool of its name is asked
)

// Requests says what becomes of requests that are no ordinary queries: of another opcode than QUERY, of another class than IN, for zone
// transfers.
type Requests struct {
	Notify, Update Treatment // RFC 1996, RFC 2136; not Forwarded
	Opcodes        Treatment // the others; not Forwarded
	Transfers      Treatment // AXFR and IXFR: RFC 5936, RFC 1995; not Forwarded
	Classes        Treatment
}

// validate returns what is wrong.
func (r *Requests) validate() error {
	for _, t := range []Treatment{r.Notify, r.Update, r.Opcodes, r.Transfers} {
		if t > Refused {
			return errors.New("requests: only queries of other classes can be forwarded")
		}
	}
	if r.Classes > Forwarded {
		return fmt.Errorf("requests: no treatment %d", r.Classes)
	}
	return nil
}

// rcode is what a request with a fault is answered with.
func (r *Requests) rcode(q *wire.Query, fault wire.Fault) uint16 {
	switch opcode := q.Flags & wire.OpcodeMask; {
	case fault == wire.FaultOpcode && opcode == wire.OpcodeNotify:
		return r.Notify.rcode()
	case fault == wire.FaultOpcode && opcode == wire.OpcodeUpdate:
		return r.Update.rcode()
	case fault == wire.FaultOpcode:
		return r.Opcodes.rcode()
	case fault == wire.FaultType && (q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR):
		return r.Transfers.rcode()
	}
	rcode, _ := fault.RCode()
	return rcode
}

// rcode is that of an answer of our own.
func (t Treatment) rcode() uint16 {
	if t == NotImplemented {
		return wire.RCodeNotImp
	}
	return wire.RCodeRefused
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
