package query

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/miekg/dns"
)

func TestList(t *testing.T) {
	const text = "; dnsperf\n# as well\n\nWww.Example.com A\n  mail.example.\tmx \n. NS\nx.example TYPE65280\nplain.example\na\\.b.example AAAA\n"
	l, err := ParseList(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name  string
		qtype uint16
	}{
		{"Www.Example.com.", dns.TypeA},
		{"mail.example.", dns.TypeMX},
		{".", dns.TypeNS},
		{"x.example.", 65280},
		{"plain.example.", dns.TypeA},
		{`a\.b.example.`, dns.TypeAAAA},
	}
	if l.Len() != len(want) {
		t.Fatalf("got %d questions, want %d", l.Len(), len(want))
	}
	for i, w := range want {
		wire, qtype := l.question(uint64(i))
		name, end, err := dns.UnpackDomainName(wire, 0)
		if err != nil || end != len(wire) || name != w.name || qtype != w.qtype {
			t.Errorf("question %d: got %q %d (%v), want %q %d", i, name, qtype, err, w.name, w.qtype)
		}
	}
}

func TestListRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "; only a comment\n",
		"three fields":  "a.example A IN\n",
		"unknown type":  "a.example BOGUS\n",
		"type too big":  "a.example TYPE65536\n",
		"empty label":   "a..example A\n",
		"label too big": strings.Repeat("x", 64) + ".example A\n",
		"name too big":  strings.Repeat("abcdefg.", 32) + " A\n",
	} {
		if _, err := ParseList(strings.NewReader(text)); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	broken := errors.New("broken")
	if _, err := ParseList(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func FuzzList(f *testing.F) {
	f.Add("a.example A\nb.example TYPE1")
	f.Add(`\000\255\.x AAAA`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseList(strings.NewReader(text))
		if err != nil {
			return
		}
		for i := range l.Len() {
			wire, _ := l.question(uint64(i))
			if _, end, err := dns.UnpackDomainName(wire, 0); err != nil || end != len(wire) {
				t.Errorf("question %d, % x: %d of %d bytes, %v", i, wire, end, len(wire), err)
			}
		}
	})
}
