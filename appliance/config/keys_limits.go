package config

import (
	"fmt"
	"net/netip"
	"time"

	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/limit"
)

// limitsKeys is every key of [limits] but those of rrlKeys.
var limitsKeys = limitKeys()

// rrlKeys is every key of [limits.rrl].
var rrlKeys = replyLimitKeys()

func limitKeys() []key[worker.Limits] {
	var rows []key[worker.Limits]
	for k := range limit.Answers {
		rows = append(rows,
			integerKey(fmt.Sprintf("%v_rate", k), 0, limit.RateMax, 0, func(l *worker.Limits) *int { return &l.Rates[k].PerSecond }).reload(),
			integerKey(fmt.Sprintf("%v_burst", k), 0, limit.RateMax, 0, func(l *worker.Limits) *int { return &l.Rates[k].Burst }).reload())
	}
	var actions []choice[limit.Action]
	for i, name := range limit.ActionNames {
		actions = append(actions, choice[limit.Action]{name, limit.Action(i)})
	}
	return append(rows,
		choiceKey("action", limit.ActionNames[limit.Drop], actions, func(l *worker.Limits) *limit.Action { return &l.Action }).reload(),
		integerKey("slip", 0, limit.SlipMax, 2, func(l *worker.Limits) *int { return &l.Slip }).reload(),
		booleanKey("cookie_required_over", false, func(l *worker.Limits) *bool { return &l.CookieOver }).reload(),
		prefixesKey("exempt", "[]", func(l *worker.Limits) *[]netip.Prefix { return &l.Exempt }).reload())
}

func replyLimitKeys() []key[worker.Limits] {
	var rows []key[worker.Limits]
	for k := limit.Answers; int(k) < limit.KindCount; k++ {
		rows = append(rows, integerKey(k.String(), 0, limit.RateMax, 0, func(l *worker.Limits) *int { return &l.Rates[k].PerSecond }).reload())
	}
	return append(rows,
		durationKey("window", time.Second, limit.WindowMax, time.Second, "15s", func(l *worker.Limits) *time.Duration { return &l.Window }).reload(),
		integerKey("slip", 0, limit.SlipMax, 2, func(l *worker.Limits) *int { return &l.ReplySlip }).reload(),
		integerKey("ipv4_prefix", 1, 32, 24, func(l *worker.Limits) *int { return &l.IPv4Bits }).reload(),
		integerKey("ipv6_prefix", 1, 128, 56, func(l *worker.Limits) *int { return &l.IPv6Bits }).reload())
}

// limits warns of what is no limit, or one that nobody can want.
func (c *checker) limits(out *Checked) {
	l := &out.Limits
	for k := range limit.Answers {
		name := "limits." + k.String()
		r := &l.Rates[k]
		if r.Burst != 0 && r.PerSecond == 0 {
			c.warn(c.written(name+"_burst"), "has no effect without %s_rate", name)
		}
		if r.PerSecond != 0 && r.PerSecond < out.Workers.Count {
			c.warn(c.written(name+"_rate"), "%d a second for %d workers: each allows its share, so a source that stays with one worker gets less than one a second", r.PerSecond, out.Workers.Count)
		}
	}
	if l.CookieOver && !out.Cookies.Enabled {
		c.fault(c.anyOf("limits.cookie_required_over", "edns.cookies"), "limits.cookie_required_over needs edns.cookies: nobody could prove anything")
	}
	if l.Rates[limit.Cookie].PerSecond != 0 && !out.Cookies.Enabled {
		c.warn(c.anyOf("limits.cookie_rate", "edns.cookies"), "limits.cookie_rate has no effect: edns.cookies is false")
	}
	if l.Slip == 0 && l.Action == limit.Drop && c.written("limits.slip").line > 0 && l.Any() {
		c.warn(c.written("limits.slip"), "clients that share an address with one that asks too much get no answer at all, and are not told to come over TCP")
	}
}
