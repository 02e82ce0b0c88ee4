package policy

// chain is the rules of one chain with an index of them.
type chain struct {
	heads []head // of the rules of the chain, in order
	words int    // of a bitmap of them; 0: no rules

	// Without an index general holds all. Rules that need one of certain types or names stand in types and names only.
	general []uint64
	types   map[uint16][]uint64
	names   map[uint64][]uint64 // by hash of a name: rules that need it, or a name below it
	exact   map[uint64][]uint64 // rules that need just this name
	deepest int                 // labels of the longest of names
	indexed bool
}

// head is what is looked at of every rule that may match: 24 bytes, so that many rules are few lines of memory.
type head struct {
	views uint64 // bit i: the view i; all ones: any client
	node  int32  // its match; -1: everything
	rule  int32  // number in Policy.rules
	alone bool   // node is a single selector
}

// needs says what a match cannot do without: nil types and nil names for nothing that is known.
type needs struct {
	types    []uint16
	suffixes [][]byte
	exact    [][]byte
}

// needsOf looks at a match. A list of types is preferred over names: it is cheaper to look up.
func needsOf(m *Match) needs {
	switch m.Op {
	case Is:
		switch m.Selector.Kind {
		case QType:
			return needs{types: m.Selector.Numbers}
		case QName:
			return needs{exact: m.Selector.Names}
		case Suffix:
			return needs{suffixes: m.Selector.Names}
		}
	case All:
		var best needs
		for i := range m.Of {
			n := needsOf(&m.Of[i])
			if best.cost() > n.cost() {
				best = n
			}
		}
		return best
	case Any:
		if len(m.Of) == 1 {
			return needsOf(&m.Of[0])
		}
	}
	return needs{}
}

// cost is how willingly a need is indexed: lists of names narrow down more than types. Without one a rule is always looked at.
func (n *needs) cost() int {
	switch {
	case n.exact != nil:
		return 0
	case n.suffixes != nil:
		return 1
	case n.types != nil:
		return 2
	}
	return 3
}

// index makes a chain of its rules.
func (p *Policy) index(c Chain, rules []Rule) chain {
	out := chain{types: map[uint16][]uint64{}, names: map[uint64][]uint64{}, exact: map[uint64][]uint64{}}
	for i := range rules {
		if rules[i].Chain == c {
			r := &p.rules[i]
			h := head{views: r.views, node: r.node, rule: int32(i), alone: p.nodes[r.node].op == Is}
			if m := &rules[i].Match; m.Op == All && len(m.Of) == 0 {
				h.node = -1
			}
			out.heads = append(out.heads, h)
		}
	}
	out.words = (len(out.heads) + 63) / 64
	out.general = make([]uint64, out.words)
	out.indexed = len(out.heads) >= indexMin
	for bit := range out.heads {
		n := needsOf(&rules[out.heads[bit].rule].Match)
		if !out.indexed {
			n = needs{}
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
	return out
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

// candidates fills in s.candidate: a bit for each rule of the chain that may match.
func (p *Policy) candidates(c *chain, q *Query, s *State) []uint64 {
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

func join(into, bits []uint64) {
	for i, w := range bits {
		into[i] |= w
	}
}
