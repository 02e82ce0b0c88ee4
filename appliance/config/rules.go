package config

import (
	"slices"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/policy"
)

// ruleTable is one [[rule]] while it is read: what it refers to is known only when the whole file has been.
type ruleTable struct {
	policy.Rule
}

// ruleKeys is every key of one [[rule]].
var ruleKeys = []key[ruleTable]{
	key[ruleTable]{
		name: "name", bounds: "1 to 64 letters, digits, ., - and _, once in its chain", get: func(r *ruleTable) any { return &r.Name },
		read: func(c *checker, r *ruleTable, v value) {
			if name, ok := c.text(v); ok && !labelText(name) {
				c.fault(v, "%q is no name of a rule: 1 to 64 letters, digits, ., - and _", name)
			} else if ok {
				r.Name = name
			}
		},
	}.reload(),
	choiceKey("chain", policy.ChainNames[policy.ChainQuery], chainChoices(), func(r *ruleTable) *policy.Chain { return &r.Chain }).reload(),
	key[ruleTable]{
		name: "view", bounds: "1 to 64 names of views", get: func(r *ruleTable) any { return &r.Views },
		read: func(c *checker, r *ruleTable, v value) { r.Views = c.viewList(v) },
	}.reload(),
	key[ruleTable]{
		name: "match", standard: "{}", bounds: "a table of selectors", get: func(r *ruleTable) any { return &r.Match },
		read: func(c *checker, r *ruleTable, v value) { r.Match = c.match(v, 0) },
	}.reload(),
	key[ruleTable]{
		name: "action", bounds: "a table with a type", get: func(r *ruleTable) any { return &r.Action },
		read: func(c *checker, r *ruleTable, v value) { r.Action = c.action(v) },
	}.reload(),
}

func chainChoices() (out []choice[policy.Chain]) {
	for i, name := range policy.ChainNames {
		out = append(out, choice[policy.Chain]{name, policy.Chain(i)})
	}
	return out
}

// labelText accepts what is fit for a label of a metric.
func labelText(s string) bool {
	return s != "" && len(s) <= 64 && !slices.ContainsFunc([]rune(s), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

// readRules keeps the tables until all that they refer to is known.
func readRules(c *checker, t *Checked, v value) {
	items, ok := v.list()
	switch {
	case !ok:
		c.fault(v, "must be tables, written [[rule]], not %s", v.kind())
	case len(items) > policy.RulesMax:
		c.fault(v, "%d rules, at most %d are allowed", len(items), policy.RulesMax)
	default:
		c.ruleTables = items
	}
}

// rules reads the tables: pools, sets and views are known now.
func (c *checker) rules(out *Checked) {
	c.sets = out.Sets
	c.poolNumbers, c.poolsUsed, c.tags = map[string]int{}, map[string]bool{}, map[string]int{}
	for i := range out.Pools {
		c.poolNumbers[out.Pools[i].Name] = i
	}
	c.views(out)
	first := map[policy.RuleID]int{}
	var told []policy.Rule // the first one of the chain response that looks at a client
	for _, item := range c.ruleTables {
		data, ok := item.data.(map[string]any)
		if !ok {
			c.fault(item, "must be a table, written [[rule]], not %s", item.kind())
			continue
		}
		before := len(c.problems)
		var r ruleTable
		fill(c, ruleKeys, &r, item, data)
		id := policy.RuleID{Chain: r.Chain, Name: r.Name}
		switch line, twice := first[id]; {
		case data["name"] == nil:
			c.fault(item, "has no name: metrics and the log need one")
		case data["action"] == nil:
			c.fault(item, "has no action")
		case twice && r.Name != "":
			c.fault(item.field("name", r.Name), "%q is the name of a rule of chain %q on line %d already", r.Name, r.Chain, line)
		}
		first[id] = item.line
		if c.problems[before:].Broken() {
			continue
		}
		checked := []policy.Rule{r.Rule}
		if r.Chain == policy.ChainResponse && told != nil {
			checked = append(told[:1:1], r.Rule)
		}
		if _, err := policy.Compile(checked, nil, 1); err != nil {
			c.fault(item, "%v", err)
			continue
		}
		if r.Chain == policy.ChainResponse && told == nil && r.OfClient() {
			told = checked
		}
		out.Rules = append(out.Rules, r.Rule)
	}
}

// poolNumber reads the name of a pool.
func (c *checker) poolNumber(v value) int {
	name, ok := c.text(v)
	if !ok {
		return 0
	}
	n, known := c.poolNumbers[name]
	c.poolsUsed[name] = true
	if !known {
		c.fault(v, "pool %q is not there: write a table [pool.%s]", name, name)
	}
	return n
}

// tagBits reads one tag or several. A tag is there as soon as it is written.
func (c *checker) tagBits(v value) (bits uint64) {
	items, ok := c.oneOrMany(v, policy.TagsMax)
	if !ok {
		return 0
	}
	for _, item := range items {
		name, ok := c.text(item)
		if !ok {
			continue
		}
		if !labelText(name) {
			c.noTag(item, name)
			continue
		}
		n, ok := c.tagNumber(item, name)
		if !ok {
			return bits
		}
		bits |= 1 << n
	}
	return bits
}

func (c *checker) noTag(v value, name string) {
	c.fault(v, "%q is no tag: 1 to 64 letters, digits, ., - and _", name)
}

// tagNumber is the number of a tag, which gets one if it is new.
func (c *checker) tagNumber(v value, name string) (n int, ok bool) {
	n, known := c.tags[name]
	if !known {
		if n = len(c.tags); n == policy.TagsMax {
			c.fault(v, "is the tag number %d, at most %d are allowed", n+1, policy.TagsMax)
			return 0, false
		}
		c.tags[name] = n
	}
	return n, true
}

// codes reads one name or number, or several, by a table of names; other is what else the name may start with before a number.
func (c *checker) codes(v value, names map[string]uint16, other string, most int64) (out []uint16) {
	items, ok := v.list()
	if !ok {
		items = []value{v}
	}
	if len(items) == 0 || len(items) > codesMax {
		c.fault(v, "%d entries: 1 to %d are allowed", len(items), codesMax)
	}
	for _, item := range items {
		if n, ok := c.code(item, names, other, most); ok {
			out = append(out, n)
		}
	}
	return out
}

// wireNames reads one name or several, as they are on the wire.
func (c *checker) wireNames(v value) (out [][]byte) {
	items, ok := c.oneOrMany(v, suffixesMax)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		c.fault(v, "is empty: nothing would match")
	}
	for _, item := range items {
		if name, ok := c.name(item); ok {
			out = append(out, packName(name))
		}
	}
	return out
}

// packName is a name that was checked, on the wire.
func packName(name string) []byte {
	buf := make([]byte, 255)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		panic("config: name was checked: " + err.Error())
	}
	return buf[:n]
}
