package policy

// chain is the rules of one chain with an index of them.
type chain struct {
	heads []head // of the rules of the chain, in order; a rule has one for each alternative of its match
	words int    // of a bitmap of them; 0: no rules

	// Without an index general holds all. Rules that need one of certain types or names stand in types and names only.
	general []uint64
	types   map[uint16][]uint64
	names   map[uint64][]uint64 // by hash of a name: rules that need it, or a name below it
	exact   map[uint64][]uint64 // rules that need just this name
	deepest int                 // labels of the longest of names
	indexed bool

	axes    []*axis
	ladders []*ladder
	tagged  []uint64   // heads that need a tag; nil: none
	tags    [][]uint64 // by tag: those that it will do for; nil: none
}

// head is what is looked at of a rule that may match: 24 bytes, so that many rules are few lines of memory.
type head struct {
	views uint64 // bit i: the view i; all ones: any client
	node  int32  // its match; -1: everything
	rule  int32  // number in Policy.rules
	alone bool   // node is a single selector
}

// index makes a chain of its rules.
func (p *Policy) index(c Chain, rules []Rule) chain {
	out := chain{types: map[uint16][]uint64{}, names: map[uint64][]uint64{}, exact: map[uint64][]uint64{}}
	literals := out.split(p, c, rules, true)
	if len(out.heads) > RulesMax {
		literals = out.split(p, c, rules, false)
	}
	out.words = (len(out.heads) + 63) / 64
	out.general = make([]uint64, out.words)
	out.indexed = len(out.heads) >= indexMin
	var wants [KindCount][]want
	for bit := range out.heads {
		var n needs
		if out.indexed {
			n = needsOf(literals[bit])
			out.note(&wants, bit, literals[bit])
		}
		switch n.cost() {
		case 0:
			for _, name := range n.exact {
				set(out.exact, hashName(name), bit, out.words)
			}
		case 1:
			for _, name := range n.suffixes {
				set(out.names, hashName(name), bit, out.words)
				out.deepest = max(out.deepest, labelsOf(name))
			}
		case 2:
			for _, t := range n.types {
				set(out.types, t, bit, out.words)
			}
		default:
			out.general[bit/64] |= 1 << (bit % 64)
		}
	}
	out.rank(&wants)
	return out
}

// split makes a head for each alternative of each rule, or for each rule, and returns what they need.
func (c *chain) split(p *Policy, of Chain, rules []Rule, alternately bool) (literals [][]literal) {
	c.heads = nil
	for i := range rules {
		if p.rules[i].part != of {
			continue
		}
		r, m := &p.rules[i], &rules[i].Match
		h := head{views: r.views, node: r.node, rule: int32(i), alone: p.nodes[r.node].op == Is}
		if m.Op == All && len(m.Of) == 0 {
			h.node = -1
		}
		list := alternatives(m, false)
		if !alternately && len(list) > 1 {
			list = [][]literal{{}}
		}
		for _, l := range list {
			c.heads, literals = append(c.heads, h), append(literals, l)
		}
	}
	return literals
}

// note takes in what a head wants beside types and names.
func (c *chain) note(wants *[KindCount][]want, bit int, literals []literal) {
	tagged := false
	for _, l := range literals {
		switch k := l.selector.Kind; k {
		case QName, Suffix:
		case EDNSOption:
			wants[EDNS] = append(wants[EDNS], want{bit, literal{&withOPT, false}})
		case Tagged:
			if !tagged { // of two that are wanted together the first will do
				tagged = true
				c.tag(bit, l.selector.Tags)
			}
		default:
			wants[k] = append(wants[k], want{bit, l})
		}
	}
}

// withOPT is what a query with an option has.
var withOPT = Selector{Kind: EDNS, Want: true}

// tag has a head looked at only if the query has one of the tags.
func (c *chain) tag(bit int, tags uint64) {
	if c.tags == nil {
		c.tags = make([][]uint64, TagsMax)
		c.tagged = make([]uint64, c.words)
	}
	c.tagged[bit/64] |= 1 << (bit % 64)
	for ; tags != 0; tags &= tags - 1 {
		t := first(tags)
		if c.tags[t] == nil {
			c.tags[t] = make([]uint64, c.words)
		}
		c.tags[t][bit/64] |= 1 << (bit % 64)
	}
}

// rank makes the axes that are worth it. What is found by its type is not looked for by that again.
func (c *chain) rank(wants *[KindCount][]want) {
	for k := range KindCount {
		switch w := wants[k]; {
		case len(w) < axisMin || k == QType && len(c.names)+len(c.exact) == 0:
		case k.number():
			if a := newAxis(k, w, c.words, len(c.heads)); a != nil {
				c.axes = append(c.axes, a)
			}
		default:
			if l := newLadder(k, w, c.words, len(c.heads)); l != nil {
				c.ladders = append(c.ladders, l)
			}
		}
	}
}

// set sets a bit of a bitmap.
func set[K comparable](maps map[K][]uint64, key K, bit, words int) {
	if maps[key] == nil {
		maps[key] = make([]uint64, words)
	}
	maps[key][bit/64] |= 1 << (bit % 64)
}

func labelsOf(name []byte) int {
	n := 0
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		n++
	}
	return n
}

// candidates fills in s.candidate: a bit for each head of the chain that may match, whatever tags the query has.
func (p *Policy) candidates(c *chain, q *Query, s *State) []uint64 {
	found := p.named(c, q, s)
	if len(c.axes)+len(c.ladders) == 0 || none(found) {
		return found
	}
	for _, a := range c.axes {
		a.rules(found, q)
	}
	for _, l := range c.ladders {
		l.rules(found, q)
	}
	return found
}

// named is candidates by the type and the name that is asked for.
func (p *Policy) named(c *chain, q *Query, s *State) []uint64 {
	found := s.candidate[:c.words]
	copy(found, c.general)
	if !c.indexed || q.Name == nil {
		return found // what asks for a type or a name does not match
	}
	if len(c.types) != 0 {
		join(found, c.types[q.Type])
	}
	if len(c.names)+len(c.exact) == 0 {
		return found
	}
	if !q.hashed {
		q.hash(p.deepest)
	}
	if len(c.exact) != 0 {
		join(found, c.exact[q.hashes[q.labels]])
	}
	if len(c.names) != 0 {
		for n := 0; n <= min(q.labels, c.deepest); n++ {
			join(found, c.names[q.hashes[n]])
		}
	}
	return found
}

// withTags leaves of the heads from a number on those that may match a query with these tags. all is what candidates found.
func (c *chain) withTags(found, all []uint64, from int, tags uint64) {
	for word := from / 64; word < c.words; word++ {
		allowed := ^c.tagged[word]
		for t := tags; t != 0; t &= t - 1 {
			if of := c.tags[first(t)]; of != nil {
				allowed |= of[word]
			}
		}
		keep := uint64(0)
		if word == from/64 {
			keep = 1<<(from%64) - 1
		}
		found[word] = found[word]&keep | all[word]&allowed&^keep
	}
}

func none(bits []uint64) bool {
	var any uint64
	for _, w := range bits {
		any |= w
	}
	return any == 0
}

func join(into, bits []uint64) {
	for i, w := range bits {
		into[i] |= w
	}
}
