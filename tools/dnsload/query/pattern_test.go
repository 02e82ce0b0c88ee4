package query

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		text   string
		number uint64
		want   string // "" = refused
	}{
		{"n%d.bench.example", 0, "n0.bench.example."},
		{"n%d.bench.example", 9999, "n9999.bench.example."},
		{"n%d.bench.example.", 7, "n7.bench.example."},
		{"%d", 42, "42."},
		{"a.b.x%dy.c.", 1<<63 - 1, "a.b.x9223372036854775807y.c."},
		{"n%06d.example", 42, "n000042.example."},
		{"n%06d.example", 12345678, "n12345678.example."},
		{"n%019d.example", 5, "n0000000000000000005.example."},
		{`a\.b%d.example`, 5, `a\.b5.example.`},
		{"bench.example", 0, ""},
		{"n%d.%d.example", 0, ""},
		{"n%s.example", 0, ""},
		{"n%0d.example", 0, ""},
		{"n%6d.example", 0, ""},
		{"n%020d.example", 0, ""},
		{"n%-3d.example", 0, ""},
		{"n%d..example", 0, ""},
		{strings.Repeat("x", 44) + "%d.example", 1, strings.Repeat("x", 44) + "1.example."},
		{strings.Repeat("x", 45) + "%d.example", 1, ""},          // a label of 64 with 19 digits
		{"n%d." + strings.Repeat("abcdefg.", 30), 1, ""},         // a name over 255
		{strings.Repeat("abcdefg.", 20) + "n%d.example", 1, "*"}, // long, but right
	} {
		p, err := parsePattern(c.text)
		if (err == nil) != (c.want != "") {
			t.Errorf("parsePattern(%q): error %v, want one: %v", c.text, err, c.want == "")
			continue
		}
		if err != nil || c.want == "*" {
			continue
		}
		var dst [nameBytesMax]byte
		n := p.compose(dst[:], c.number)
		got, end, err := dns.UnpackDomainName(dst[:n], 0)
		if err != nil || got != c.want || end != n {
			t.Errorf("pattern %q with %d: got %q (%d of %d bytes, %v), want %q", c.text, c.number, got, end, n, err, c.want)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("n%d.bench.example", uint64(7))
	f.Add("a.%03d.b", uint64(1<<63-1))
	f.Add(`\%d.\037`, uint64(0))
	f.Add("%d.%", uint64(0))
	f.Fuzz(func(t *testing.T, text string, number uint64) {
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		var dst [nameBytesMax]byte
		n := p.compose(dst[:], number>>1)
		if _, end, err := dns.UnpackDomainName(dst[:n], 0); err != nil || end != n {
			t.Errorf("pattern %q with %d: % x: %d of %d bytes, %v", text, number>>1, dst[:n], end, n, err)
		}
	})
}
