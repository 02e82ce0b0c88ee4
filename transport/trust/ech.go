package trust

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrNoECH means that ECH is required and cannot be had. It is wrapped with the reason where one is known.
var ErrNoECH = errors.New("encrypted client hello is required, and there is none")

// ECH holds the configurations for Encrypted Client Hello with one upstream. They come from the operator or from DNS (Publish), and from
// the server itself when it rejects ours.
type ECH struct {
	required bool
	now      func() time.Time

	mu        sync.Mutex
	list      []byte    // in use; nil = none
	published []byte    // as last given by Publish or the operator
	rested    time.Time // until then list is not used: the server has disabled ECH
	state     string
}

// NewECH returns the state for an upstream with the operator's list, or nil for one that is to be looked up. Without a usable list,
// required makes every attempt fail, and otherwise attempts are made without ECH.
func NewECH(required bool, list []byte) *ECH {
	e := &ECH{required: required, now: time.Now, list: list, published: list, state: "no configuration known yet"}
	if list != nil {
		e.state = "configured"
	}
	return e
}

// Required reports whether there is to be no connection without ECH.
func (e *ECH) Required() bool { return e.required }

// Publish takes the list that the upstream's DNS records hold now; empty: none. What the server itself has sent since stays in use while
// its records stay as they are, for they may be old.
func (e *ECH) Publish(list []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(list) == 0 {
		e.list, e.published, e.state = nil, nil, "not published"
		return
	}
	if bytes.Equal(list, e.published) {
		return
	}
	e.published, e.rested = list, time.Time{}
	if err := Usable(list); err != nil { // RFC 9849 §6.1: as if it were not there
		e.list, e.state = nil, "published, but "+err.Error()
		return
	}
	e.list, e.state = list, "published"
}

// Unknown takes note that the look-up failed. What was known stays in use.
func (e *ECH) Unknown(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.published == nil {
		e.state = err.Error()
	}
}

// State says in words where ECH stands.
func (e *ECH) State() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state
}

// current returns the list for an attempt, nil for one without ECH.
func (e *ECH) current() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.list != nil && (e.required || !e.now().Before(e.rested)) {
		return e.list, nil
	}
	if e.required {
		return nil, fmt.Errorf("%w: %s", ErrNoECH, e.state)
	}
	return nil, nil
}

// worked takes note that the server accepted.
func (e *ECH) worked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state = "accepted"
}

// rejected takes what an authenticated server sent instead of accepting (RFC 9849 §6.1.6), and reports whether an attempt is worth it.
func (e *ECH) rejected(retry []byte) (again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(retry) > 0 && !bytes.Equal(retry, e.list) && Usable(retry) == nil {
		e.list, e.state = retry, "rejected by the server, which sent another configuration"
		return true
	}
	e.rested, e.state = e.now().Add(echRestFor), "disabled by the server"
	if len(retry) > 0 {
		e.state = "rejected by the server, which sent nothing that could be used instead"
	}
	return !e.required
}

var errWritten = errors.New("hello written")

// writeStop is a connection that ends a handshake with the first message.
type writeStop struct{ net.Conn }

func (writeStop) Write([]byte) (int, error) { return 0, errWritten }

// Usable says why crypto/tls could not use an ECHConfigList (RFC 9849 §4), nil if it can. It asks crypto/tls itself, which has no other
// way to be asked than a handshake.
func Usable(list []byte) error {
	if len(list) > echListBytesMax {
		return fmt.Errorf("the ECH configuration list has %d bytes, at most %d are possible", len(list), echListBytesMax)
	}
	probe := tls.Client(writeStop{}, &tls.Config{
		ServerName: "name.invalid", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: list,
	})
	if err := probe.Handshake(); !errors.Is(err, errWritten) {
		return fmt.Errorf("the ECH configuration list cannot be used: %w", err)
	}
	return nil
}
