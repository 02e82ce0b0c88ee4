package policy

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/gaissmai/bart"

	"secure-dns-proxy/worker/subnet"
)

// Policy is a set of rules, compiled.
type Policy struct {
	rules  []rule
	chains [ChainCount + 1]chain
	nodes  []node

	// What nodes and rules refer to by number.
	numbers   [][]uint16
	sets      []*SetRef
	patterns  []pattern
	prefixes  []*bart.Lite
	rates     []Rate // of all clients: State.buckets
	bySource  []Rate // State.sources
	schedules []Schedule
	views     *views // nil: none
	tells     bool
	tailors   bool
	deepest   int // labels of the longest name that is compared by hash; labelsMax with sets, which may be exchanged
}

// rule is a rule as it is carried out.
type rule struct {
	views  uint64 // as in head
	node   int32
	rate   int32 // in rates, or with Action.PerSource in bySource; -1: none
	action Action
	name   string
	chain  Chain
	part   Chain // in whose index it is: that, or ChainTold
}

// node is one selector or one of All, Any and Not, followed by what is in it.
type node struct {
	kind      Kind
	op        Op
	want      bool
	end       int32 // number of the node after this one and all that is in it
	at        int32 // what it refers to
	low, high uint32
	tags      uint64
}

// Compile makes a policy of rules for each of so many workers, who share what a rate of all clients together allows. Errors name the rule; all
// are returned, joined.
func Compile(rules []Rule, groups []View, workers int) (*Policy, error) {
	if len(rules) > RulesMax {
		return nil, fmt.Errorf("%d rules: at most %d", len(rules), RulesMax)
	}
	p := &Policy{deepest: -1}
	var errs []error
	if len(groups) != 0 {
		var err error
		if p.views, err = newViews(groups); err != nil {
			errs = append(errs, err)
		}
	}
	type identity struct {
		chain Chain
		name  string
	}
	seen, told := map[identity]bool{}, false
	for i := range rules {
		r := &rules[i]
		if id := (identity{r.Chain, r.Name}); r.Name == "" || seen[id] {
			errs = append(errs, fmt.Errorf("rule %q of chain %s: has no name, or one that stands twice", r.Name, r.Chain))
		} else {
			seen[id] = true
		}
		part := r.Chain
		if told = told || r.Chain == ChainResponse && r.OfClient(); told && r.Chain == ChainResponse {
			part = ChainTold
		}
		if err := p.add(r, part); err != nil {
			errs = append(errs, fmt.Errorf("rule %q of chain %s: %w", r.Name, r.Chain, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i := range p.rates {
		r := &p.rates[i]
		r.PerSecond, r.Burst = r.PerSecond/float64(workers), max(1, r.Burst/float64(workers))
	}
	for c := range ChainCount + 1 {
		p.chains[c] = p.index(c, rules)
	}
	return p, nil
}

// add appends one rule of a part.
func (p *Policy) add(r *Rule, part Chain) error {
	if r.Chain >= ChainCount {
		return errors.New("no such chain")
	}
	out := rule{views: ^uint64(0), node: int32(len(p.nodes)), rate: -1, action: r.Action, name: r.Name, chain: r.Chain, part: part}
	if r.Views != nil {
		out.views = 0
		for _, v := range r.Views {
			if v < 0 || v >= ViewsMax {
				return fmt.Errorf("view %d: 0 to %d", v, ViewsMax-1)
			}
			out.views |= 1 << v
		}
	}
	if err := r.Action.validate(r.Chain); err != nil {
		return err
	}
	if a := &r.Action; part == ChainTold && (!a.Do.allowed(part) || a.Do == LimitTTL && a.Low != 0) {
		return fmt.Errorf("%s is about what is kept, which is the same for all clients: it has to stand before the first rule that looks at one, and a least TTL, too", a.Do)
	}
	switch a := &r.Action; {
	case a.Do == Limit && a.PerSource:
		out.rate = int32(len(p.bySource))
		p.bySource = append(p.bySource, a.Rate)
	case a.Do == Limit || a.Do == Log:
		out.rate = int32(len(p.rates))
		p.rates = append(p.rates, a.Rate)
	case a.Do == TellSubnet:
		p.tailors, p.tells = true, p.tells || a.Subnet.Mode != subnet.Strip
	case a.Do == SetOption || a.Do == StripOption:
		p.tailors = p.tailors || r.Chain != ChainResponse
	}
	first := len(p.nodes)
	if err := p.match(&r.Match, r.Chain, 0); err != nil {
		return err
	}
	if n := len(p.nodes) - first; n > NodesMax {
		return fmt.Errorf("%d selectors: at most %d", n, NodesMax)
	}
	p.rules = append(p.rules, out)
	return nil
}

// match appends the nodes of m.
func (p *Policy) match(m *Match, c Chain, depth int) error {
	if depth > DepthMax {
		return fmt.Errorf("matches within matches: at most %d deep", DepthMax)
	}
	at := len(p.nodes)
	p.nodes = append(p.nodes, node{op: m.Op})
	switch {
	case m.Op == Is:
		n, err := p.selector(&m.Selector, c)
		if err != nil {
			return err
		}
		p.nodes[at] = n
	case m.Op == Not && len(m.Of) != 1:
		return errors.New("not takes one match")
	case m.Op == Any && len(m.Of) == 0:
		return errors.New("any takes at least one match")
	}
	for i := range m.Of {
		if err := p.match(&m.Of[i], c, depth+1); err != nil {
			return err
		}
	}
	p.nodes[at].end = int32(len(p.nodes))
	return nil
}

// selector makes the node of s.
func (p *Policy) selector(s *Selector, c Chain) (node, error) {
	n := node{kind: s.Kind, low: s.Low, high: s.High, want: s.Want, tags: s.Tags}
	if err := s.fits(c); err != nil {
		return n, err
	}
	switch s.Kind {
	case QName, Suffix:
		kind := SetNames
		if s.Kind == Suffix {
			kind = SetSuffixes
		}
		set := NewSet(kind, len(s.Names))
		for _, name := range s.Names {
			set.AddName(name)
		}
		p.deepest = max(p.deepest, set.deepest)
		n.kind, n.at = InSet, int32(len(p.sets))
		p.sets = append(p.sets, NewSetRef("", set))
	case InSet:
		if s.Set.Set().Kind() != SetPrefixes {
			p.deepest = labelsMax
		}
		n.at = int32(len(p.sets))
		p.sets = append(p.sets, s.Set)
	case Regex:
		n.at = int32(len(p.patterns))
		p.patterns = append(p.patterns, pattern{s.Pattern})
	case QType, QClass, Opcode, RCode, EDNSOption:
		n.at = int32(len(p.numbers))
		p.numbers = append(p.numbers, slices.Clone(s.Numbers))
	case Source, Destination:
		table := new(bart.Lite)
		for _, prefix := range s.Prefixes {
			table.Insert(prefix)
		}
		n.at = int32(len(p.prefixes))
		p.prefixes = append(p.prefixes, table)
	case Chance:
		n.high = uint32(min(s.Share*(1<<32), math.MaxUint32))
		n.want = s.Share >= 1
	case OverRate:
		n.at = int32(len(p.rates))
		p.rates = append(p.rates, s.Rate)
	case OverSourceRate:
		n.at = int32(len(p.bySource))
		p.bySource = append(p.bySource, s.Rate)
	case PoolAvailable, PoolOutstanding:
		n.at = int32(s.Pool)
	case Clock:
		n.at = int32(len(p.schedules))
		p.schedules = append(p.schedules, s.Schedule)
	}
	return n, nil
}

// fits reports what is wrong with a selector, or with its being in chain c.
func (s *Selector) fits(c Chain) error {
	if c == ChainResponse && s.Kind.ofQuery() {
		return fmt.Errorf("looks at the query (%s), of which no more is kept until its answer comes than who asks, over which protocol, from where, and its tags", s.Kind)
	}
	if (c == ChainQuery || c == ChainMiss) && s.Kind.ofAnswer() {
		return fmt.Errorf("looks at an answer (%s), and there is none yet", s.Kind)
	}
	switch s.Kind {
	case InSet:
		if s.Set == nil {
			return errors.New("no set")
		}
	case Regex:
		if s.Pattern == nil {
			return errors.New("no pattern")
		}
	case QName, Suffix:
		if len(s.Names) == 0 {
			return errors.New("no names")
		}
	case Chance:
		if !(s.Share >= 0 && s.Share <= 1) {
			return fmt.Errorf("probability %v: 0 to 1", s.Share)
		}
	case OverRate:
		return s.Rate.validate(false)
	case OverSourceRate:
		return s.Rate.validate(true)
	case Clock:
		if z := s.Schedule; z.Zone == nil || z.From < 0 || z.From > 1439 || z.To < 0 || z.To > 1440 || z.Days == 0 {
			return errors.New("no time of the week")
		}
	}
	if s.Low > s.High && s.Kind.ranges() {
		return fmt.Errorf("%s: %d to %d is no range", s.Kind, s.Low, s.High)
	}
	return nil
}

// validate reports what is wrong with a rate.
func (r *Rate) validate(bySource bool) error {
	if !(r.PerSecond > 0 && r.PerSecond <= RateMax) || !(r.Burst >= 1 && r.Burst <= RateMax) {
		return fmt.Errorf("%v a second, at once %v: up to %d, and at least 1 at once", r.PerSecond, r.Burst, RateMax)
	}
	if !bySource {
		return nil
	}
	if r.Bits4 < 1 || r.Bits4 > 32 || r.Bits6 < 1 || r.Bits6 > 128 {
		return fmt.Errorf("prefixes of %d and %d bits: 1 to 32 and 1 to 128", r.Bits4, r.Bits6)
	}
	if bits.OnesCount(uint(r.Sources)) != 1 || r.Sources < sourceWays || r.Sources > SourcesMax {
		return fmt.Errorf("%d sources: a power of two, %d to %d", r.Sources, sourceWays, SourcesMax)
	}
	return nil
}

// validate reports what is wrong with an action in a chain.
func (a *Action) validate(c Chain) error {
	if !a.Do.allowed(c) {
		return fmt.Errorf("%s has no meaning in chain %s", a.Do, c)
	}
	switch a.Do {
	case Delay:
		if a.Wait <= 0 || a.Wait > DelayMax {
			return fmt.Errorf("delay of %v: up to %v", a.Wait, DelayMax)
		}
	case LimitTTL:
		if a.Low > a.High {
			return fmt.Errorf("TTL of %d to %d", a.Low, a.High)
		}
	case Log:
		return a.Rate.validate(false)
	case TellSubnet:
		if a.Subnet == nil {
			return errors.New("says nothing of networks")
		}
		return a.Subnet.Validate()
	case SetOption, StripOption:
		return a.validateEdit(c)
	case Limit:
		if a.Over != Drop && a.Over != Answer && a.Over != Truncate {
			return fmt.Errorf("what is over the limit cannot be treated with %s", a.Over)
		}
		return a.Rate.validate(a.PerSource)
	}
	return nil
}
