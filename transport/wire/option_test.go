package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// builtQuery returns the upstream query for a name of n bytes, with room behind it.
func builtQuery(t testing.TB, n int) (dst []byte, size int) {
	t.Helper()
	dst = bytes.Repeat([]byte{0xEE}, PaddedQueryBytesMax) // what was there before must not show
	return dst, BuildQuery(dst, 0x1234, mustKey(t, longName(n)+typeAIN), 1232)
}

// optionsOf returns code and length of each option in the order of the message.
func optionsOf(m *dns.Msg) (list [][2]int) {
	for _, o := range m.IsEdns0().Option {
		size := 0
		if p, ok := o.(*dns.EDNS0_PADDING); ok {
			size = len(p.Padding)
			if bytes.Count(p.Padding, []byte{0}) != size {
				size = -1
			}
		}
		list = append(list, [2]int{int(o.Option()), size})
	}
	return list
}

// TestPaddedQueriesHideTheirLength pads a query for a name of every length with several blocks, and then asks for a keepalive.
func TestPaddedQueriesHideTheirLength(t *testing.T) {
	for _, block := range []int{1, 16, 128, 200, 256, 468, 512} {
		for n := 1; n <= NameBytesMax; n++ {
			if n == 2 {
				continue // no such name
			}
			dst, built := builtQuery(t, n)
			padded := PadQuery(dst, built, block)
			if padded%block != 0 && padded != PaddedQueryBytesMax || padded < built+4 || padded > PaddedQueryBytesMax || padded-built-4 >= block {
				t.Fatalf("name of %d bytes, block %d: %d bytes from %d", n, block, padded, built)
			}
			m := mustUnpack(t, dst[:padded])
			if got := optionsOf(m); len(got) != 1 || got[0] != [2]int{optionPadding, padded - built - 4} {
				t.Fatalf("name of %d bytes, block %d: options %v", n, block, got)
			}
			if size := PadQuery(dst, AskKeepalive(dst, padded, block), 0); size%block != 0 && size != PaddedQueryBytesMax || size < padded || size > PaddedQueryBytesMax {
				t.Fatalf("name of %d bytes, block %d: %d bytes with keepalive, %d without", n, block, size, padded)
			} else if got := optionsOf(mustUnpack(t, dst[:size])); len(got) != 2 || got[0] != [2]int{optionKeepalive, 0} || got[1] != [2]int{optionPadding, size - built - 8} {
				t.Fatalf("name of %d bytes, block %d: options %v in %d bytes", n, block, got, size)
			}
		}
	}
}

// TestAskKeepaliveWithoutPadding: four bytes more, and the rest as it was.
func TestAskKeepaliveWithoutPadding(t *testing.T) {
	dst, built := builtQuery(t, 20)
	want := mustUnpack(t, dst[:built])
	want.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	n := AskKeepalive(dst, built, 128)
	if got := mustUnpack(t, dst[:n]); n != built+4 || got.String() != want.String() {
		t.Errorf("%d bytes from %d:\n%v\nwant\n%v", n, built, got, want)
	}
	if !strings.HasSuffix(string(dst[:n]), "\x00\x04\x00\x0b\x00\x00") {
		t.Errorf("got %x at the end, want an empty option of code 11", dst[n-6:n])
	}
}

// TestOptionsLeaveOtherMessagesAlone: no OPT at the end, or no room.
func TestOptionsLeaveOtherMessagesAlone(t *testing.T) {
	const lastRoom = 2 // too little for an option's code and length
	filler := PaddedQueryBytesMax - lastRoom - len(idQuery+oneOPT+exampleA+opt1232) - 4
	full := idQuery + oneOPT + exampleA + optWith("\xff\x00\x01"+string([]byte{byte(filler - 256)})+strings.Repeat("x", filler))
	for name, msg := range map[string]string{
		"empty":               "",
		"no OPT":              idQuery + one + exampleA,
		"another record":      idQuery + oneOPT + exampleA + addressA,
		"bytes after the OPT": idQuery + oneOPT + exampleA + opt1232 + "x",
		"broken options":      idQuery + oneOPT + exampleA + opt1232[:9] + "\x00\x01x",
		"compressed question": idQuery + oneOPT + "\xc0\x0c" + typeAIN + opt1232,
		"full":                full,
	} {
		dst := make([]byte, len(msg)+PaddedQueryBytesMax)
		copy(dst, msg)
		if n := PadQuery(dst, len(msg), 128); n != len(msg) || string(dst[:n]) != msg {
			t.Errorf("%s: padded to %d bytes", name, n)
		}
		if n := AskKeepalive(dst, len(msg), 128); n != len(msg) || string(dst[:n]) != msg {
			t.Errorf("%s: asked for a keepalive in %d bytes", name, n)
		}
	}
}

// optWith is an OPT with options.
func optWith(options string) string {
	return opt1232[:9] + string(binary.BigEndian.AppendUint16(nil, uint16(len(options)))) + options
}

// keepaliveResponses are responses with what they announce; -1: nothing.
var keepaliveResponses = []struct {
	name string
	msg  string
	want int
}{
	{"no OPT", answerHead(flagsAnswer, 1, 0, 0) + exampleA + addressA, -1},
	{"OPT without options", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt1232, -1},
	{"announced", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + optWith("\x00\x0b\x00\x02\x01\x2c"), 300},
	{"close as soon as you can", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + optWith("\x00\x0b\x00\x02\x00\x00"), 0},
	{"without a timeout", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + optWith("\x00\x0b\x00\x00"), -1},
	{"of three bytes", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + optWith("\x00\x0b\x00\x03\x01\x2c\x00"), -1},
	{"behind a cookie, before padding", answerHead(flagsAnswer, 0, 1, 1) + exampleA + soa900 + optWith("\x00\x0a\x00\x0801234567\x00\x0b\x00\x02\x00\x0a\x00\x0c\x00\x03\x00\x00\x00"), 10},
	{"OPT before another record", answerHead(flagsAnswer, 0, 0, 2) + exampleA + optWith("\x00\x0b\x00\x02\x00\x07") + addressA, 7},
	{"option cut short", answerHead(flagsAnswer, 0, 0, 1) + exampleA + optWith("\x00\x0b\x00\x02\x01"), -1},
	{"OPT among the answers", answerHead(flagsAnswer, 1, 0, 0) + exampleA + optWith("\x00\x0b\x00\x02\x01\x2c"), -1},
	{"record cut short", answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA[:15], -1},
	{"counts beyond the message", answerHead(flagsAnswer, 0xFFFF, 0xFFFF, 0xFFFF) + exampleA + addressA, -1},
}

func TestKeepalive(t *testing.T) {
	for _, tt := range keepaliveResponses {
		got := -1
		if timeout, ok := Keepalive([]byte(tt.msg)); ok {
			got = int(timeout)
		}
		if got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestHopOptionsStayOnTheHop: padding and keepalive of an upstream change nothing of what a client gets.
func TestHopOptionsStayOnTheHop(t *testing.T) {
	read := func(opt string) (a Answer) {
		msg := []byte(answerHead(flagsAnswer, 1, 0, 1) + exampleA + addressA + opt)
		if fault := ParseResponse(msg, mustKey(t, exampleA), &a, new(ResponseScratch)); fault != FaultNone {
			t.Fatal(fault)
		}
		return a
	}
	wantAnswer(t, read(optWith("\x00\x0b\x00\x02\x01\x2c\x00\x0c\x01\x00"+strings.Repeat("\x00", 256))), read(opt1232))
}

// FuzzKeepalive: no panic; where miekg/dns can read the message and it has one OPT, both find the same in it. Its own form of the message is what
// is compared: it also reads names that point forward, which is not a "prior occurrence" (RFC 1035 §4.1.4) and ends our walk.
func FuzzKeepalive(f *testing.F) {
	for _, r := range keepaliveResponses {
		f.Add([]byte(r.msg))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		Keepalive(msg)
		var m dns.Msg
		if m.Unpack(msg) != nil {
			return
		}
		plain, err := m.Pack()
		if err != nil || m.Unpack(plain) != nil {
			return
		}
		timeout, announced := Keepalive(plain)
		opts, want, found := 0, uint16(0), false
		for _, rr := range m.Extra {
			opt, ok := rr.(*dns.OPT)
			if !ok {
				continue
			}
			opts++
			for _, o := range opt.Option {
				// The oracle reads an option without a timeout as one of 0, so 0 is for the table above.
				if k, ok := o.(*dns.EDNS0_TCP_KEEPALIVE); ok && !found && k.Timeout != 0 {
					want, found = k.Timeout, true
				}
			}
		}
		if opts != 1 || announced && timeout == 0 {
			return
		}
		if announced != found || timeout != want {
			t.Fatalf("got %d, %t; oracle %d, %t", timeout, announced, want, found)
		}
	})
}

// FuzzHopOptions: whatever the query, padding and asking leave what miekg/dns reads of it as it was but for the two options.
func FuzzHopOptions(f *testing.F) {
	f.Add([]byte(idQuery+oneOPT+exampleA+opt1232), uint8(128))
	f.Add([]byte(idQuery+oneOPT+exampleA+optWith("\x00\x0a\x00\x0801234567")), uint8(16))
	f.Add([]byte(idQuery+oneOPT+"\x00"+typeAIN+opt1232DO), uint8(1))
	f.Add([]byte(idQuery+one+exampleA), uint8(128))
	f.Fuzz(func(t *testing.T, query []byte, block uint8) {
		if len(query) > PaddedQueryBytesMax {
			return
		}
		dst := make([]byte, PaddedQueryBytesMax)
		n := copy(dst, query)
		padded := PadQuery(dst, n, int(block))
		asked := AskKeepalive(dst, padded, int(block))
		if padded == n || asked == padded && padded%max(int(block), 1) != 0 && padded != PaddedQueryBytesMax {
			return
		}
		var before dns.Msg
		if before.Unpack(query) != nil || before.IsEdns0() == nil {
			return
		}
		for _, o := range before.IsEdns0().Option {
			if code := o.Option(); code == optionPadding || code == optionKeepalive {
				return
			}
		}
		after := mustUnpack(t, dst[:asked])
		options, kept := after.IsEdns0().Option, []dns.EDNS0(nil)
		for _, o := range options {
			if code := o.Option(); code != optionPadding && code != optionKeepalive {
				kept = append(kept, o)
			}
		}
		after.IsEdns0().Option = kept
		if after.String() != before.String() || len(options) == len(kept) {
			t.Fatalf("%v\nbecame, with %d options,\n%v", &before, len(options), after)
		}
	})
}
