package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// subnetOf makes a Subnet of text such as "192.0.2.0/24".
func subnetOf(text string) Subnet {
	p := netip.MustParsePrefix(text).Masked()
	s := Subnet{Family: FamilyIPv4, Bits: uint8(p.Bits())}
	if p.Addr().Is6() {
		s.Family = FamilyIPv6
	}
	copy(s.Addr[:], p.Addr().AsSlice())
	return s
}

func TestParseSubnet(t *testing.T) {
	const v4 = "\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02"
	tests := []struct {
		name, options string
		want          Subnet
		found, sound  bool
	}{
		{"no option", "", Subnet{}, false, true},
		{"other options only", "\x00\x0a\x00\x08clientid\x00\x0c\x00\x00", Subnet{}, false, true},
		{"IPv4 /24", v4, subnetOf("192.0.2.0/24"), true, true},
		{"after another option", "\x00\x0a\x00\x08clientid" + v4, subnetOf("192.0.2.0/24"), true, true},
		{"IPv4 /20", "\x00\x08\x00\x07\x00\x01\x14\x00\xc0\x00\x10", subnetOf("192.0.16.0/20"), true, true},
		{"IPv6 /56", "\x00\x08\x00\x0b\x00\x02\x38\x00\x20\x01\x0d\xb8\x00\x01\x02", subnetOf("2001:db8:1:200::/56"), true, true},
		{"IPv4 /0: opting out", "\x00\x08\x00\x04\x00\x01\x00\x00", Subnet{Family: FamilyIPv4}, true, true},
		{"/0 without a family, as dig +subnet=0", "\x00\x08\x00\x04\x00\x00\x00\x00", Subnet{}, true, true},
		{"too few octets", "\x00\x08\x00\x06\x00\x01\x18\x00\xc0\x00", Subnet{}, true, false},
		{"too many octets", "\x00\x08\x00\x08\x00\x01\x18\x00\xc0\x00\x02\x00", Subnet{}, true, false},
		{"bits beyond the prefix", "\x00\x08\x00\x07\x00\x01\x14\x00\xc0\x00\x11", Subnet{}, true, false},
		{"unknown family", "\x00\x08\x00\x07\x00\x03\x18\x00\xc0\x00\x02", Subnet{}, true, false},
		{"family above 255", "\x00\x08\x00\x07\x01\x01\x18\x00\xc0\x00\x02", Subnet{}, true, false},
		{"an address without a family", "\x00\x08\x00\x05\x00\x00\x08\x00\xc0", Subnet{}, true, false},
		{"IPv4 /33", "\x00\x08\x00\x09\x00\x01\x21\x00\xc0\x00\x02\x01\x00", Subnet{}, true, false},
		{"a scope in a query", "\x00\x08\x00\x07\x00\x01\x18\x18\xc0\x00\x02", Subnet{}, true, false},
		{"cut short", "\x00\x08\x00\x03\x00\x01\x18", Subnet{}, true, false},
		{"empty", "\x00\x08\x00\x00", Subnet{}, true, false},
		{"two", v4 + v4, Subnet{}, true, false},
	}
	for _, tt := range tests {
		s, found, sound := ParseSubnet([]byte(tt.options))
		if s != tt.want || found != tt.found || sound != tt.sound {
			t.Errorf("%s: %v, found %v, sound %v; want %v, %v, %v", tt.name, s, found, sound, tt.want, tt.found, tt.sound)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, tt := range []struct {
		from string
		bits uint8
		want string
	}{
		{"192.0.2.129/32", 24, "192.0.2.0/24"},
		{"192.0.2.129/32", 25, "192.0.2.128/25"},
		{"192.0.255.0/24", 20, "192.0.240.0/20"},
		{"192.0.2.0/24", 25, "192.0.2.0/24"},
		{"192.0.2.0/24", 0, "0.0.0.0/0"},
		{"2001:db8:ffff::/48", 33, "2001:db8:8000::/33"},
	} {
		s := subnetOf(tt.from)
		if s.Shorten(tt.bits); s != subnetOf(tt.want) {
			t.Errorf("%s to %d bits: %v, want %s", tt.from, tt.bits, s, tt.want)
		}
	}
}

// withVariants are the keys that one question can have.
func withVariants(key []byte) map[string][]byte {
	v4, v6, out := subnetOf("192.0.2.0/24"), subnetOf("2001:db8:1:200::/56"), Subnet{Family: FamilyIPv4}
	clone := func() []byte { return bytes.Clone(key) }
	return map[string][]byte{
		"plain": clone(), "unsent": AppendUnsent(clone()), "IPv4": AppendSubnet(clone(), &v4), "IPv6": AppendSubnet(clone(), &v6),
		"opted out": AppendSubnet(clone(), &out), "IPv4 scope": AppendScope(clone(), &v4), "IPv6 scope": AppendScope(clone(), &v6),
		"options":          AppendOptions(clone(), []byte("\xfd\xe9\x00\x02hi")),
		"IPv4 and options": AppendOptions(AppendSubnet(clone(), &v4), []byte("\xfd\xe9\x00\x02hi")),
	}
}

// TestKeyOfAnyVariant: whatever follows, the question's part of a key is found, and no two variants are the same key.
func TestKeyOfAnyVariant(t *testing.T) {
	for _, question := range []string{exampleA, "\x00" + typeAIN, longName(255) + typeAIN} {
		plain := mustKey(t, question)
		seen := map[string]string{}
		for name, key := range withVariants(plain) {
			if got := KeyPlain(key); !bytes.Equal(got, plain) {
				t.Errorf("%s: plain key %q, want %q", name, got, plain)
			}
			if got := KeyQuestion(key); string(got) != question {
				t.Errorf("%s: question %q, want %q", name, got, question)
			}
			if got := KeyName(key); string(got) != question[:len(question)-4] {
				t.Errorf("%s: name %q", name, got)
			}
			if !ValidKey(key) || len(key) > KeyBytesMax {
				t.Errorf("%s: not valid", name)
			}
			if other, twice := seen[string(key)]; twice {
				t.Errorf("%s and %s are the same key", name, other)
			}
			seen[string(key)] = name
		}
	}
	key := mustKey(t, exampleA)
	for name, bad := range map[string]string{
		"empty": "", "a name without an end": "\x07exam", "no flags": exampleA, "an unknown kind": string(key) + "\x09", "half a subnet": string(key) + "\x02\x01\x18\xc0",
		"an unknown family": string(key) + "\x02\x03\x08\xc0", "too many bits": string(key) + "\x02\x01\x21\xc0\x00\x02\x01\x00",
		"no options": string(key) + "\x04", "half an option": string(key) + "\x04\xfd\xe9\x00\x02h", "bytes after a scope": string(key) + "\x03\x01\x08\xc0\x00",
	} {
		if ValidKey([]byte(bad)) {
			t.Errorf("%s: valid", name)
		}
	}
}

// TestBuildQueryOfVariants: the oracle sees what the variant says, padded and asked for keepalive too.
func TestBuildQueryOfVariants(t *testing.T) {
	want := map[string]string{
		"plain": "", "unsent": "", "IPv4": "192.0.2.0/24/0", "IPv6": "[2001:db8:1:200::]/56/0", "opted out": "0.0.0.0/0/0",
		"IPv4 scope": "", "IPv6 scope": "", "options": "hi", "IPv4 and options": "192.0.2.0/24/0hi",
	}
	for name, key := range withVariants(mustKey(t, exampleA)) {
		for _, block := range []int{0, 128} {
			dst := make([]byte, PaddedQueryBytesMax)
			n := AskKeepalive(dst, PadQuery(dst, BuildQuery(dst, 7, key, 1232), block), block)
			m := mustUnpack(t, dst[:n])
			checkQuestion(t, m, []byte(exampleA))
			got := ""
			for _, option := range m.IsEdns0().Option {
				switch o := option.(type) {
				case *dns.EDNS0_SUBNET:
					got += o.String()
				case *dns.EDNS0_LOCAL:
					got += string(o.Data)
				}
			}
			if got != want[name] || block != 0 && n%block != 0 {
				t.Errorf("%s: %q in %d bytes, want %q", name, got, n, want[name])
			}
		}
		bare, sent := KeySubnet(KeyWithoutSubnet(new([KeyBytesMax]byte), key))
		if sent {
			t.Errorf("%s: %v is still sent", name, bare)
		}
		if got, want := KeyOptions(KeyWithoutSubnet(new([KeyBytesMax]byte), key)), KeyOptions(key); !bytes.Equal(got, want) {
			t.Errorf("%s: without a subnet it has options %q, want %q", name, got, want)
		}
	}
}

// TestResponseSubnet: RFC 7871 §7.3: an option that does not repeat the query's makes the whole response worthless.
func TestResponseSubnet(t *testing.T) {
	keys := withVariants(mustKey(t, exampleA))
	response := func(options string) []byte {
		return []byte(answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt1232[:9] + string([]byte{0, byte(len(options))}) + options)
	}
	for _, tt := range []struct {
		name, key, options string
		scope              uint8
		want               Fault
	}{
		{"echo with a scope", "IPv4", "\x00\x08\x00\x07\x00\x01\x18\x10\xc0\x00\x02", 16, FaultNone},
		{"scope longer than source", "IPv4", "\x00\x08\x00\x07\x00\x01\x18\x20\xc0\x00\x02", 32, FaultNone},
		{"no option: for everybody", "IPv4", "", 0, FaultNone},
		{"another address", "IPv4", "\x00\x08\x00\x07\x00\x01\x18\x10\xc0\x00\x03", 0, FaultSubnet},
		{"another length", "IPv4", "\x00\x08\x00\x06\x00\x01\x10\x10\xc0\x00", 0, FaultSubnet},
		{"another family", "IPv4", "\x00\x08\x00\x07\x00\x02\x18\x10\xc0\x00\x02", 0, FaultSubnet},
		{"impossible scope", "IPv4", "\x00\x08\x00\x07\x00\x01\x18\x21\xc0\x00\x02", 0, FaultSubnet},
		{"malformed", "IPv4", "\x00\x08\x00\x03\x00\x01\x18", 0, FaultSubnet},
		{"not asked for", "plain", "\x00\x08\x00\x07\x00\x01\x18\x10\xc0\x00\x02", 0, FaultNone},
		{"not asked for, malformed", "unsent", "\x00\x08\x00\x00", 0, FaultNone},
		{"opted out, answered with a family", "opted out", "\x00\x08\x00\x04\x00\x02\x00\x00", 0, FaultNone},
	} {
		var a Answer
		got := ParseResponse(response(tt.options), keys[tt.key], &a, new(ResponseScratch))
		if got != tt.want || got == FaultNone && a.Told.Scope != tt.scope {
			t.Errorf("%s: %v, %v; want %v, %d", tt.name, got, a.Told, tt.want, tt.scope)
		}
	}
}

// TestResponseOptions: extended error and other options are found wherever the OPT stands; what is private to the server is no error to tell.
func TestResponseOptions(t *testing.T) {
	const options = "\x00\x0f\x00\x08\x00\x09forged\xfd\xe9\x00\x02hi"
	opt := opt1232[:9] + string([]byte{0, byte(len(options))}) + options
	for name, msg := range map[string]string{
		"last":  answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt,
		"first": answerHead(flagsAnswer, 0, 0, 2) + exampleA + opt + addressA,
	} {
		var a Answer
		scratch := new(ResponseScratch)
		if fault := ParseResponse([]byte(msg), mustKey(t, exampleA), &a, scratch); fault != FaultNone || a.Extended != 9 || string(a.Told.Options) != options {
			t.Errorf("OPT %s: %v, extended error %d, options %q", name, fault, a.Extended, a.Told)
		}
		if got := SelectOptions(nil, a.Told.Options, []uint16{3, 65001}); string(got) != "\xfd\xe9\x00\x02hi" {
			t.Errorf("selected %q", got)
		}
	}
	var a Answer
	private := "\x00\x0f\x00\x02\xc0\x00"
	msg := answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt1232[:9] + "\x00\x06" + private
	if fault := ParseResponse([]byte(msg), mustKey(t, exampleA), &a, new(ResponseScratch)); fault != FaultNone || a.Extended != 0 {
		t.Errorf("%v, extended error %d, want none", fault, a.Extended)
	}
}

func TestSelectOptionsBounded(t *testing.T) {
	long := append([]byte{0xFD, 0xE9, 0, PassedOptionsMax - 4}, make([]byte, PassedOptionsMax-4)...)
	if got := SelectOptions([]byte{}, long, []uint16{65001}); len(got) != PassedOptionsMax {
		t.Errorf("%d bytes, want %d", len(got), PassedOptionsMax)
	}
	if got := SelectOptions([]byte{}, append(long, 0xFD, 0xE9, 0, 0), []uint16{65001}); got != nil {
		t.Errorf("%d bytes, more than fit", len(got))
	}
}

// FuzzParseSubnet: what we take from a query's options miekg/dns reads alike, and what we write it reads as that; what we refuse, it refuses or
// reads as something that RFC 7871 forbids.
func FuzzParseSubnet(f *testing.F) {
	f.Add([]byte("\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02"))             // IPv4 /24
	f.Add([]byte("\x00\x08\x00\x0b\x00\x02\x38\x00\x20\x01\x0d\xb8\x00\x01")) // IPv6, cut short
	f.Add([]byte("\x00\x08\x00\x04\x00\x00\x00\x00"))                         // opting out
	f.Add([]byte("\x00\x0a\x00\x08clientid\x00\x08\x00\x06\x00\x01\x0c\x00\xc0\x10"))
	f.Fuzz(func(t *testing.T, options []byte) {
		if len(options) > 1000 || !wholeOptions(options) {
			return
		}
		s, found, sound := ParseSubnet(options)
		msg := []byte(idQuery + oneOPT + exampleA + opt1232[:9] + string([]byte{byte(len(options) >> 8), byte(len(options))}) + string(options))
		m := new(dns.Msg)
		if m.Unpack(msg) != nil {
			if found && sound && onlySubnets(options) {
				t.Fatalf("miekg/dns refuses %x", options)
			}
			return
		}
		var theirs []*dns.EDNS0_SUBNET
		for _, option := range m.IsEdns0().Option {
			if o, ok := option.(*dns.EDNS0_SUBNET); ok {
				theirs = append(theirs, o)
			}
		}
		if found != (len(theirs) > 0) {
			t.Fatalf("found %v, oracle %v", found, theirs)
		}
		if !found || !sound {
			return
		}
		o := theirs[0]
		bytesOf := o.Address
		if o.Family == FamilyIPv4 {
			bytesOf = o.Address.To4()
		}
		if len(theirs) != 1 || o.Family != uint16(s.Family) || o.SourceNetmask != s.Bits || o.SourceScope != 0 ||
			s.Family != 0 && !bytes.Equal(bytesOf, s.Addr[:len(bytesOf)]) {
			t.Fatalf("%+v, oracle %v", s, theirs)
		}
		again, _, ok := ParseSubnet(AppendSubnetOption(nil, &s, 0))
		if !ok || again != s {
			t.Fatalf("%+v, written and read %+v", s, again)
		}
		key := AppendSubnet(mustKey(t, exampleA), &s)
		if got, sent := KeySubnet(key); !sent || got != s || !ValidKey(key) {
			t.Fatalf("%+v, through a key %+v", s, got)
		}
	})
}

// onlySubnets says whether there is no other option, which the oracle may dislike.
func onlySubnets(options []byte) bool {
	for len(options) > 0 {
		if options[0] != 0 || options[1] != optionSubnet {
			return false
		}
		options = options[4+int(options[2])<<8+int(options[3]):]
	}
	return true
}
