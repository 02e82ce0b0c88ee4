package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// Every cause has a name of its own, every cause that TLS has to do with is a fault of TLS, and those that the operator can do something
// about say what.
func TestCausesAreExplained(t *testing.T) {
	names := map[string]bool{}
	for c := CauseOther; c <= CauseServerName; c++ {
		if name := c.String(); names[name] || strings.Contains(name, "cause(") {
			t.Errorf("cause %d is called %q", c, name)
		} else {
			names[name] = true
		}
		if want := c >= CauseUnknownAuthority; (c.Fault() == FaultTLS) != want {
			t.Errorf("%v is fault %v", c, c.Fault())
		}
		if want := c >= CauseUnknownAuthority && c != CauseTLS; (c.Advice() != "") != want {
			t.Errorf("%v: advice %q", c, c.Advice())
		}
	}
}

func TestAdvised(t *testing.T) {
	lost := fmt.Errorf("connection lost: %w", tls.AlertError(116))
	if got := Advised(lost); !errors.Is(got, lost) || !strings.HasSuffix(got.Error(), CauseClientCertificate.Advice()) {
		t.Errorf("got %v, want advice on client certificates", got)
	}
	dialed := &DialError{Endpoint: "tls://x", Address: netip.MustParseAddrPort("192.0.2.1:853"), Cause: CauseVersion, Err: tls.AlertError(70)}
	if got := Advised(errors.Join(dialed)).Error(); strings.Count(got, CauseVersion.Advice()) != 1 {
		t.Errorf("got %q, want the advice once", got)
	}
	if plain := errors.New("no answer"); Advised(plain) != plain {
		t.Error("an error without advice was changed")
	}
}
