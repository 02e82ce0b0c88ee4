package worker

import (
	"cmp"
	"net/netip"
	"slices"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/limit"
)

// Limits is what an operator decides about who may ask how much.
type Limits = limit.Config

// HeldBack is what became of a query or a reply that a limit held back.
type HeldBack uint8

const (
	// HeldDropped got nothing; over TCP the connection was closed.
	HeldDropped HeldBack = iota
	// HeldRefused got REFUSED.
	HeldRefused
	// HeldTruncated got TC, which a client that exists follows with a query over TCP.
	HeldTruncated
	// HeldBadCookie got BADCOOKIE, with a cookie to ask again with.
	HeldBadCookie
	heldBacks
)

// HeldBacks is how many there are: Stats.Limited is indexed by kind of limit and HeldBack.
const HeldBacks = int(heldBacks)

// String returns the value of the `outcome` label in metrics.
func (h HeldBack) String() string {
	return [...]string{"dropped", "refused", "truncated", "badcookie"}[h]
}

// LimitKinds is how many limits there are, and LimitKind names one by its number.
const LimitKinds = limit.KindCount

// LimitKind returns the value of the `limit` label in metrics.
func LimitKind(i int) string { return limit.Kind(i).String() }

// LimitedSource is a source that is being limited, or a network that is not told all that it asks for.
type LimitedSource struct {
	Limit   string // as in metrics
	Prefix  netip.Prefix
	Replies bool // replies are held back, not queries
}

// setLimits applies the limits, those of views too. Without memory for their table there are none.
func (w *worker) setLimits(s *Snapshot) {
	cfg := &s.Limits
	limited := cfg.Any()
	var groups []limit.Group
	for _, v := range w.active.views {
		if v.spec.Limits != nil {
			groups = append(groups, limit.Group{Number: v.tag, Config: v.spec.Limits})
			limited = limited || v.spec.Limits.Any()
		}
	}
	if !limited {
		if w.limiter != nil {
			if err := w.limiter.Close(); err != nil {
				w.cfg.Log.Error("table of limits not unmapped", "worker", w.index, "error", err)
			}
			w.limiter = nil
			w.stats.LimitedSources = 0
			w.limited.Store(nil)
		}
		return
	}
	if w.limiter != nil {
		if err := w.limiter.Set(cfg, groups, w.cfg.Workers); err != nil {
			w.cfg.Log.Error("limits stay as they were", "worker", w.index, "error", err)
		}
		return
	}
	limiter, err := limit.New(cfg, groups, w.cfg.Workers)
	if err != nil {
		w.cfg.Log.Error("no limits", "worker", w.index, "error", err)
		return
	}
	w.limiter = limiter
}

// overLimit reports whether a source has asked for more than it may, and then deals with the query in hand.
func (w *worker) overLimit(from *origin) bool {
	q, cfg := limit.Query{Path: from.path, TCP: from.tcp, Proven: w.asked.proven()}, w.active.limits
	v := from.view
	if v != nil && v.spec.Limits != nil {
		q.Group, cfg = v.tag, v.spec.Limits
	}
	kind, ok := w.limiter.Admit(&q, w.now)
	if ok {
		return false
	}
	if v != nil {
		v.stats.Limited++
	}
	w.stats.Limited[kind][w.holdBack(cfg, from)]++
	return true
}

// holdBack deals with a query that is over a limit.
func (w *worker) holdBack(cfg *Limits, from *origin) HeldBack {
	switch {
	case from.tcp && cfg.Action == limit.Drop:
		w.closeStream(from.conn)
		return HeldDropped
	case from.tcp:
		w.sendError(from, wire.RCodeRefused, wire.ReasonRate)
		return HeldRefused
	case cfg.CookieOver && w.asked.cookie.Stamp != 0 && !w.asked.proven(): // RFC 7873 §5.3
		w.sendError(from, wire.RCodeBadCookie, wire.ReasonRate)
		return HeldBadCookie
	case cfg.Action == limit.Truncate || slips(&w.slipped, cfg.Slip):
		w.send(from, &truncated, 0)
		return HeldTruncated
	case cfg.Action == limit.Refuse:
		w.sendError(from, wire.RCodeRefused, wire.ReasonRate)
		return HeldRefused
	}
	return HeldDropped
}

// truncated is an answer that is asked for again over TCP.
var truncated = wire.Answer{Flags: wire.FlagTC, Extended: wire.ReasonRate}

// slips counts what is held back, and reports of every so many-th that it gets TC.
func slips(count *int, every int) bool {
	if every == 0 {
		return false
	}
	if *count++; *count < every {
		return false
	}
	*count = 0
	return true
}

// withhold reports whether a reply over UDP to the client of w.client was held back, because its network has been told the like too often. Who has
// proven by a cookie that it is where it asks from is told all. a is nil for an error.
func (w *worker) withhold(to *origin, a *wire.Answer, rcode uint16) bool {
	if !w.limiter.Replies() || w.asked.proven() {
		return false
	}
	r := limit.Reply{Path: to.path, Kind: limit.Errors}
	if name := len(w.client.Question) - 4; name > 0 {
		question := w.client.Question
		switch {
		case rcode == wire.RCodeNXDomain && a != nil:
			r.Kind, r.Name = limit.NXDomains, a.Zone(question[:name])
		case rcode == wire.RCodeNoError:
			r.Kind, r.Name, r.Type = limit.Answers, question[:name], uint16(question[name])<<8|uint16(question[name+1])
		}
	}
	if w.limiter.Tell(&r, w.now) {
		return false
	}
	if slips(&w.repliesSlipped, w.active.limits.ReplySlip) {
		w.stats.Limited[r.Kind][HeldTruncated]++
		w.send(to, &truncated, 0)
	} else {
		w.stats.Limited[r.Kind][HeldDropped]++
	}
	return true
}

// lookAtLimited finds out who is being limited, now and then, and leaves a report for whoever writes the log when that has changed.
func (w *worker) lookAtLimited() {
	if !w.limiter.Look(w.now) {
		return
	}
	w.stats.LimitedSources = uint64(w.limiter.Offenders())
	list := []LimitedSource{}
	for _, o := range w.limiter.Report() {
		list = append(list, LimitedSource{Limit: o.Kind.String(), Prefix: o.Prefix, Replies: o.Kind >= limit.Answers})
	}
	w.limited.Store(&list)
}

// Limited returns who is being limited by any worker: each once, in order.
func (g *Group) Limited() []LimitedSource {
	var all []LimitedSource
	for _, w := range g.workers {
		if w == nil {
			continue
		}
		if list := w.limited.Load(); list != nil {
			all = append(all, *list...)
		}
	}
	slices.SortFunc(all, func(a, b LimitedSource) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return slices.Compact(all)
}
