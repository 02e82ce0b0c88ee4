package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker"
	"secure-dns-proxy/worker/admission"
	"secure-dns-proxy/worker/limit"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/subnet"
)

// ruleEffect is a part of a [[rule]] and what it makes of the rule.
type ruleEffect struct {
	text string // the part, in a rule with another action or match than the default
	want any    // policy.Selector, policy.Action or another part of the rule
}

// ruleEffects has an entry for every key of [[rule]], by its name in Names.
func ruleEffects() map[string]ruleEffect {
	numbers := func(kind policy.Kind, n ...uint16) policy.Selector {
		return policy.Selector{Kind: kind, Numbers: n}
	}
	span := func(kind policy.Kind, low, high uint32) policy.Selector {
		return policy.Selector{Kind: kind, Low: low, High: high}
	}
	yes := func(kind policy.Kind) policy.Selector { return policy.Selector{Kind: kind, Want: true} }
	names := func(kind policy.Kind, names ...string) policy.Selector {
		s := policy.Selector{Kind: kind}
		for _, name := range names {
			s.Names = append(s.Names, packName(name))
		}
		return s
	}
	prefix := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	act := func(a policy.Action) policy.Action {
		if a.Extended == 0 {
			a.Extended = wire.EDENone
		}
		return a
	}
	rate := policy.Rate{PerSecond: 10, Burst: 20, Bits4: 32, Bits6: 64, Sources: 1 << 14}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	drop := act(policy.Action{Do: policy.Drop})
	limit := func(change func(*policy.Action)) policy.Action {
		a := act(policy.Action{Do: policy.Limit, RCode: 5, PerSource: true, Over: policy.Drop, Rate: policy.Rate{PerSecond: 5, Burst: 5, Bits4: 32, Bits6: 64, Sources: 1 << 14}})
		change(&a)
		return a
	}
	matches := map[string]ruleEffect{
		"qname":            {`["WWW.Example", "b."]`, names(policy.QName, "www.example.", "b.")},
		"suffix":           {`"Example"`, names(policy.Suffix, "example.")},
		"regex":            {`"^ads[0-9]+\\."`, policy.Selector{Kind: policy.Regex, Pattern: regexp.MustCompile(`^ads[0-9]+\.`)}},
		"labels":           {`"5-"`, span(policy.Labels, 5, 127)},
		"name_bytes":       {`"-100"`, span(policy.NameBytes, 0, 100)},
		"qtype":            {`["aaaa", "TYPE65", 99]`, numbers(policy.QType, 28, 65, 99)},
		"qclass":           {`"CH"`, numbers(policy.QClass, 3)},
		"opcode":           {`["notify", 5]`, numbers(policy.Opcode, 4, 5)},
		"rd":               {`true`, yes(policy.RD)},
		"do":               {`true`, yes(policy.DO)},
		"cd":               {`true`, yes(policy.CD)},
		"edns":             {`true`, yes(policy.EDNS)},
		"edns_version":     {`"1-"`, span(policy.EDNSVersion, 1, 255)},
		"edns_option":      {`["ecs", "COOKIE", 65001]`, numbers(policy.EDNSOption, 8, 10, 65001)},
		"source":           {`["10.0.0.0/8", "::1"]`, policy.Selector{Kind: policy.Source, Prefixes: prefix}},
		"source_port":      {`"-1023"`, span(policy.SourcePort, 0, 1023)},
		"destination":      {`["10.0.0.0/8", "::1"]`, policy.Selector{Kind: policy.Destination, Prefixes: prefix}},
		"destination_port": {`5353`, span(policy.DestinationPort, 5353, 5353)},
		"protocol":         {`"tcp"`, yes(policy.TCP)},
		"size":             {`"512-1000"`, span(policy.Size, 512, 1000)},
		"answers":          {`1`, span(policy.Answers, 1, 1)},
		"authorities":      {`1`, span(policy.Authorities, 1, 1)},
		"additionals":      {`"2-"`, span(policy.Additionals, 2, 65535)},
		"rcode":            {`["NXDOMAIN", 2]`, numbers(policy.RCode, 3, 2)},
		"probability":      {`0.25`, policy.Selector{Kind: policy.Chance, Share: 0.25}},
		"over_rate":        {`{ per_second = 10, burst = 20 }`, policy.Selector{Kind: policy.OverRate, Rate: rate}},
		"over_source_rate": {`{ per_second = 10, burst = 20, ipv4_prefix = 24, ipv6_prefix = 56, sources = 1000 }`, policy.Selector{Kind: policy.OverSourceRate, Rate: policy.Rate{PerSecond: 10, Burst: 20, Bits4: 24, Bits6: 56, Sources: 1024}}},
		"pool_available":   {`"other"`, policy.Selector{Kind: policy.PoolAvailable, Pool: 1, Want: true}},
		"pool_outstanding": {`{ pool = "other", exchanges = "100-" }`, policy.Selector{Kind: policy.PoolOutstanding, Pool: 1, Low: 100, High: outstandingMax}},
		"tag":              {`["a", "b"]`, policy.Selector{Kind: policy.Tagged, Tags: 3}},
		"time":             {`{ days = ["mon", "sat"], from = "08:30", to = "24:00", zone = "Europe/Berlin" }`, policy.Selector{Kind: policy.Clock, Schedule: policy.Schedule{Days: 0b1000010, From: 510, To: 1440, Zone: berlin}}},
		"set":              {`["blocked"]`, policy.Selector{Kind: policy.InSet}},
		"all":              {`[ { rd = true } ]`, policy.Match{Op: policy.All, Of: []policy.Match{{Selector: yes(policy.RD)}}}},
		"any":              {`[ { rd = true }, { cd = true } ]`, policy.Match{Op: policy.Any, Of: []policy.Match{{Selector: yes(policy.RD)}, {Selector: yes(policy.CD)}}}},
		"not":              {`{ rd = true }`, policy.Match{Op: policy.Not, Of: []policy.Match{{Selector: yes(policy.RD)}}}},
	}
	soa := append(append(packName("mail.example."), packName("hostmaster.example.")...), 0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 4, 176, 0, 9, 58, 128, 0, 0, 0, 60)
	none := &wire.Answer{Flags: wire.FlagAA, RCode: 3, Negative: true, NS: 1, TTL: 60, Extended: 15}
	none.AppendRecord(packName("example."), wire.TypeSOA, 1, 60, soa)
	address := &wire.Answer{TTL: 300, AN: 1}
	address.AppendRecord(question, wire.TypeA, 1, 300, []byte{192, 0, 2, 1})
	spoof := act(policy.Action{Do: policy.Answer, Records: &policy.Records{ByType: map[uint16]*wire.Answer{1: address}, Any: address, Other: &wire.Answer{Negative: true}}})
	only := spoof
	only.Records = &policy.Records{ByType: spoof.Records.ByType, Any: address}
	short := &wire.Answer{TTL: 60, AN: 1}
	short.AppendRecord(question, wire.TypeA, 1, 60, []byte{192, 0, 2, 1})
	brief := act(policy.Action{Do: policy.Answer, Records: &policy.Records{ByType: map[uint16]*wire.Answer{1: short}, Any: short, Other: &wire.Answer{Negative: true}}})
	const negative = `type = "negative", rcode = "NXDOMAIN", zone = "example", mname = "mail.example", rname = "hostmaster.example", record_ttl = "1m", ede = "blocked"`
	nothing := act(policy.Action{Do: policy.Answer, RCode: 3, Extended: 15, Records: &policy.Records{Other: none}})
	court, err := wire.ReasonOf(15, "by order")
	if err != nil {
		panic(err)
	}
	tell := func(change func(*subnet.Spec)) policy.Action {
		s := &subnet.Spec{Mode: subnet.Override, IPv4: 24, IPv6: 56}
		change(s)
		return act(policy.Action{Do: policy.TellSubnet, Subnet: s})
	}
	actions := map[string]ruleEffect{
		"type":                  {`type = "truncate"`, act(policy.Action{Do: policy.Truncate})},
		"rcode":                 {`type = "rcode", rcode = "NOTIMP"`, act(policy.Action{Do: policy.Answer, RCode: 4})},
		"ede":                   {`type = "refuse", ede = "Prohibited"`, act(policy.Action{Do: policy.Answer, RCode: 5, Extended: 18})},
		"ede_text":              {`type = "refuse", ede = "Blocked", ede_text = "by order"`, act(policy.Action{Do: policy.Answer, RCode: 5, Extended: court})},
		"client_subnet":         {`type = "client_subnet", client_subnet = "override"`, tell(func(*subnet.Spec) {})},
		"client_subnet_ipv4":    {`type = "client_subnet", client_subnet = "override", client_subnet_ipv4 = 20`, tell(func(s *subnet.Spec) { s.IPv4 = 20 })},
		"client_subnet_ipv6":    {`type = "client_subnet", client_subnet = "override", client_subnet_ipv6 = 48`, tell(func(s *subnet.Spec) { s.IPv6 = 48 })},
		"client_subnet_private": {`type = "client_subnet", client_subnet = "override", client_subnet_private = true`, tell(func(s *subnet.Spec) { s.Private = true })},
		"network": {`type = "client_subnet", client_subnet = "override", network = ["2001:db8::/32", "192.0.2.0/25"]`, tell(func(s *subnet.Spec) {
			s.Instead = [2]wire.Subnet{{Family: 1, Bits: 25, Addr: [16]byte{192, 0, 2}}, {Family: 2, Bits: 32, Addr: [16]byte{0x20, 1, 0xd, 0xb8}}}
		})},
		"option":      {`type = "strip_option", option = ["DAU", 65001]`, act(policy.Action{Do: policy.StripOption, Codes: []uint16{5, 65001}})},
		"data":        {`type = "set_option", option = 65001, data = "beef"`, act(policy.Action{Do: policy.SetOption, Codes: []uint16{65001}, Option: []byte{0xFD, 0xE9, 0, 2, 0xBE, 0xEF}})},
		"records":     {`type = "answer", records = "A 192.0.2.1"`, spoof},
		"record_ttl":  {`type = "answer", records = "A 192.0.2.1", record_ttl = "1m"`, brief},
		"other_types": {`type = "answer", records = "A 192.0.2.1", other_types = "continue"`, only},
		"zone":        {negative, nothing},
		"mname":       {negative, nothing},
		"rname":       {negative, nothing},
		"pool":        {`type = "tee", pool = "other"`, act(policy.Action{Do: policy.Tee, Pool: 1})},
		"continue":    {`type = "pool", pool = "other", continue = true`, act(policy.Action{Do: policy.Route, Pool: 1, Continue: true})},
		"wait":        {`type = "delay", wait = "250ms"`, act(policy.Action{Do: policy.Delay, Wait: 250 * time.Millisecond})},
		"min_ttl":     {`type = "ttl", min_ttl = "1m"`, act(policy.Action{Do: policy.LimitTTL, Low: 60, High: 7 * 86400})},
		"max_ttl":     {`type = "ttl", max_ttl = "1m"`, act(policy.Action{Do: policy.LimitTTL, High: 60})},
		"set":         {`type = "tag", set = ["a", "b"]`, act(policy.Action{Do: policy.SetTags, Set: 3})},
		"unset":       {`type = "tag", set = "a", unset = "b"`, act(policy.Action{Do: policy.SetTags, Set: 1, Unset: 2})},
		"per_second":  {`type = "rate_limit", per_second = 5`, limit(func(*policy.Action) {})},
		"burst":       {`type = "rate_limit", per_second = 5, burst = 50`, limit(func(a *policy.Action) { a.Rate.Burst = 50 })},
		"per":         {`type = "rate_limit", per_second = 5, per = "all"`, limit(func(a *policy.Action) { a.PerSource = false })},
		"then":        {`type = "rate_limit", per_second = 5, then = "refuse"`, limit(func(a *policy.Action) { a.Over = policy.Answer })},
		"ipv4_prefix": {`type = "rate_limit", per_second = 5, ipv4_prefix = 24`, limit(func(a *policy.Action) { a.Rate.Bits4 = 24 })},
		"ipv6_prefix": {`type = "rate_limit", per_second = 5, ipv6_prefix = 56`, limit(func(a *policy.Action) { a.Rate.Bits6 = 56 })},
		"sources":     {`type = "rate_limit", per_second = 5, sources = 100`, limit(func(a *policy.Action) { a.Rate.Sources = 128 })},
	}
	out := map[string]ruleEffect{
		"rule[].name":   {`name = "b"`, "b"},
		"rule[].view":   {`view = ["b"]`, []int{1}},
		"rule[].chain":  {`chain = "miss"`, policy.ChainMiss},
		"rule[].match":  {`match.rd = true`, policy.Match{Selector: yes(policy.RD)}},
		"rule[].action": {`action.type = "drop"`, drop},
	}
	for name, e := range matches {
		chain := ""
		if name == "rcode" || name == "answers" || name == "authorities" {
			chain = "chain = \"own\"\n"
		}
		out["rule[].match."+name] = ruleEffect{chain + "match." + name + " = " + e.text, e.want}
	}
	for name, e := range actions {
		out["rule[].action."+name] = ruleEffect{"action = { " + e.text + " }", e.want}
	}
	return out
}

// twoPools is a file with a pool for rules to name; a rule that names it is in the way of nothing.
const twoPools = "set.blocked.file = \"testdata/blocked.txt\"\n" + plainPools

const plainPools = "[[upstream]]\nurl = \"udp://192.0.2.1\"\npools = [\"default\", \"other\"]\n[pool.other]\nsuffixes = \"other\"\n"

func TestEveryKeyOfARuleHasItsEffect(t *testing.T) {
	for name, e := range ruleEffects() {
		t.Run(name, func(t *testing.T) {
			text := twoPools + "[[rule]]\n"
			if !strings.Contains(e.text, "name = \"b\"") {
				text += "name = \"a\"\n"
			}
			if strings.HasPrefix(e.text, "view") {
				text = "view = { a.clients = \"10.0.0.0/8\", b.clients = \"10.1.0.0/16\" }\n" + text
			}
			if text += e.text + "\n"; !strings.Contains(e.text, "action") {
				text += "action.type = \"drop\"\n"
			}
			checked, problems := checkText(text)
			if checked == nil {
				t.Fatal(problems)
			}
			rule := checked.Rules[0]
			var got any
			switch e.want.(type) {
			case string:
				got = rule.Name
			case []int:
				got = rule.Views
			case policy.Chain:
				got = rule.Chain
			case policy.Match:
				got = rule.Match
			case policy.Selector:
				got = rule.Match.Selector
			case policy.Action:
				got = rule.Action
			}
			if s, ok := got.(policy.Selector); ok && s.Set != nil {
				if s.Set.Name != "blocked" || s.Set.Set().Len() != 2 {
					t.Errorf("set %q with %d names", s.Set.Name, s.Set.Set().Len())
				}
				s.Set = nil
				got = s
			}
			if !reflect.DeepEqual(got, e.want) {
				t.Errorf("got\n%+v, want\n%+v", got, e.want)
			}
		})
	}
}

func TestRuleProblems(t *testing.T) {
	const rule = "[[rule]]\nname = \"a\"\n"
	for _, tt := range []struct{ text, want string }{
		{"rule = 1", `f.toml:7: rule: must be tables, written [[rule]], not an integer`},
		{"[[rule]]\naction.type = \"drop\"", `f.toml:7: rule[0]: has no name: metrics and the log need one`},
		{"[[rule]]\nname = \"a b\"\naction.type = \"drop\"", `f.toml:8: rule[0].name: "a b" is no name of a rule: 1 to 64 letters, digits, ., - and _`},
		{rule, `f.toml:7: rule[0]: has no action`},
		{rule + "action.type = \"drop\"\n" + rule + "action.type = \"drop\"", `f.toml:11: rule[1].name: "a" is the name of a rule of chain "query" on line 7 already`},
		{rule + "action = {}", `f.toml:9: rule[0].action: has no type`},
		{rule + "action.type = \"dorp\"", `f.toml:9: rule[0].action.type: "dorp" is not one of `},
		{rule + "action = { type = \"drop\", ede = 1 }", `f.toml:9: rule[0].action.ede: has no effect with type "drop"`},
		{rule + "action = { type = \"pool\" }", `f.toml:9: rule[0].action: of type "pool" has no pool`},
		{rule + "action = { type = \"pool\", pool = \"b\" }", `f.toml:9: rule[0].action.pool: pool "b" is not there: write a table [pool.b]`},
		{rule + "action = { type = \"ede\" }", `f.toml:9: rule[0].action: of type "ede" has neither ede nor ede_text`},
		{rule + "action = { type = \"refuse\", ede_text = \"" + strings.Repeat("x", 65) + "\" }", `f.toml:9: rule[0].action.ede_text: has 65 bytes: 1 to 64 are allowed`},
		{rule + "action = { type = \"refuse\", ede = 64768 }", `f.toml:9: rule[0].action.ede: 64768 is out of range (0 to 64767)`},
		{rule + "action = { type = \"client_subnet\" }", `f.toml:9: rule[0].action: of type "client_subnet" has no client_subnet`},
		{rule + "action = { type = \"client_subnet\", client_subnet = \"pass\", network = \"192.0.2.0/24\" }", `f.toml:9: rule[0].action.network: has no effect with client_subnet = "pass"`},
		{rule + "action = { type = \"client_subnet\", client_subnet = \"add\", network = [\"192.0.2.0/24\", \"198.51.100.0/24\"] }", `f.toml:9: rule[0].action.network: must be a network, or one of IPv4 and one of IPv6`},
		{rule + "action = { type = \"client_subnet\", client_subnet = \"add\", network = \"0.0.0.0/0\" }", `f.toml:9: rule[0].action.network: names nobody`},
		{rule + "action = { type = \"set_option\", option = [65001, 65002] }", `f.toml:9: rule[0].action.option: must be one option`},
		{rule + "action = { type = \"set_option\", option = \"ECS\" }", `f.toml:7: rule[0]: rule "a" of chain query: option 8 is between two neighbours, or has an action of its own`},
		{rule + "action = { type = \"set_option\", option = 65001, data = \"abc\" }", `f.toml:9: rule[0].action.data: "abc" is not hexadecimal: two digits for each byte`},
		{rule + "action = { type = \"set_option\", option = 65001, data = \"" + strings.Repeat("00", 61) + "\" }", `f.toml:9: rule[0].action.data: has 61 bytes, at most 60 are allowed`},
		{rule + "action = { type = \"strip_option\", option = \"EDE\" }", `f.toml:7: rule[0]: rule "a" of chain query: option 15 is between two neighbours, or has an action of its own`},
		{rule + "chain = \"response\"\naction = { type = \"client_subnet\", client_subnet = \"strip\" }", `f.toml:7: rule[0]: rule "a" of chain response: client_subnet has no meaning in chain response`},
		{rule + "action = { type = \"tag\" }", `f.toml:9: rule[0].action: neither sets nor unsets a tag`},
		{rule + "action = { type = \"ttl\", min_ttl = \"2s\", max_ttl = \"1s\" }", `f.toml:9: rule[0].action: min_ttl is more than max_ttl`},
		{rule + "action = { type = \"negative\", rcode = \"REFUSED\", zone = \"a\" }", `f.toml:9: rule[0].action.rcode: is neither "NXDOMAIN" nor "NOERROR"`},
		{rule + "action = { type = \"answer\", records = [\"A 192.0.2\"] }", `f.toml:9: rule[0].action.records[0]: "A 192.0.2" is no record: write a type and its data, such as "A 192.0.2.1", "CNAME www.example." or "TYPE65 \\# 3 000100"`},
		{rule + "action = { type = \"answer\", records = [\"CNAME a.\", \"A 192.0.2.1\"] }", `f.toml:9: rule[0].action.records[0]: an alias (CNAME) stands alone (RFC 1034 §3.6.2)`},
		{rule + "action = { type = \"rcode\", rcode = \"NXDOMIAN\" }", `f.toml:9: rule[0].action.rcode: "NXDOMIAN" is not known; the nearest that is is "NXDOMAIN"`},
		{rule + "match.qtyp = \"A\"\naction.type = \"drop\"", `f.toml:9: rule[0].match.qtyp: unknown key; the nearest known key is "qtype"`},
		{rule + "match.qtype = 65536\naction.type = \"drop\"", `f.toml:9: rule[0].match.qtype: 65536 is out of range (0 to 65535)`},
		{rule + "match.regex = \"(\"\naction.type = \"drop\"", "f.toml:9: rule[0].match.regex: error parsing regexp: missing closing ): `(`"},
		{rule + "match.labels = \"5-3\"\naction.type = \"drop\"", `f.toml:9: rule[0].match.labels: "5-3" is no range within 0 and 127: write a number, "3-5", "3-" or "-5"`},
		{rule + "match.labels = 1.5\naction.type = \"drop\"", `f.toml:9: rule[0].match.labels: must be a number or a range such as "3-5", "3-" or "-5", not a float`},
		{rule + "match.suffix = []\naction.type = \"drop\"", `f.toml:9: rule[0].match.suffix: is empty: nothing would match`},
		{rule + "match.source = \"10.0.0.1/8\"\naction.type = \"drop\"", `f.toml:9: rule[0].match.source: "10.0.0.1/8" has bits beyond its length: write "10.0.0.0/8", or the address without a length`},
		{rule + "match.protocol = \"tls\"\naction.type = \"drop\"", `f.toml:9: rule[0].match.protocol: "tls" is not one of "udp" or "tcp"`},
		{rule + "match.probability = 1.1\naction.type = \"drop\"", `f.toml:9: rule[0].match.probability: 1.1 is out of range (0 to 1)`},
		{rule + "match.over_rate = { burst = 1 }\naction.type = \"drop\"", `f.toml:9: rule[0].match.over_rate: has no per_second`},
		{rule + "match.over_rate = { per_second = 1, sources = 1 }\naction.type = \"drop\"", `f.toml:9: rule[0].match.over_rate.sources: unknown key; `},
		{rule + "match.time = { from = \"8:00\" }\naction.type = \"drop\"", `f.toml:9: rule[0].match.time.from: "8:00" is no time of day such as "08:30"`},
		{rule + "match.time = { days = [\"monday\"] }\naction.type = \"drop\"", `f.toml:9: rule[0].match.time.days[0]: "monday" is not one of sun, mon, tue, wed, thu, fri, sat`},
		{rule + "match.time = { zone = \"Mars/Base\" }\naction.type = \"drop\"", `f.toml:9: rule[0].match.time.zone: "Mars/Base" is no time zone that this machine knows`},
		{rule + "match.any = []\naction.type = \"drop\"", `f.toml:9: rule[0].match.any: must be an array of 1 to 64 matches`},
		{rule + "match.rcode = 3\naction.type = \"drop\"", `f.toml:7: rule[0]: rule "a" of chain query: looks at an answer (rcode), and there is none yet`},
		{rule + "chain = \"response\"\nmatch.edns_version = 1\naction.type = \"drop\"", `f.toml:7: rule[0]: rule "a" of chain response: looks at the query (edns_version), of which no more is kept until its answer comes than who asks, over which protocol, from where, and its tags`},
		{rule + "chain = \"response\"\nmatch.source = \"::1\"\naction.type = \"allow\"\n[[rule]]\nname = \"b\"\nchain = \"response\"\naction.type = \"skip_cache\"", `f.toml:12: rule[1]: rule "b" of chain response: skip_cache is about what is kept, which is the same for all clients: it has to stand before the first rule that looks at one, and a least TTL, too`},
		{rule + "chain = \"response\"\naction = { type = \"pool\", pool = \"other\" }", `f.toml:7: rule[0]: rule "a" of chain response: pool has no meaning in chain response`},
		{rule + "match = " + strings.Repeat("{ not = ", 12) + "{ rd = true }" + strings.Repeat(" }", 12) + "\naction.type = \"drop\"", `f.toml:9: rule[0].match.not.not.not.not.not.not.not.not.not: is nested too deep`},
	} {
		if strings.HasPrefix(tt.text, "rule = ") {
			tt.text += "\n" + twoPools
			tt.want = strings.Replace(tt.want, ":7:", ":1:", 1)
		} else {
			tt.text = twoPools + tt.text
		}
		checked, problems := checkText(tt.text)
		if checked != nil || !strings.HasPrefix(problems.Error(), tt.want) || strings.Contains(problems.Error(), "\n") {
			t.Errorf("%s\ngot  %v\nwant %s", tt.text, problems, tt.want)
		}
	}
}

func TestSets(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		file := filepath.Join(dir, "set")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tt := range []struct {
		kind    policy.SetKind
		text    string
		entries int
		want    string // the problem
	}{
		{policy.SetSuffixes, "a.example\n\n# all of it\n*.B.example. # below\n  c\\046d.example\n.\na.example\n", 4, ""},
		{policy.SetNames, "a.example\r\nb.example\r\n", 2, ""},
		{policy.SetPrefixes, "10.0.0.0/8\n2001:db8::/32 # all\n192.0.2.1\n", 3, ""},
		{policy.SetNames, "", 0, ""},
		{policy.SetNames, "a\na..b\n", 0, `:2: "a..b" is not a name`},
		{policy.SetNames, "a b\n", 0, `:1: "a b" is not a name`},
		{policy.SetNames, strings.Repeat("x", 64), 0, `:1: "` + strings.Repeat("x", 64) + `" is not a name`},
		{policy.SetNames, "a\n" + strings.Repeat("x", 5000), 0, `:2: bufio.Scanner: token too long`},
		{policy.SetPrefixes, "10.0.0.0/8\n10.0.0.1/8", 0, `:2: "10.0.0.1/8" has bits beyond its length: write "10.0.0.0/8"`},
		{policy.SetPrefixes, "10.0.0/8", 0, `:1: "10.0.0/8" is not an IP address, nor IP/length`},
		{policy.SetPrefixes, "::ffff:10.0.0.0/104", 0, `:1: "::ffff:10.0.0.0/104" is not an IP address, nor IP/length`},
	} {
		file := write(tt.text)
		set, _, problems := ReadSet(file, tt.kind, nil)
		switch {
		case tt.want == "" && (set == nil || set.Len() != tt.entries):
			t.Errorf("%q: %v", tt.text, problems)
		case tt.want != "" && (set != nil || problems.Error() != file+tt.want):
			t.Errorf("%.20q: got %v, want %s", tt.text, problems, file+tt.want)
		}
	}
	if _, _, problems := ReadSet(write(strings.Repeat("a..b\n", 100)), policy.SetNames, nil); len(problems) != setProblemsMax {
		t.Errorf("%d problems told of 100", len(problems))
	}
	if checked, problems := checkText(good + "[set.b]\nfile = \"testdata/blocked.txt\"\n[set.a]\nfile = \"testdata/exact.txt\"\n"); checked == nil {
		t.Error(problems)
	} else if s := checked.Sets; len(s) != 2 || s[0].Name != "a" || s[1].Ref.Set().Len() != 2 || s[1].Stamp.Size == 0 {
		t.Errorf("%+v", s)
	}
	for text, want := range map[string]string{
		"[set.a]\nkind = \"names\"":                                         `f.toml:2: set.a: has no file`,
		"[set.a]\nfile = \"/no/such\"":                                      `f.toml:3: set.a.file: "/no/such": cannot read: no such file or directory`,
		"[set.a]\nfile = \"x\"\nkind = \"regex\"":                           `f.toml:4: set.a.kind: "regex" is not one of "names", "suffixes" or "prefixes"`,
		"[set.\"a b\"]\nfile = \"x\"":                                       `f.toml:2: set."a b": "a b" is no name of a set: 1 to 64 letters, digits, ., - and _`,
		"set = 1":                                                           `f.toml:2: set: must be tables, written [set.NAME], not an integer`,
		"[set.a]\nfile = \"" + write("a\nb..c") + "\"":                      dir + `/set:2: set.a.file: "b..c" is not a name`,
		"[[rule]]\nname = \"a\"\nmatch.set = \"b\"\naction.type = \"drop\"": `f.toml:4: rule[0].match.set: set "b" is not there: write a table [set.b]`,
		"[[rule]]\nname = \"a\"\nmatch.set = []\naction.type = \"drop\"":    `f.toml:4: rule[0].match.set: is empty: nothing would match`,
	} {
		if checked, problems := checkText(good + text + "\n"); checked != nil || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, problems, want)
		}
	}
}

func TestViews(t *testing.T) {
	checked, problems := checkText(twoPools + "[view.a]\nclients = [\"10.0.0.0/8\", \"::1\"]\npool = \"other\"\n[view.b]\nclients = \"10.1.0.0/16\"\ncache = false\n" +
		"[workers]\ncount = 2\n[view.c]\nclients = \"10.2.0.0/16\"\nown_cache = true\nmax_outstanding = 5\ncache_size = \"16MiB\"\nshed = \"truncate\"\nshed_stale = \"never\"\n" +
		"limits = { ipv4_32_rate = 9, action = \"refuse\" }\n[limits]\nipv4_32_burst = 3\ntcp_rate = 4\n")
	if checked == nil {
		t.Fatal(problems)
	}
	if a, b := checked.Views[0], checked.Views[1]; a.Name != "a" || a.Pool != 1 || a.NoCache || len(a.Clients) != 2 || b.Pool != -1 || !b.NoCache {
		t.Errorf("%+v", checked.Views)
	}
	if b, c := checked.Views[1], checked.Views[2]; b.OwnCache || b.MaxOutstanding != 0 || b.Shed != nil || b.ShedStale != worker.ShedStalePool ||
		!c.OwnCache || c.NoCache || c.MaxOutstanding != 5 || c.CacheBytes != 16<<20 || c.Shed == nil || *c.Shed != admission.ShedTruncate || c.ShedStale != worker.ShedStaleNever {
		t.Errorf("%+v", checked.Views)
	}
	if l := checked.Views[2].Limits; checked.Views[1].Limits != nil || l == nil || l.Action != limit.Refuse || l.Rates[limit.IPv4Address] != (limit.Rate{PerSecond: 9, Burst: 3}) ||
		l.Rates[limit.TCP].PerSecond != 4 || checked.Limits.Rates[limit.IPv4Address].PerSecond != 0 {
		t.Errorf("limits: %+v", l)
	}
	for text, want := range map[string]string{
		"workers.count = 2\ncache.bytes = \"13MiB\"\n[pool.default]\ncache_size = \"5MiB\"": `f.toml:5: pool.default.cache_size: 5MiB for 2 workers: at least 6MiB`,
		"workers.count = 2\ncache.bytes = \"11MiB\"\n[pool.default]\ncache_size = \"6MiB\"": `f.toml:3: cache.bytes: 11MiB, of which cache_size of pools and views leaves 5MiB to all others: at least 6MiB for 2 workers`,
		"[workers]\ncount = 2\n[pool.default]\ncache = false\ncache_size = \"16MiB\"":       `f.toml:6: pool.default.cache_size: has no effect with cache = false`,
		"[workers]\ncount = 2\n[view.a]\nclients = \"::1\"\ncache_size = \"16MiB\"":         `f.toml:6: view.a.cache_size: has no effect without own_cache = true`,
		"[view.a]\nclients = \"::1\"\nlimits = 5":                                           `f.toml:4: view.a.limits: must be a table, for example { tcp_rate = 10 }, not an integer`,
		"[view.a]\nclients = \"::1\"\nlimits.tcp_rat = 5":                                   `f.toml:4: view.a.limits.tcp_rat: unknown key; the nearest known key is "tcp_rate"`,
		"[view.a]\nclients = \"::1\"\n[view.a.limits]\nslip = 11":                           `f.toml:5: view.a.limits.slip: 11 is out of range (0 to 10)`,
		"view = 1": `f.toml:2: view: must be tables, written [view.NAME], not an integer`,
		"[view.a]\nclients = \"::1\"\nshed = \"stale\"":                `f.toml:4: view.a.shed: "stale" is not one of "servfail", "refuse", "drop" or "truncate"`,
		"[view.a]\nclients = \"::1\"\nown_cache = true\ncache = false": `f.toml:4: view.a.own_cache: and cache = false: there is nothing to have for oneself`,
		"[view.a]\nclients = \"::1\"\nmax_outstanding = -1":            `f.toml:4: view.a.max_outstanding: -1 is out of range (0 to 1048576)`,
		"[view.a]\ncache = false":                                      `f.toml:2: view.a: has no clients: nobody would be in it`,
		"[view.a]\nclients = \"10.0.0.0\"\npool = \"b\"":               `f.toml:4: view.a.pool: pool "b" is not there: write a table [pool.b]`,
		"[view.a]\nclients = \"::1\"\n[view.b]\nclients = \"::1\"":     `f.toml:5: view.b.clients: ::1/128 is in view "a" already: the longest prefix decides, and these are equal`,
		"[[rule]]\nname = \"a\"\nview = \"b\"\naction.type = \"drop\"": `f.toml:4: rule[0].view: view "b" is not there: write a table [view.b]`,
	} {
		if checked, problems := checkText(good + text + "\n"); checked != nil || problems.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", text, problems, want)
		}
	}
}

// TestPoolOfARule: a pool without suffixes is one that rules send queries to.
func TestPoolOfARule(t *testing.T) {
	text := strings.ReplaceAll(twoPools, "suffixes = \"other\"\n", "")
	if checked, _ := checkText(text); checked != nil {
		t.Error("a pool that nobody is sent to was accepted")
	}
	if checked, problems := checkText(text + "[[rule]]\nname = \"a\"\naction = { type = \"pool\", pool = \"other\" }\n"); checked == nil {
		t.Error(problems)
	}
}
