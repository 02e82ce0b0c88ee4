package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestReasonOf: the same pair has the same number for good, which is told as code and text, and what does not fit is refused.
func TestReasonOf(t *testing.T) {
	first, err := ReasonOf(EDEOther, "maintenance")
	if err != nil {
		t.Fatal(err)
	}
	second, _ := ReasonOf(EDEBlocked, "maintenance")
	if again, err := ReasonOf(EDEOther, "maintenance"); again != first || err != nil || second == first || first <= EDECodeMax {
		t.Errorf("%d, %d, again %d (%v)", first, second, again, err)
	}
	for number, want := range map[uint16]string{first: "0 maintenance", second: "15 maintenance"} {
		dst := make([]byte, ErrorBytesMax)
		c := Client{ID: 1, HasOPT: true, Limit: ReplyBytesMin, Extended: number}
		for how, n := range map[string]int{"error": WriteError(dst, &c, RCodeRefused, EDENone, 1232), "reply": WriteReply(dst, &c, &Answer{}, 0, 1232)} {
			var m dns.Msg
			if err := m.Unpack(dst[:n]); err != nil {
				t.Fatal(how, err)
			}
			if o := m.IsEdns0().Option[0].(*dns.EDNS0_EDE); fmt.Sprint(o.InfoCode, " ", o.ExtraText) != want {
				t.Errorf("%s: %d %q, want %q", how, o.InfoCode, o.ExtraText, want)
			}
		}
	}
	if Portable(first) != EDEOther || Portable(second) != EDEBlocked || Portable(ReasonRate) != EDEOther || Portable(EDEStaleAnswer) != EDEStaleAnswer {
		t.Error("a number of ours is taken for one that other processes know")
	}
	if code, text := told(textFirst + TextsMax - 1); code != EDEOther || text != "" {
		t.Errorf("a number that was never given: %d %q", code, text)
	}
	for _, bad := range []struct {
		code uint16
		text string
	}{{EDECodeMax + 1, "a"}, {EDEOther, ""}, {EDEOther, strings.Repeat("a", EDETextBytesMax+1)}, {EDEOther, "\xff"}} {
		if _, err := ReasonOf(bad.code, bad.text); err == nil {
			t.Errorf("%d %q was accepted", bad.code, bad.text)
		}
	}
}

// TestDropOptions: in place, in order, of whole options only.
func TestDropOptions(t *testing.T) {
	var options []byte
	for i, code := range []uint16{5, 65001, 5, 7} {
		options = AppendOption(options, code, make([]byte, i))
	}
	for _, tt := range []struct {
		codes []uint16
		left  int
	}{{nil, 22}, {[]uint16{5}, 12}, {[]uint16{65001, 7}, 10}, {[]uint16{5, 7, 65001}, 0}} {
		if got := DropOptions(append([]byte(nil), options...), tt.codes); len(got) != tt.left || !wholeOptions(got) {
			t.Errorf("without %v: %x", tt.codes, got)
		}
	}
}
