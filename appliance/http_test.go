package appliance

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"secure-dns-proxy/transport"
)

// TestHTTPEndpoints: URL, method and http3 of an upstream become what its driver does.
func TestHTTPEndpoints(t *testing.T) {
	for _, test := range []struct {
		text, path string
		get        bool
		http3      transport.HTTP3
	}{
		{`url = "https://192.0.2.1"`, "/dns-query", false, transport.HTTP3Off},
		{`url = "https://192.0.2.1/q{?dns}"`, "/q{?dns}", true, transport.HTTP3Off},
		{"url = \"https://192.0.2.1/q{?dns}\"\nmethod = \"post\"", "/q{?dns}", false, transport.HTTP3Off},
		{"url = \"https://192.0.2.1/q\"\nmethod = \"get\"", "/q", true, transport.HTTP3Off},
		{"url = \"https://192.0.2.1\"\nhttp3 = \"probe\"", "/dns-query", false, transport.HTTP3Probe},
		{"url = \"https://192.0.2.1\"\nhttp3 = \"only\"", "/dns-query", false, transport.HTTP3Only},
		{`url = "h3://192.0.2.1/q{?dns}"`, "/q{?dns}", true, transport.HTTP3Only},
	} {
		r := &roster{log: slog.New(slog.DiscardHandler)}
		planned, err := r.plan(checkedText(t, "[[upstream]]\n"+test.text))
		if err != nil {
			t.Fatal(err)
		}
		e := endpointsOf(planned)[0]
		if e.Scheme != transport.HTTPS || e.Path != test.path || e.Get != test.get || e.HTTP3 != test.http3 || e.Notice == nil {
			t.Errorf("%s: scheme %v, path %s, get %v, http3 %v", test.text, e.Scheme, e.Path, e.Get, e.HTTP3)
		}
	}
}

// TestNotices: lanes of many workers tell the same one after the other; the log has it once.
func TestNotices(t *testing.T) {
	var out bytes.Buffer
	tell := notices(slog.New(slog.NewTextHandler(&out, nil)), "https://192.0.2.1")
	for range 3 {
		tell("works", nil)
	}
	for range 3 {
		tell("does not work", errors.New("refused"))
	}
	tell("works", nil)
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 3 || !strings.Contains(got[1], "WARN") || !strings.Contains(got[1], "reason=refused") ||
		!strings.Contains(got[1], "upstream=https://192.0.2.1") {
		t.Errorf("got %q", got)
	}
}
