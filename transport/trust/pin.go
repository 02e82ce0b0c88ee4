package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// Pin is the SHA-256 fingerprint of the DER of a certificate's SubjectPublicKeyInfo (RFC 7858 §4.2).
type Pin [sha256.Size]byte

// pinPrefix is how curl and others write a pin; we read it and do not write it.
const pinPrefix = "sha256/"

// ParsePin reads the 44 characters of base64, with or without "sha256/" in front.
func ParsePin(text string) (Pin, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(text, pinPrefix))
	if err != nil || len(raw) != len(Pin{}) {
		return Pin{}, fmt.Errorf("%q is not the base64 of a SHA-256 fingerprint (44 characters, the last one \"=\")", text)
	}
	return Pin(raw), nil
}

// String gives the base64 that ParsePin reads.
func (p Pin) String() string { return base64.StdEncoding.EncodeToString(p[:]) }

// PinOf returns the pin of a certificate's key.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// PinError says that no certificate has a key that is pinned. It prints what was seen, so that an operator can decide.
type PinError struct {
	Seen     []SeenKey // leaf first
	Unproven error     // a pinned key was among those sent, but it did not sign what it should have; nil if none was
}

// SeenKey is one key that a server showed.
type SeenKey struct {
	Pin  Pin
	Name string // the certificate's subject
}

func newPinError(certificates []*x509.Certificate, unproven error) *PinError {
	e := &PinError{Unproven: unproven}
	for _, c := range certificates[:min(len(certificates), seenKeysMax)] {
		e.Seen = append(e.Seen, SeenKey{PinOf(c), c.Subject.String()})
	}
	return e
}

// Error lists the keys.
func (e *PinError) Error() string {
	var seen []string
	for _, k := range e.Seen {
		seen = append(seen, fmt.Sprintf("%s (%q)", k.Pin, k.Name))
	}
	text := "no pin fits, the server's keys are " + strings.Join(seen, ", ")
	if e.Unproven != nil {
		text += "; a pinned authority among them did not certify the server: " + e.Unproven.Error()
	}
	return text
}
