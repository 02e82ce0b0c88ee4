package config

import (
	"maps"
	"net/netip"
	"slices"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/policy"
)

// viewKeys is every key of one [view.NAME].
var viewKeys = []key[viewTable]{
	prefixesKey("clients", "[]", func(v *viewTable) *[]netip.Prefix { return &v.Clients }).reload(),
	key[viewTable]{
		name: "pool", bounds: "the name of a pool", get: func(v *viewTable) any { return &v.Pool },
		read: func(c *checker, v *viewTable, at value) { v.Pool = c.poolNumber(at) },
	}.reload(),
	booleanKey("cache", true, func(v *viewTable) *bool { return &v.cache }).reload(),
	booleanKey("own_cache", false, func(v *viewTable) *bool { return &v.OwnCache }).reload(),
	sizeKey("cache_size", 0, 1<<40, "0", func(v *viewTable) *int64 { return &v.CacheBytes }).reload(),
	integerKey("max_outstanding", 0, outstandingMax, 0, func(v *viewTable) *int { return &v.MaxOutstanding }).reload(),
	key[viewTable]{
		name: "limits", bounds: "a table of rates, bursts, action and slip as in [limits]", get: func(v *viewTable) any { return &v.Limits }, read: readViewLimits,
	}.reload(),
	shedKey,
	choiceKey("shed_stale", worker.ShedStaleNames[worker.ShedStalePool], numbered[worker.ShedStale](worker.ShedStaleNames[:]),
		func(v *viewTable) *worker.ShedStale { return &v.ShedStale }).reload(),
}

// shedKey is admission.shed for the clients of one view; left out, that one holds.
var shedKey = func() key[viewTable] {
	all := choiceKey("shed", admission.ShedNames[0], numbered[admission.Shed](admission.ShedNames[:]), func(s *admission.Shed) *admission.Shed { return s })
	return key[viewTable]{
		name: all.name, bounds: all.bounds, get: func(v *viewTable) any { return &v.Shed },
		read: func(c *checker, v *viewTable, at value) {
			own := new(admission.Shed)
			all.read(c, own, at)
			v.Shed = own
		},
	}.reload()
}()

// viewTable is one [view.NAME] while it is read.
type viewTable struct {
	worker.View
	cache bool
	all   *worker.Limits // those of [limits]
}

// readViewLimits reads what is different from [limits] for the clients of a view.
func readViewLimits(c *checker, t *viewTable, v value) {
	table, ok := v.data.(map[string]any)
	if !ok {
		c.fault(v, "must be a table, for example { tcp_rate = 10 }, not %s", v.kind())
		return
	}
	own := *t.all
	var known []string
	for _, k := range limitsKeys {
		if k.name != "exempt" && k.name != "cookie_required_over" {
			known = append(known, k.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := v.field(name, table[name])
		if !slices.Contains(known, name) {
			c.unknownKey(entry, name, known)
			continue
		}
		i := slices.IndexFunc(limitsKeys, func(k key[worker.Limits]) bool { return k.name == name })
		limitsKeys[i].read(c, &own, entry)
	}
	for k := range limit.Answers {
		if r := own.Rates[k]; r.Burst != 0 && r.PerSecond == 0 && table[k.String()+"_burst"] != nil {
			c.warn(v.field(k.String()+"_burst", nil), "has no effect without %s_rate", k)
		}
	}
	t.Limits = &own
}

// readViews keeps the tables until the pools that they name are known.
func readViews(c *checker, _ *Checked, v value) {
	if _, ok := v.data.(map[string]any); !ok {
		c.fault(v, "must be tables, written [view.NAME], not %s", v.kind())
		return
	}
	c.viewTables = v
}

// views reads the tables.
func (c *checker) views(out *Checked) {
	c.viewNumbers = map[string]int{}
	table, _ := c.viewTables.data.(map[string]any)
	if len(table) > policy.ViewsMax {
		c.fault(c.viewTables, "%d views, at most %d are allowed", len(table), policy.ViewsMax)
		return
	}
	owner := map[netip.Prefix]string{}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := c.viewTables.field(name, table[name])
		data, ok := table[name].(map[string]any)
		if !ok || !labelText(name) {
			c.fault(entry, "must be a table, written [view.NAME], with a name of 1 to 64 letters, digits, ., - and _")
			continue
		}
		v := viewTable{all: &out.Limits, View: worker.View{View: policy.View{Name: name, Pool: -1}}}
		if fill(c, viewKeys, &v, entry, data); len(v.Clients) == 0 {
			c.fault(entry, "has no clients: nobody would be in it")
		}
		for _, p := range v.Clients {
			if other, twice := owner[p]; twice {
				c.fault(entry.field("clients", nil), "%s is in view %q already: the longest prefix decides, and these are equal", p, other)
			}
			owner[p] = name
		}
		if v.NoCache = !v.cache; v.NoCache && v.OwnCache {
			c.fault(entry.field("own_cache", nil), "and cache = false: there is nothing to have for oneself")
		}
		c.viewNumbers[name] = len(out.Views)
		out.Views = append(out.Views, v.View)
	}
}

// viewList reads the names of the views that a rule is for.
func (c *checker) viewList(v value) (numbers []int) {
	items, ok := c.oneOrMany(v, policy.ViewsMax)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		c.fault(v, "is empty: the rule would match nothing")
	}
	for _, item := range items {
		name, isText := c.text(item)
		n, known := c.viewNumbers[name]
		if isText && !known {
			c.fault(item, "view %q is not there: write a table [view.%s]", name, name)
		}
		numbers = append(numbers, n)
	}
	return numbers
}
