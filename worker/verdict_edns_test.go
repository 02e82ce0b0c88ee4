package worker

import (
	"slices"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/policy"
	"secure-dns-proxy/worker/subnet"
)

// of is a rule for the clients of one prefix.
func of(prefix string, a policy.Action) policy.Rule {
	r := always(a)
	r.Match = policy.Match{Op: policy.All, Of: []policy.Match{{Selector: policy.Selector{Kind: policy.Source, Prefixes: prefixesOf(prefix)}}}}
	return r
}

// tell is the action that upstreams are told what s says.
func tell(s subnet.Spec) policy.Action {
	s.IPv4, s.IPv6 = 24, 56
	return policy.Action{Do: policy.TellSubnet, Subnet: &s}
}

func networkOf(text string) (s wire.Subnet) {
	p := prefixesOf(text)[0]
	s.Family, s.Bits = wire.FamilyIPv4, uint8(p.Bits())
	if p.Addr().Is6() {
		s.Family = wire.FamilyIPv6
	}
	copy(s.Addr[:], p.Addr().AsSlice())
	return s
}

func setOption(code uint16, data ...byte) policy.Action {
	return policy.Action{Do: policy.SetOption, Codes: []uint16{code}, Option: wire.AppendOption(nil, code, data)}
}

// told is what the oldest query that upstream n has is sent beside its question; it stays the oldest.
func (r *ruled) told(n int) (options string) {
	r.t.Helper()
	d := r.pending(n)
	r.asked[n-1] = slices.Insert(r.asked[n-1], 0, d)
	for _, o := range unpack(r.t, d.data).IsEdns0().Option {
		options += describeOption(o)
	}
	return options
}

// TestClientSubnetByRule: what a rule says of a client's network goes before what the pool says, which is nothing or its own.
func TestClientSubnetByRule(t *testing.T) {
	instead := subnet.Spec{Mode: subnet.Override, Instead: [2]wire.Subnet{networkOf("198.51.100.0/24")}}
	both := subnet.Spec{Mode: subnet.Add, Instead: [2]wire.Subnet{networkOf("198.51.100.0/24"), networkOf("2001:db8::/32")}}
	adds := func(s *Snapshot) {
		for i := range s.Pools {
			s.Pools[i].Subnet = subnet.Spec{Mode: subnet.Add, IPv4: 24, IPv6: 56}
		}
	}
	for _, tt := range []struct {
		name   string
		pool   func(*Snapshot)
		rule   policy.Action
		query  string
		told   string // what the upstream is
		client string // what the client is, of an answer for 16 bits
	}{
		{"add", func(*Snapshot) {}, tell(subnet.Spec{Mode: subnet.Add}), "from=192.0.2.7:1", " subnet 192.0.2.0/24/0", ""},
		{"add, the client has one", func(*Snapshot) {}, tell(subnet.Spec{Mode: subnet.Add}), "from=192.0.2.7:1 subnet=203.0.113.0/24", " subnet 203.0.113.0/24/0", " subnet 203.0.113.0/24/16"},
		{"override", func(*Snapshot) {}, tell(subnet.Spec{Mode: subnet.Override}), "from=192.0.2.7:1 subnet=203.0.113.0/24", " subnet 192.0.2.0/24/0", " subnet 203.0.113.0/24/0"},
		{"a network of the rule's", func(*Snapshot) {}, tell(instead), "from=10.0.0.7:1", " subnet 198.51.100.0/24/0", ""},
		{"that for an IPv6 client", func(*Snapshot) {}, tell(instead), "from=[2001:db8:7::1]:1", " subnet 198.51.100.0/24/0", ""},
		{"one of two", func(*Snapshot) {}, tell(both), "from=[2001:db9::1]:1", " subnet 2001:db8::/32/0", ""},
		{"not in place of the client's", func(*Snapshot) {}, tell(both), "from=192.0.2.7:1 subnet=203.0.113.0/24", " subnet 203.0.113.0/24/0", " subnet 203.0.113.0/24/16"},
		{"nor where it opts out", func(*Snapshot) {}, tell(instead), "from=192.0.2.7:1 optout", " subnet 0.0.0.0/0/0", " subnet 0.0.0.0/0/0"},
		{"strip", adds, tell(subnet.Spec{}), "from=192.0.2.7:1 subnet=203.0.113.0/24", "", ""},
		{"pass", adds, tell(subnet.Spec{Mode: subnet.Pass}), "from=192.0.2.7:1", "", ""},
	} {
		for _, chain := range []policy.Chain{policy.ChainQuery, policy.ChainMiss} {
			t.Run(tt.name+" "+chain.String(), func(t *testing.T) {
				r := newRuledOf(t, tt.pool, in(chain, always(tt.rule)))
				r.send("a. A edns " + tt.query)
				if got := r.told(1); got != tt.told {
					t.Errorf("the upstream is told %q, want %q", got, tt.told)
				}
				answer := " | a. 100 IN A 192.0.2.1"
				if tt.told != "" && tt.told != " subnet 0.0.0.0/0/0" {
					answer = "scope=16" + answer
				}
				r.expect("client", r.give(1, answer), `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232`+tt.client)
				got, asked := r.send("a. A edns " + tt.query)
				if r.expect("again", got, `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232`+tt.client); asked != 0 {
					t.Error("the answer was not kept")
				}
			})
		}
	}
}

// TestSubnetsOfRulesApart: who is told of and who is not do not get each other's answers, but for one that is good for everybody.
func TestSubnetsOfRulesApart(t *testing.T) {
	r := newRuled(t, of("10.1.0.0/16", tell(subnet.Spec{Mode: subnet.Override, Instead: [2]wire.Subnet{networkOf("198.51.100.0/24")}})),
		of("10.2.0.0/16", tell(subnet.Spec{Mode: subnet.Override, Instead: [2]wire.Subnet{networkOf("203.0.113.0/24")}})))
	r.send("a. A from=10.9.0.1:1")
	r.give(1, "| a. 100 IN A 192.0.2.9")
	r.send("a. A from=10.1.0.1:1")
	if got := r.told(1); got != " subnet 198.51.100.0/24/0" {
		t.Fatalf("told %q", got)
	}
	r.give(1, "scope=24 | a. 100 IN A 192.0.2.1")
	r.send("a. A from=10.2.0.1:1")
	r.give(1, "scope=24 | a. 100 IN A 192.0.2.2")
	for from, want := range map[string]string{"10.9.0.2": "192.0.2.9", "10.1.0.2": "192.0.2.1", "10.2.0.2": "192.0.2.2"} {
		got, asked := r.send("a. A from=" + from + ":1")
		if r.expect(from, got, "NOERROR rd ra | a. A | a. 100 IN A "+want); asked != 0 {
			t.Errorf("%s: asked again", from)
		}
	}
	r.send("b. A from=10.1.0.1:1")
	r.give(1, "scope=0 | b. 100 IN A 192.0.2.1")
	for _, from := range []string{"10.9.0.2", "10.1.0.2", "10.2.0.2"} {
		if _, asked := r.send("b. A from=" + from + ":1"); asked != 0 {
			t.Errorf("%s: what is good for everybody was asked for again", from)
		}
	}
}

// TestSetOption: upstreams are sent it, clients are not told of it, and answers to it are kept for those who are sent the same.
func TestSetOption(t *testing.T) {
	for _, chain := range []policy.Chain{policy.ChainQuery, policy.ChainMiss} {
		r := newRuled(t, in(chain, of("10.1.0.0/16", setOption(65001, 1, 2))), in(chain, of("10.2.0.0/16", setOption(65001, 9))), in(chain, of("10.2.1.0/24", setOption(65001, 3))),
			in(chain, of("10.3.0.0/16", setOption(65002))), in(chain, of("10.3.0.0/16", setOption(65003, 7))))
		for i, tt := range []struct{ from, told string }{
			{"10.9.0.1", ""},
			{"10.1.0.1", " option 65001 0102"},
			{"10.2.0.1", " option 65001 09"},
			{"10.2.1.1", " option 65001 03"},
			{"10.3.0.1", " option 65002  option 65003 07"},
		} {
			address, name := "192.0.2."+string(rune('1'+i)), "a."
			if chain == policy.ChainMiss { // what one of them has got is no miss for the others
				name = string(rune('a'+i)) + "."
			}
			if r.send(name + " A edns from=" + tt.from + ":1"); r.told(1) != tt.told {
				t.Fatalf("%s, %s: the upstream is told %q, want %q", chain, tt.from, r.told(1), tt.told)
			}
			want := `NOERROR rd ra | ` + name + ` A | ` + name + ` 100 IN A ` + address + ` | edns 1232`
			r.expect(tt.from, r.give(1, "raw=65001:ff | "+name+" 100 IN A "+address), want)
			got, asked := r.send(name + " A edns from=" + tt.from + ":2")
			if r.expect(tt.from+" again", got, want); asked != 0 {
				t.Errorf("%s, %s: not kept", chain, tt.from)
			}
		}
	}
}

// TestSetOptionWithSubnet: an answer to both is kept under its scope and the option.
func TestSetOptionWithSubnet(t *testing.T) {
	r := newRuled(t, always(tell(subnet.Spec{Mode: subnet.Add})), of("192.0.2.0/24", setOption(65001, 1)))
	for _, scope := range []string{"scope=16", "scope=0"} {
		name := map[string]string{"scope=16": "a.", "scope=0": "b."}[scope]
		r.send(name + " A from=192.0.2.1:1")
		if got := r.told(1); got != " subnet 192.0.2.0/24/0 option 65001 01" {
			t.Errorf("told %q", got)
		}
		r.give(1, scope+" | "+name+" 100 IN A 192.0.2.1")
		if _, asked := r.send(name + " A from=192.0.2.9:1"); asked != 0 {
			t.Errorf("%s: not kept", scope)
		}
		if _, asked := r.send(name + " A from=192.0.3.1:1"); asked != 1 {
			t.Errorf("%s: given to somebody without the option", scope)
		}
		r.give(1, scope+" | "+name+" 100 IN A 192.0.2.2")
	}
}

// TestStripOption: of what is passed on, and of what is passed back. Without anything that nobody understands, the answer is kept.
func TestStripOption(t *testing.T) {
	passes := func(s *Snapshot) { s.PassOptions, s.PassErrors = []uint16{65001, 65002}, true }
	strip := func(codes ...uint16) policy.Action { return policy.Action{Do: policy.StripOption, Codes: codes} }
	const query = "a. A raw=65001:01 raw=65002:02"
	for _, tt := range []struct {
		name   string
		rules  []policy.Rule
		told   string
		client string
		asks   int // the second time
	}{
		{"nothing", nil, " option 65001 01 option 65002 02", ` option 65001 11 option 65002 22 ede="DNSSEC Bogus: said the upstream"`, 1},
		{"one", []policy.Rule{always(strip(65001))}, " option 65002 02", ` option 65001 11 option 65002 22`, 1},
		{"all", []policy.Rule{always(strip(65001, 65002))}, "", "", 0},
		{"one is replaced", []policy.Rule{always(setOption(65001, 0xAA))}, " option 65002 02 option 65001 aa", ` option 65001 11 option 65002 22`, 1},
		{"on a miss", []policy.Rule{in(policy.ChainMiss, always(strip(65001, 65002)))}, "", "", 0},
		{"in the answer", []policy.Rule{in(policy.ChainResponse, always(strip(65001, wire.OptionEDE)))}, " option 65001 01 option 65002 02", ` option 65002 22`, 1},
		{"all in the answer", []policy.Rule{in(policy.ChainResponse, always(strip(65001))), {Name: "b", Chain: policy.ChainResponse, Match: policy.Everything(), Action: strip(65002, wire.OptionEDE)}}, " option 65001 01 option 65002 02", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRuledOf(t, passes, tt.rules...)
			if r.send(query); r.told(1) != tt.told {
				t.Errorf("told %q, want %q", r.told(1), tt.told)
			}
			answer := "raw=65001:11 raw=65002:22 | a. 100 IN A 192.0.2.1"
			if tt.name == "nothing" || tt.client == "" || tt.name == "in the answer" {
				answer = "ede=6 " + answer
			}
			want := `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232` + tt.client
			got := r.give(1, answer)
			if tt.name == "nothing" {
				want = `NOERROR rd ra | a. A | a. 100 IN A 192.0.2.1 | edns 1232 option 65001 11 option 65002 22 ede="DNSSEC Bogus"`
			}
			if tt.told == "" {
				want += ` ede="DNSSEC Bogus"`
			}
			r.expect("client", got, want)
			if _, asked := r.send(query); asked != tt.asks {
				t.Errorf("asked %d times again, want %d", asked, tt.asks)
			}
		})
	}
}

// TestTooManyOptions: what does not fit is refused, not left out.
func TestTooManyOptions(t *testing.T) {
	long := make([]byte, 30)
	r := newRuled(t, always(setOption(65001, long...)), of("10.1.0.0/16", setOption(65002, long...)))
	if _, asked := r.send("a. A edns"); asked != 1 {
		t.Fatal("not asked")
	}
	got, asked := r.send("a. A edns from=10.1.0.1:1")
	if r.expect("two", got, `REFUSED rd ra | a. A | edns 1232 ede="Not Supported: EDNS options of this length"`); asked != 0 || r.w.stats.OptionsRefused != 1 {
		t.Errorf("%d asked, %d counted", asked, r.w.stats.OptionsRefused)
	}
	var many []policy.Rule
	for i := range 9 {
		many = append(many, always(setOption(uint16(65001+i))))
	}
	got, _ = newRuled(t, many...).send("a. A edns")
	r.expect("nine", got, `REFUSED rd ra | a. A | edns 1232 ede="Not Supported: EDNS options of this length"`)
}

// TestExtendedErrorOfRules: in every answer of a rule's making, with the text that it gives or that an earlier rule gave; RFC 8914 §2.
func TestExtendedErrorOfRules(t *testing.T) {
	reason, err := wire.ReasonOf(wire.EDEBlocked, "by order of the court")
	if err != nil {
		t.Fatal(err)
	}
	const told = ` | edns 1232 ede="Blocked: by order of the court"`
	extend := always(policy.Action{Do: policy.Extend, Extended: reason})
	const silent = uint16(wire.EDENone)
	answer := answerOf("192.0.2.7")
	answer.Other = &wire.Answer{Negative: true}
	for _, tt := range []struct {
		name  string
		rules []policy.Rule
		query string
		want  string
	}{
		{"its own", []policy.Rule{always(policy.Action{Do: policy.Answer, RCode: 5, Extended: reason})}, "a. A", "REFUSED rd ra | a. A" + told},
		{"an earlier rule's", []policy.Rule{extend, always(policy.Action{Do: policy.Answer, RCode: 5, Extended: silent})}, "a. A", "REFUSED rd ra | a. A" + told},
		{"of an earlier chain", []policy.Rule{extend, in(policy.ChainMiss, always(policy.Action{Do: policy.Answer, RCode: 3, Extended: silent}))}, "a. A", "NXDOMAIN rd ra | a. A" + told},
		{"its own goes first", []policy.Rule{always(policy.Action{Do: policy.Extend, Extended: 4}), always(policy.Action{Do: policy.Answer, RCode: 5, Extended: reason})}, "a. A", "REFUSED rd ra | a. A" + told},
		{"truncated", []policy.Rule{always(policy.Action{Do: policy.Truncate, Extended: reason})}, "a. A", "NOERROR tc rd ra | a. A" + told},
		{"with a record", []policy.Rule{extend, always(policy.Action{Do: policy.Answer, Records: answer})}, "a. A", "NOERROR rd ra | a. A | a. 60 IN A 192.0.2.7" + told},
		{"without", []policy.Rule{extend, always(policy.Action{Do: policy.Answer, Records: answer})}, "a. MX", "NOERROR rd ra | a. MX" + told},
		{"over the rate", []policy.Rule{extend, always(policy.Action{Do: policy.Limit, Rate: policy.Rate{PerSecond: 1, Burst: 1}, Over: policy.Answer, RCode: 5, Extended: silent})}, "a. A", "REFUSED rd ra | a. A" + told},
		{"of a fault", []policy.Rule{extend, always(policy.Action{Do: policy.Answer, RCode: 5, Extended: silent})}, "a. AXFR", "REFUSED rd ra | a. AXFR" + told},
		{"own chain, error", []policy.Rule{always(refuse()), {Name: "own", Chain: policy.ChainOwn, Match: policy.Everything(), Action: policy.Action{Do: policy.Extend, Extended: reason}}}, "a. A", "REFUSED rd ra | a. A" + told},
		{"own chain, truncated", []policy.Rule{always(refuse()), {Name: "own", Chain: policy.ChainOwn, Match: policy.Everything(), Action: policy.Action{Do: policy.Truncate, Extended: reason}}}, "a. A", "NOERROR tc rd ra | a. A" + told},
		{"own chain, rcode", []policy.Rule{extend, always(refuse()), {Name: "own", Chain: policy.ChainOwn, Match: policy.Everything(), Action: policy.Action{Do: policy.Answer, RCode: 3, Extended: silent}}}, "a. A", "NXDOMAIN rd ra | a. A" + told},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRuled(t, tt.rules...)
			if tt.name == "over the rate" {
				r.send("a. A")
			}
			got, _ := r.send(tt.query + " edns")
			r.expect("udp", got, tt.want)
			if tt.name != "truncated" && tt.name != "own chain, truncated" {
				got, _ = r.send(tt.query + " edns tcp from=10.9.8.7:1")
				r.expect("tcp", got, tt.want)
			}
			if got, _ = r.send(tt.query); got != nil && got.IsEdns0() != nil {
				t.Error("told a client without EDNS")
			}
		})
	}
	response := newRuled(t, in(policy.ChainResponse, always(policy.Action{Do: policy.Answer, RCode: dns.RcodeNameError, Extended: reason})))
	response.send("a. A edns")
	response.expect("response", response.give(1, "| a. 9 IN A 192.0.2.1"), "NXDOMAIN rd ra | a. A"+told)
}
