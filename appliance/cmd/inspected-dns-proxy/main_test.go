package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
	"secure-dns-proxy/worker/inspect"
)

func TestLabels(t *testing.T) {
	inspector, err := labels{max: 10}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	for count, want := range map[int]inspect.Verdict{0: {}, 1: {}, 10: {}, 11: inspect.Refused(), 120: inspect.Refused()} {
		q := inspect.Question{Name: []byte(strings.Repeat("\x01a", count) + "\x00")}
		if v, err := inspector.Inspect(t.Context(), &q); err != nil || v != want {
			t.Errorf("%d labels: got %+v, %v, want %+v", count, v, err, want)
		}
	}
}

// TestNetworks: an address in a forbidden network, wherever it stands in the answer, hides the name for as long as the answer was good.
func TestNetworks(t *testing.T) {
	inspector, err := networks{netip.MustParsePrefix("198.51.100.0/24")}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	hidden := func(seconds uint16) inspect.Verdict {
		v := inspect.NXDomain()
		v.Keep = inspect.Keep{Seconds: seconds, AnyType: seconds != 0}
		return v
	}
	for name, tt := range map[string]struct {
		records []string
		want    inspect.Verdict
	}{
		"another": {[]string{"a.example. 60 IN A 192.0.2.1"}, inspect.Verdict{}},
		"within":  {[]string{"a.example. 60 IN CNAME b.example.", "b.example. 30 IN A 192.0.2.1", "b.example. 30 IN A 198.51.100.7"}, hidden(30)},
		"long":    {[]string{"a.example. 90000 IN A 198.51.100.7"}, hidden(3600)},
		"at once": {[]string{"a.example. 0 IN A 198.51.100.7"}, hidden(0)},
		"none":    {nil, inspect.Verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			var query wire.Query
			var space [wire.KeyBytesMax]byte
			if f := wire.ParseQuery(raw, &query); f != wire.FaultNone {
				t.Fatal(f)
			}
			key := query.Key(&space)
			m.Response = true
			for _, text := range tt.records {
				rr, err := dns.NewRR(text)
				if err != nil {
					t.Fatal(err)
				}
				m.Answer = append(m.Answer, rr)
			}
			if raw, err = m.Pack(); err != nil {
				t.Fatal(err)
			}
			var a wire.Answer
			if f := wire.ParseResponse(raw, key, &a, new(wire.ResponseScratch)); f != wire.FaultNone {
				t.Fatal(f)
			}
			var q inspect.Question
			q.SetAnswer(&a, wire.KeyQuestion(key), new([inspect.RecordsBytesMax]byte))
			if v, err := inspector.Inspect(t.Context(), &q); err != nil || v != tt.want {
				t.Errorf("got %+v, %v, want %+v", v, err, tt.want)
			}
		})
	}
}
