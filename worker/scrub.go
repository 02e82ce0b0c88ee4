package worker

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inflight"
)

// scrub brings w.answer, what upstreams have to say to what a slot asks, into the form in which it is kept and told. It reports whether the slot goes
// on with another question instead. useless: it is no answer that helps.
func (w *worker) scrub(slot uint32, s *inflight.Slot, p *pool, useless bool) (goesOn bool) {
	if !useless {
		w.trim(s)
		if w.active.rebinding != nil && wire.KeyClass(s.KeyBytes()) == wire.ClassINET && w.active.rebinding.Guard(&w.answer, wire.KeyName(s.KeyBytes())) {
			w.stats.Scrubs.Rebinding++
		}
		if w.active.nxdomainCut {
			w.deny(s)
		}
	}
	return (w.active.dns64 != nil || s.Step != stepOwn) && w.translate(slot, s, p, useless)
}

// trim takes out what does not answer the question. An answer that cannot be put together without is none.
func (w *worker) trim(s *inflight.Slot) {
	a, strange, ok := w.trimmed.Trim(&w.answer, w.questionOf(s))
	if !strange {
		return
	}
	w.stats.Scrubs.Trimmed++
	if !ok {
		w.spoil(wire.RCodeServFail)
		return
	}
	a.Told, a.Extended = w.answer.Told, w.answer.Extended
	w.answer = *a
}

// spoil makes w.answer an error without records.
func (w *worker) spoil(rcode uint16) {
	w.answer = wire.Answer{Flags: w.answer.Flags&^wire.RCodeMask | rcode&wire.RCodeMask, RCode: rcode}
}

// Scrubs counts what was changed in answers of upstreams, or made of them. 64-bit words only, as in Stats.
type Scrubs struct {
	Trimmed    uint64 // records that did not answer the question were left out
	Rebinding  uint64 // an address from inside for a name that may not have it: refused or emptied
	Translated uint64 // AAAA records were made from A records
	Cut        uint64 // queries answered by the NXDOMAIN of a name above
	Reversed   uint64 // reverse names of such addresses were looked up as those of the IPv4 address
}
