package rpz

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Algorithms are those a Key may have, by their name without the final dot. MD5 is not among them (RFC 8945 §6).
var Algorithms = map[string]func() hash.Hash{
	"hmac-sha1": sha1.New, "hmac-sha224": sha256.New224, "hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New,
}

// signer signs and verifies with a Key. Of a conversation it also knows what came without a signature since the last one, which the next one
// covers (RFC 8945 §5.3.1).
type signer struct {
	key      Key
	unsigned []byte
}

// mac is the MAC of a message.
func (s *signer) mac(msg []byte, t *dns.TSIG) ([]byte, error) {
	if dns.CanonicalName(t.Hdr.Name) != s.key.Name || dns.CanonicalName(t.Algorithm) != s.key.Algorithm {
		return nil, fmt.Errorf("signed with key %s by %s, not with %s by %s", t.Hdr.Name, t.Algorithm, s.key.Name, s.key.Algorithm)
	}
	secret, err := base64.StdEncoding.DecodeString(s.key.Secret)
	if err != nil {
		return nil, err
	}
	h := hmac.New(Algorithms[strings.TrimSuffix(s.key.Algorithm, ".")], secret)
	h.Write(msg)
	return h.Sum(nil), nil
}

// Generate is dns.TsigProvider's.
func (s *signer) Generate(msg []byte, t *dns.TSIG) ([]byte, error) { return s.mac(msg, t) }

// Verify is dns.TsigProvider's. msg begins with the MAC before, after which what was not signed belongs.
func (s *signer) Verify(msg []byte, t *dns.TSIG) error {
	if len(s.unsigned) != 0 {
		before := 2 + int(msg[0])<<8 + int(msg[1])
		msg = append(append(append([]byte(nil), msg[:before]...), s.unsigned...), msg[before:]...)
	}
	want, err := s.mac(msg, t)
	if err != nil {
		return err
	}
	return sameMAC(t.MAC, want)
}

// sameMAC compares a MAC in hex; one that was cut short is not accepted (RFC 8945 §5.2.2.1 leaves that to us).
func sameMAC(text string, want []byte) error {
	got, err := hex.DecodeString(text)
	if err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}

// conversation verifies the messages of one exchange with a primary.
type conversation struct {
	signer *signer // nil: nothing is signed
	last   string  // the MAC before, in hex
	later  bool    // not the first answer
	bare   int     // messages since the last signature
}

// request packs a message, signed if there is a key.
func (c *conversation) request(m *dns.Msg) ([]byte, error) {
	if c.signer == nil {
		return m.Pack()
	}
	m.SetTsig(c.signer.key.Name, c.signer.key.Algorithm, 300, time.Now().Unix())
	msg, mac, err := dns.TsigGenerateWithProvider(m, c.signer, "", false)
	c.last = mac
	return msg, err
}

// take unpacks an answer and checks its signature. The end of a conversation is to be sealed.
func (c *conversation) take(msg []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		return nil, err
	}
	t := m.IsTsig()
	if c.signer == nil {
		return m, nil
	}
	if t == nil {
		if c.bare++; !c.later || c.bare > unsignedMax {
			return nil, errors.New("an answer without signature")
		}
		c.signer.unsigned = append(c.signer.unsigned, msg...)
		return m, nil
	}
	if t.Error != dns.RcodeSuccess {
		return nil, fmt.Errorf("the primary does not accept the key: %s", dns.RcodeToString[int(t.Error)])
	}
	if err := dns.TsigVerifyWithProvider(msg, c.signer, c.last, c.later); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	c.last, c.later, c.bare, c.signer.unsigned = t.MAC, true, 0, c.signer.unsigned[:0]
	return m, nil
}

// sealed reports whether all that was taken is covered by a signature.
func (c *conversation) sealed() bool { return c.signer == nil || c.bare == 0 }
