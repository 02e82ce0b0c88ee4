package rpz

import (
	"errors"
	"fmt"
	"net/netip"
)

// Policy is a zone with what the operator says of it.
type Policy struct {
	Name        string // in metrics and log lines
	Tag         int    // in figures, below TagsMax: the same for a name as long as the process lives, and of no other
	Zone        *Zone  // nil: nothing is known of it yet, or not any more: it has no triggers
	Override    Override
	CNAME       []byte // OverrideCNAME: where to, wire form; it may begin with an asterisk
	BreakDNSSEC bool   // signed answers are changed too for clients that ask for signatures
	Log         bool
}

// Set is the zones in force, in order.
type Set struct {
	policies []Policy
	answers  bool           // some zone has triggers that an answer may bring into play
	waits    [ZonesMax]bool // a zone before this one has triggers about the answer to the name itself
	exacting bool           // some zone leaves signed answers alone
}

// NewSet puts zones in order. Errors: too many, a name that stands twice, an override without its name.
func NewSet(policies []Policy) (*Set, error) {
	if len(policies) > ZonesMax {
		return nil, fmt.Errorf("%d response policy zones, at most %d are allowed", len(policies), ZonesMax)
	}
	s := &Set{policies: policies}
	seen, waits := map[string]bool{}, false
	for i := range policies {
		p := &policies[i]
		if seen[p.Name] {
			return nil, fmt.Errorf("response policy zone %q stands twice", p.Name)
		}
		seen[p.Name] = true
		var n Name
		if p.Override == OverrideCNAME && !n.Set(p.CNAME) {
			return nil, errors.New("response policy zone " + p.Name + ": an override by CNAME without a name")
		}
		s.waits[i] = waits
		if p.Zone != nil {
			s.answers = s.answers || p.Zone.answers() || p.Zone.Count(QName) != 0
			s.exacting = s.exacting || !p.BreakDNSSEC
			waits = waits || p.Zone.answers() && p.Override != Disabled
		}
	}
	return s, nil
}

// Len is how many zones there are.
func (s *Set) Len() int { return len(s.policies) }

// Policy is that of zone i.
func (s *Set) Policy(i int) *Policy { return &s.policies[i] }

// Asker is who asks, and how.
type Asker struct {
	Client netip.Addr // invalid: not known
	DO     bool
	Later  bool // of Judge: Query has said so
}

// Match is the trigger that counts for a query.
type Match struct {
	Zone    int
	Trigger Trigger
	Action  Action
	data    uint32 // Local: the first record, 0 where an override has taken its place

	step int // how many CNAMEs of the answer come before it
}

// Verdict is what all zones together say.
type Verdict struct {
	Match    Match
	Later    bool   // of Query: the answer has to be seen first: a zone before the one that fits is about answers, or it may be signed
	Disabled uint32 // mask of the zones that fit and are disabled; of Judge those that Query has not told already
}

// Query looks for the trigger that counts for a query that nobody has been asked about yet: client-IP and QNAME. name must be Set.
func (s *Set) Query(name *Name, asker *Asker) (v Verdict) {
	for i := range s.policies {
		p := &s.policies[i]
		r, trigger, ok := p.first(name, asker)
		switch {
		case !ok:
		case p.Override == Disabled:
			v.Disabled |= 1 << i
		case s.waits[i] || asker.DO && !p.BreakDNSSEC:
			return Verdict{Later: true}
		default:
			v.Match = p.match(i, trigger, r)
			return v
		}
	}
	return v
}

// first is the rule of a zone for a query before anybody is asked.
func (p *Policy) first(name *Name, asker *Asker) (r rule, t Trigger, ok bool) {
	if p.Zone == nil {
		return rule{}, 0, false
	}
	if r, _, ok = p.Zone.address(ClientIP, asker.Client); ok {
		return r, ClientIP, true
	}
	r, _, ok = p.Zone.names[QName].lookup(name)
	return r, QName, ok
}

// match is a trigger with its action.
func (p *Policy) match(zone int, t Trigger, r rule) Match {
	m := Match{Zone: zone, Trigger: t, Action: p.Override.actionOf(r.action), data: r.data}
	if p.Override == OverrideCNAME {
		m.data = 0
	}
	return m
}

// Answers reports whether answers have to be judged at all.
func (s *Set) Answers() bool { return s.answers }
