package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"secure-dns-proxy/transport/trust"
)

func TestCauseOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Cause
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, CauseRefused},
		{fmt.Errorf("dial: %w", syscall.EHOSTUNREACH), CauseUnreachable},
		{syscall.ENETUNREACH, CauseUnreachable},
		{context.DeadlineExceeded, CauseTimeout},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, CauseTimeout},
		{syscall.ECONNRESET, CauseClosed},
		{tls.AlertError(10), CauseTLS},
		{tls.AlertError(40), CauseParameters},
		{tls.AlertError(70), CauseVersion},
		{tls.AlertError(112), CauseServerName},
		{tls.AlertError(116), CauseClientCertificate},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, CauseClientCertificate},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(10)}, CauseTLS},
		{fmt.Errorf("%w: %w", tls.AlertError(42), &trust.PinError{}), CausePin},
		{fmt.Errorf("%w: lookup", trust.ErrNoECH), CauseECH},
		{&tls.ECHRejectionError{}, CauseECH},
		{tls.AlertError(120), CauseALPN},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, CauseTLS},
		{fmt.Errorf("%w %q", errNoALPN, "h2"), CauseALPN},
		{errors.New("something else"), CauseOther},
	} {
		if got := CauseOf(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
	}
}

// TestTryAddresses checks order, shares of the time, and that every failure is named.
func TestTryAddresses(t *testing.T) {
	e := testEndpoint()
	a, b, c := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53"), netip.MustParseAddrPort("[2001:db8::3]:53")
	e.Addresses.Store([]netip.AddrPort{a, b, c})
	for _, test := range []struct {
		name  string
		first int
		works netip.AddrPort
		tried []netip.AddrPort
	}{
		{"first", 0, a, []netip.AddrPort{a}},
		{"last", 0, c, []netip.AddrPort{a, b, c}},
		{"from the one that worked", 1, b, []netip.AddrPort{b}},
		{"around the end", 2, b, []netip.AddrPort{c, a, b}},
		{"index of a longer list", 7, b, []netip.AddrPort{b}},
		{"none", 0, netip.AddrPort{}, []netip.AddrPort{a, b, c}},
	} {
		var tried []netip.AddrPort
		var counters Counters
		try := func(ctx context.Context, address netip.AddrPort) (int, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > e.DialTimeout {
				t.Errorf("%s: attempt without a bound", test.name)
			}
			tried = append(tried, address)
			if address == test.works {
				return 42, nil
			}
			return 0, syscall.ECONNREFUSED
		}
		conn, index, err := TryAddresses(t.Context(), e, &counters, test.first, try)
		if fmt.Sprint(tried) != fmt.Sprint(test.tried) {
			t.Errorf("%s: tried %v, want %v", test.name, tried, test.tried)
		}
		if int(counters.Dials.Load()) != len(tried) {
			t.Errorf("%s: %d dials counted, want %d", test.name, counters.Dials.Load(), len(tried))
		}
		if test.works.IsValid() {
			if err != nil || conn != 42 || e.Addresses.Load()[index] != test.works {
				t.Errorf("%s: %d, index %d, %v", test.name, conn, index, err)
			}
			continue
		}
		for _, address := range test.tried {
			if err == nil || !strings.Contains(err.Error(), address.String()) || !strings.Contains(err.Error(), e.Name) {
				t.Errorf("%s: error %v does not name %s at %v", test.name, err, e.Name, address)
			}
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || FaultOf(err) != FaultDial {
			t.Errorf("%s: error %v, fault %v", test.name, err, FaultOf(err))
		}
	}
	e.Addresses.Store(nil)
	var dial *DialError
	_, _, err := TryAddresses(t.Context(), e, new(Counters), 0, func(context.Context, netip.AddrPort) (int, error) { return 0, nil })
	if !errors.As(err, &dial) || dial.Cause != CauseNoAddress {
		t.Errorf("without addresses: %v", err)
	}
}

// TestBackoffSpacing wants pauses of 50 ms doubling to 1 s, within a quarter, and forgiveness for one unproven connection.
func TestBackoffSpacing(t *testing.T) {
	var b Backoff
	now := time.Hour
	if !b.Ready(now) || b.Failing() {
		t.Error("a new back-off is not ready")
	}
	for i, want := range []time.Duration{50, 100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000} {
		want *= time.Millisecond
		b.Fail(now)
		if pause := b.Until() - now; pause < want*3/4 || pause > want*5/4 || b.Ready(now) || !b.Ready(b.Until()) || !b.Failing() {
			t.Errorf("failure %d: pause %v, want about %v", i, pause, want)
		}
	}
	b.Ended(true, now)
	if !b.Ready(now) || b.Failing() {
		t.Error("a proven connection did not end the back-off")
	}
	b.Ended(false, now)
	if b.Failing() {
		t.Error("the first unproven connection was not forgiven")
	}
	b.Ended(false, now)
	if !b.Failing() {
		t.Error("the second unproven connection in a row was forgiven")
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for f := FaultNone; f < FaultCount; f++ {
		if name := f.String(); name == "" || seen[name] {
			t.Errorf("fault %d is called %q", f, name)
		} else {
			seen[name] = true
		}
	}
	for s, want := range map[Scheme]string{UDP: "udp", TCP: "tcp", TLS: "tls", QUIC: "quic", HTTPS: "https"} {
		if s.String() != want {
			t.Errorf("scheme %d is called %q, want %q", s, s.String(), want)
		}
	}
}
