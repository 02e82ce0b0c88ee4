package limit

import "net/netip"

// Offender is a source that is being limited, or a network.
type Offender struct {
	Kind    Kind
	Prefix  netip.Prefix
	Refused uint64 // queries or replies since it began
}

// watch remembers who is limited.
type watch struct {
	list    [offendersMax]offence
	count   int // of those in use
	changed bool
	lookAt  int64
}

// offence is one offender; tag 0: nobody.
type offence struct {
	tag     uint64
	source  source
	refused uint64
	last    int64 // ns
	bits    uint8
	kind    Kind
}

// add notes that a query or a reply was held back.
func (w *watch) add(tag uint64, k Kind, s source, bits int, now int64) {
	free := -1
	for i := range w.list {
		switch o := &w.list[i]; {
		case o.tag == tag:
			o.refused, o.last = o.refused+1, now
			return
		case o.tag == 0:
			free = i
		}
	}
	if free < 0 {
		return // it is in the figures
	}
	w.list[free] = offence{tag: tag, source: s, bits: uint8(bits), kind: k, refused: 1, last: now}
	w.count++
	w.changed = true
}

// Offenders is how many sources are limited at the last look, at most offendersMax.
func (l *Limiter) Offenders() int { return l.offences.count }

// Look finds out, at most once a second, whether somebody is no longer limited, and reports whether Report says something new.
func (l *Limiter) Look(now int64) bool {
	w := &l.offences
	if now < w.lookAt {
		return false
	}
	w.lookAt = now + look
	for i := range w.list {
		if o := &w.list[i]; o.tag != 0 && now-o.last >= quiet {
			*o = offence{}
			w.count--
			w.changed = true
		}
	}
	changed := w.changed
	w.changed = false
	return changed
}

// Report returns who is being limited. It allocates.
func (l *Limiter) Report() []Offender {
	var out []Offender
	for _, o := range l.offences.list {
		if o.tag != 0 {
			out = append(out, Offender{Kind: o.kind, Prefix: o.source.prefix(int(o.bits)), Refused: o.refused})
		}
	}
	return out
}
