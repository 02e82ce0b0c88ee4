package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
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

func TestDialErrorWords(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:853")
	of := func(err error) error {
		return &DialError{Endpoint: "tls://x", Address: at, Cause: CauseOf(err), Err: err}
	}
	syscallError := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("connect", errno)}
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{of(syscallError(syscall.ECONNREFUSED)), "dial tls://x at 192.0.2.1:853: connection refused"},
		{of(context.DeadlineExceeded), "dial tls://x at 192.0.2.1:853: timed out"},
		{of(syscallError(syscall.EHOSTUNREACH)), "dial tls://x at 192.0.2.1:853: unreachable: no route to host"},
		{of(syscallError(syscall.EMFILE)), "dial tls://x at 192.0.2.1:853: connection failed: too many open files"},
		{
			Joined([]error{of(context.DeadlineExceeded), of(syscallError(syscall.ECONNREFUSED))}),
			"dial tls://x at 192.0.2.1:853: timed out; dial tls://x at 192.0.2.1:853: connection refused",
		},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
