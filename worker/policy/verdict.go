package policy

import (
	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/subnet"
)

// Outcome is what a chain came to.
type Outcome uint8

const (
	Pass Outcome = iota // no final rule matched, or one that lets pass
	Dropped
	Answered  // Verdict.Answer, or RCode where that is nil
	Truncated // TC
)

// Verdict is what a chain decided. The changes stand beside any outcome.
type Verdict struct {
	Outcome  Outcome
	RCode    uint16
	Extended uint16 // of an answer without records, or where another answer has none; wire.EDENone: none
	Answer   *wire.Answer

	Pool, Tee           int16 // numbers of pools; -1: none
	SkipCache           bool
	NoRecurse, NoVerify bool
	Limited             bool         // TTLLow and TTLHigh bound
	TTLLow, TTLHigh     uint32       // seconds
	Wait                int64        // ns
	Subnet              *subnet.Spec // nil: what the pool says
	Edits               Edits
}

// reset makes v the verdict of a chain without a rule that matches.
func (v *Verdict) reset() {
	v.Outcome, v.RCode, v.Extended, v.Answer = Pass, 0, wire.EDENone, nil
	v.Pool, v.Tee = -1, -1
	v.SkipCache, v.NoRecurse, v.NoVerify, v.Limited = false, false, false, false
	v.TTLLow, v.TTLHigh, v.Wait, v.Subnet = 0, 0, 0, nil
	v.Edits.Reset()
}

// Run looks at the rules of a chain in their order until a final one matches. q.Tags may change.
func (p *Policy) Run(c Chain, q *Query, s *State, v *Verdict) {
	v.reset()
	chain := &p.chains[c]
	found := p.candidates(chain, q, s)
	all, tags := s.untagged[:chain.words], q.Tags
	if chain.tagged != nil {
		copy(all, found)
		chain.withTags(found, all, 0, tags)
	}
	last := int32(-1)
	for word := range found {
		for bits := found[word]; bits != 0; {
			at := word*64 + first(bits)
			h := &chain.heads[at]
			bits &= bits - 1
			if h.rule == last || h.views != ^uint64(0) && (q.View < 0 || h.views&(1<<q.View) == 0) {
				continue
			}
			last = h.rule
			if !p.holds(h, q, s) {
				continue
			}
			s.hits[h.rule]++
			if p.act(&p.rules[h.rule], h.rule, q, s, v) {
				return
			}
			if q.Tags != tags && chain.tagged != nil && at+1 < len(chain.heads) {
				tags = q.Tags
				chain.withTags(found, all, at+1, tags)
				bits = found[word] &^ (2<<(at%64) - 1)
			}
		}
	}
}

// holds reports whether the match of a rule does.
func (p *Policy) holds(h *head, q *Query, s *State) bool {
	switch {
	case h.node < 0:
		return true
	case h.alone:
		return p.selects(&p.nodes[h.node], q, s)
	}
	return p.matches(h.node, q, s)
}

// act carries out an action, and reports whether it is final.
func (p *Policy) act(r *rule, at int32, q *Query, s *State, v *Verdict) (final bool) {
	a := &r.action
	switch a.Do {
	case Allow:
		return true
	case Drop, Answer, Truncate:
		return v.end(a, a.Do, q)
	case Route:
		v.Pool = int16(a.Pool)
		return !a.Continue
	case Delay:
		v.Wait += int64(a.Wait)
	case SkipCache:
		v.SkipCache = true
	case Extend:
		v.Extended = a.Extended
	case LimitTTL:
		if !v.Limited {
			v.Limited, v.TTLLow, v.TTLHigh = true, a.Low, a.High
		} else {
			v.TTLLow, v.TTLHigh = max(v.TTLLow, a.Low), min(v.TTLHigh, a.High)
		}
	case SetTags:
		q.Tags = q.Tags&^a.Unset | a.Set
	case NoRecurse:
		v.NoRecurse = true
	case NoVerify:
		v.NoVerify = true
	case Log:
		if !s.buckets[r.rate].over(&p.rates[r.rate], q.Now) {
			s.Log.note(int(at), q)
		}
	case Tee:
		v.Tee = int16(a.Pool)
	case TellSubnet:
		v.Subnet = a.Subnet
	case SetOption, StripOption:
		v.Edits.add(a)
	case Limit:
		if a.PerSource && s.sources[r.rate].over(&p.bySource[r.rate], q.Source.Addr(), q.Now) ||
			!a.PerSource && s.buckets[r.rate].over(&p.rates[r.rate], q.Now) {
			return v.end(a, a.Over, q)
		}
	}
	return false
}

// end makes a final outcome, unless what is to be done cannot be done to this query.
func (v *Verdict) end(a *Action, do Do, q *Query) bool {
	switch {
	case do == Drop:
		v.Outcome = Dropped
	case do == Truncate && q.TCP:
		return false
	case do == Truncate:
		v.Outcome = Truncated
		v.extend(a)
	case a.Records != nil:
		if q.Class != wire.ClassINET || q.Flags&wire.OpcodeMask != 0 { // records are of class IN, and answer queries
			return false
		}
		if v.Answer = a.Records.reply(q.Type); v.Answer == nil {
			return false
		}
		v.Outcome = Answered
	default:
		v.Outcome, v.RCode = Answered, a.RCode
		v.extend(a)
	}
	return true
}

// extend takes over the extended error of a, if it has one; else that of an earlier rule stays.
func (v *Verdict) extend(a *Action) {
	if a.Extended != wire.EDENone {
		v.Extended = a.Extended
	}
}
