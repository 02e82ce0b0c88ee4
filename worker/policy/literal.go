package policy

// literal is a selector that a match cannot do without, or, with not, one that must not hold.
type literal struct {
	selector *Selector
	not      bool
}

// alternatives says in other words what a match needs: all of the literals of one of them. What an index knows nothing of is left out, so a match may still
// not hold; without one of the alternatives it does not. There are alternativesMax at most; none: it never holds.
func alternatives(m *Match, not bool) [][]literal {
	switch {
	case m.Op == Is:
		if l := (literal{&m.Selector, not}); l.useful() {
			return [][]literal{{l}}
		}
		return [][]literal{{}}
	case m.Op == Not:
		return alternatives(&m.Of[0], !not)
	case (m.Op == All) != not:
		return conjunction(m, not)
	}
	var list [][]literal
	for i := range m.Of {
		list = append(list, alternatives(&m.Of[i], not)...)
	}
	if len(list) > alternativesMax {
		return [][]literal{{}}
	}
	return list
}

// conjunction is alternatives of what holds if all of m.Of do. What would make too many of them is left out.
func conjunction(m *Match, not bool) [][]literal {
	list := [][]literal{{}}
	for i := range m.Of {
		more := alternatives(&m.Of[i], not)
		if len(list)*len(more) > alternativesMax {
			continue
		}
		var product [][]literal
		for _, a := range list {
			for _, b := range more {
				product = append(product, append(a[:len(a):len(a)], b...))
			}
		}
		list = product
	}
	return list
}

// useful reports whether an index can do something with a literal.
func (l *literal) useful() bool {
	switch k := l.selector.Kind; k {
	case QName, Suffix, Tagged, EDNSOption:
		return !l.not
	case Source, Destination:
		return true
	default:
		return k.number()
	}
}

// needs says which types or names a rule is looked for by: nil for nothing that is known.
type needs struct {
	types    []uint16
	suffixes [][]byte
	exact    [][]byte
}

// needsOf looks at an alternative. A list of names is preferred over types.
func needsOf(literals []literal) needs {
	var best needs
	for _, l := range literals {
		var n needs
		switch s := l.selector; {
		case l.not:
		case s.Kind == QType:
			n.types = s.Numbers
		case s.Kind == QName:
			n.exact = s.Names
		case s.Kind == Suffix:
			n.suffixes = s.Names
		}
		if best.cost() > n.cost() {
			best = n
		}
	}
	return best
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
