package trust

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

const publicName = "public.example"

// handshake is what transport.Handshake does, over TCP.
func (e *echo) handshake(t testing.TB, c *Client) (state tls.ConnectionState, attempts int, err error) {
	t.Helper()
	for attempts = 1; ; attempts++ {
		if state, err = e.dial(t, c); err == nil || !c.Failed(err) || attempts == 2 {
			return state, attempts, err
		}
	}
}

// TestECH: a real server with keys of its own, in all the states that two sides can be in.
func TestECH(t *testing.T) {
	root := issue(t, nil, time.Hour)
	show := []tls.Certificate{issue(t, root, time.Hour, serverName).chain(), issue(t, root, time.Hour, publicName).chain()}
	key, old := echKey(t, 1, publicName), echKey(t, 2, publicName)
	mute := key
	mute.SendAsRetry = false
	accepting := serveTLS(t, &tls.Config{Certificates: show, EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{key}})
	silent := serveTLS(t, &tls.Config{Certificates: show, EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{mute}})
	without := serveTLS(t, &tls.Config{Certificates: show})
	classic := serveTLS(t, &tls.Config{Certificates: show, CurvePreferences: []tls.CurveID{tls.CurveP256}, EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{key}})
	impostor := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, nil, time.Hour, publicName).chain()}})
	for _, test := range []struct {
		name     string
		server   *echo
		required bool
		list     []byte
		accepted bool
		attempts int
		problem  string // empty: connected
		state    string
	}{
		{"accepted", accepting, false, echList(key), true, 1, "", "accepted"},
		{"accepted, required", accepting, true, echList(key), true, 1, "", "accepted"},
		{"accepted after a retry request", classic, true, echList(key), true, 1, "", "accepted"},
		{"old list", accepting, false, echList(old), true, 2, "", "accepted"},
		{"old list, required", accepting, true, echList(old), true, 2, "", "accepted"},
		{"old list, no help", silent, false, echList(old), false, 2, "", "disabled"},
		{"server without", without, false, echList(key), false, 2, "", "disabled"},
		{"server without, required", without, true, echList(key), false, 1, "rejected ECH", "disabled"},
		{"no list", accepting, false, nil, false, 1, "", "no configuration"},
		{"no list, required", accepting, true, nil, false, 1, "is required", "no configuration"},
		{"rejected by a stranger", impostor, false, echList(old), false, 1, "unknown authority", "configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t, Policy{Name: serverName, Roots: root.pool(), ECH: NewECH(test.required, test.list)})
			state, attempts, err := test.server.handshake(t, c)
			if (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Fatalf("got error %v, want %q", err, test.problem)
			}
			if state.ECHAccepted != test.accepted || attempts != test.attempts {
				t.Errorf("accepted %t after %d attempts, want %t after %d", state.ECHAccepted, attempts, test.accepted, test.attempts)
			}
			if got := c.ECH().State(); !strings.Contains(got, test.state) {
				t.Errorf("state is %q, want %q", got, test.state)
			}
			if err == nil && (c.Session().ECH != test.accepted || state.PeerCertificates[0].Subject.CommonName != serverName) {
				t.Errorf("session %+v with %s", c.Session(), state.PeerCertificates[0].Subject)
			}
			// What was learnt is used at once the next time, session or not.
			if test.problem == "" {
				if state, attempts, err = test.server.handshake(t, c); err != nil || attempts != 1 || state.ECHAccepted != test.accepted {
					t.Errorf("again: %v, accepted %t after %d attempts", err, state.ECHAccepted, attempts)
				}
			}
		})
	}
	if got := len(accepting.hello); got == 0 {
		t.Error("no hello was seen")
	}
}

// A server that rejects ECH must prove itself before what it says is believed, by authorities unless nothing is verified at all.
func TestECHRejectionIsVerified(t *testing.T) {
	root := issue(t, nil, time.Hour)
	inner, outer := issue(t, root, time.Hour, serverName), issue(t, root, time.Hour, publicName)
	key, old := echKey(t, 1, publicName), echKey(t, 2, publicName)
	server := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{inner.chain(), outer.chain()}, EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{key},
	})
	for _, test := range []struct {
		name   string
		policy Policy
		want   string // empty: accepted in the end
	}{
		{"pin only, known authority", Policy{Verify: PinOnly, Pins: []Pin{inner.pin()}, Roots: root.pool()}, ""},
		{"pin only, unknown authority", Policy{Verify: PinOnly, Pins: []Pin{inner.pin(), outer.pin()}, Roots: inner.pool()}, "unknown authority"},
		{"pin only, known authority, no pin fits", Policy{Verify: PinOnly, Pins: []Pin{outer.pin()}, Roots: root.pool()}, "no pin fits"},
		{"nothing", Policy{Verify: Nothing}, ""},
		{"pkix, pin of the inner", Policy{Roots: root.pool(), Pins: []Pin{inner.pin()}}, ""},
		{"pkix, another server name", Policy{Roots: root.pool(), SNI: "front.example"}, ""},
	} {
		test.policy.Name, test.policy.ECH = serverName, NewECH(true, echList(old))
		state, _, err := server.handshake(t, newClient(t, test.policy))
		if test.want == "" && (err != nil || !state.ECHAccepted) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, accepted %t, want %q", test.name, err, state.ECHAccepted, test.want)
		}
	}
}

// With ECH required, a caller that forgets about Attempt gets no connection.
func TestECHRequiredAlways(t *testing.T) {
	root := issue(t, nil, time.Hour)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{issue(t, root, time.Hour, serverName).chain()}})
	c := newClient(t, Policy{Name: serverName, Roots: root.pool(), ECH: NewECH(true, nil)})
	if _, err := server.dialWith(t, c.Config()); !errors.Is(err, ErrNoECH) {
		t.Errorf("got %v, want %v", err, ErrNoECH)
	}
}

// TestECHPublish: what DNS says, and what the server has said since.
func TestECHPublish(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a, b, c := echList(echKey(t, 1, publicName)), echList(echKey(t, 2, publicName)), echList(echKey(t, 3, publicName))
	e := NewECH(false, nil)
	e.now = func() time.Time { return now }
	use := func(step string, want []byte, state string) {
		t.Helper()
		got, err := e.current()
		if err != nil || string(got) != string(want) || !strings.Contains(e.State(), state) {
			t.Errorf("%s: got %x, %v, state %q", step, got, err, e.State())
		}
	}
	use("at first", nil, "no configuration known yet")
	e.Unknown(errors.New("timed out"))
	use("look-up failed", nil, "timed out")
	e.Publish(a)
	use("published", a, "published")
	e.Unknown(errors.New("timed out"))
	use("look-up failed later", a, "published")
	if !e.rejected(b) {
		t.Error("no second attempt with what the server sent")
	}
	use("the server's own", b, "another configuration")
	e.Publish(a)
	use("the same records again", b, "another configuration")
	e.Publish(c)
	use("new records", c, "published")
	if !e.rejected(nil) {
		t.Error("no second attempt without ECH")
	}
	use("disabled", nil, "disabled")
	now = now.Add(echRestFor)
	use("after its rest", c, "disabled")
	if !e.rejected(c) {
		t.Error("no attempt without ECH when the server sends us in circles")
	}
	use("in circles", nil, "nothing that could be used")
	e.Publish([]byte{0, 4, 1, 2, 3, 4})
	use("rubbish", nil, "cannot be used")
	e.Publish(nil)
	use("withdrawn", nil, "not published")
}

func FuzzUsable(f *testing.F) {
	f.Add(echList(echKey(f, 1, publicName)))
	f.Add([]byte{0, 8, 0xfe, 0x0d, 0, 4, 1, 2, 3, 4})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, list []byte) {
		if Usable(list) == nil && len(list) < 4 {
			t.Errorf("%x is too short for a list", list)
		}
	})
}
