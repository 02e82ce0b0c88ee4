package cookie

import (
	crand "crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/transport/wire"
)

// Secret is what servers behind one address share.
type Secret [16]byte

// Random returns a secret that nobody else knows.
func Random() (s Secret) {
	crand.Read(s[:]) // Never fails: it ends the program instead.
	return s
}

// Server is a server cookie.
type Server = [wire.ServerCookieBytes]byte

// Client is a client cookie.
type Client = [wire.ClientCookieBytes]byte

// Jar holds the secrets: the first one makes cookies, all of them are accepted. So a farm of servers changes its secret without a loss: first
// the new one is added at the end everywhere, then it is put first everywhere, then, an hour later, the old one is removed (RFC 9018 §5).
type Jar struct{ secrets []Secret }

// New returns a jar of 1 to SecretsMax different secrets.
func New(secrets []Secret) (*Jar, error) {
	if n := len(secrets); n < 1 || n > SecretsMax {
		return nil, fmt.Errorf("%d cookie secrets: want 1 to %d", n, SecretsMax)
	}
	for i, s := range secrets {
		for _, other := range secrets[:i] {
			if s == other {
				return nil, errors.New("a cookie secret stands twice")
			}
		}
	}
	return &Jar{append([]Secret(nil), secrets...)}, nil
}

// version of the form, RFC 9018 §4.1.
const version = 1

// Make writes the cookie of a client at path for a time in Unix seconds.
func (j *Jar) Make(dst *Server, client *Client, path *ring.Path, at uint32) {
	binary.BigEndian.PutUint32(dst[:], version<<24)
	binary.BigEndian.PutUint32(dst[4:], at)
	binary.LittleEndian.PutUint64(dst[8:], j.secrets[0].hash(client, dst[:8], path))
}

// Check reports whether server is a cookie that one of the secrets made for the client at path not long ago, as seen at now, in Unix seconds.
// fresh: it may be given to the client again. server may have any length. RFC 9018 §4.3; times are compared by RFC 1982.
func (j *Jar) Check(client *Client, server []byte, path *ring.Path, now uint32) (valid, fresh bool) {
	if len(server) != wire.ServerCookieBytes || server[0] != version {
		return false, false
	}
	age := int32(now - binary.BigEndian.Uint32(server[4:]))
	if age > pastMax || age < -futureMax {
		return false, false
	}
	var made [8]byte
	for i := range j.secrets {
		binary.LittleEndian.PutUint64(made[:], j.secrets[i].hash(client, server[:8], path))
		if subtle.ConstantTimeCompare(made[:], server[8:]) == 1 {
			return true, i == 0 && age <= renewAfter
		}
	}
	return false, false
}

// hash is the one in a cookie whose first 8 bytes are head.
func (s *Secret) hash(client *Client, head []byte, path *ring.Path) uint64 {
	var input [wire.ClientCookieBytes + 8 + 16]byte
	n := copy(input[:], client[:])
	n += copy(input[n:], head[:8])
	n += copy(input[n:], path.IP())
	return sipHash(s, input[:n])
}

// Stamp is the time in Unix seconds in a cookie that is valid.
func Stamp(server []byte) uint32 { return binary.BigEndian.Uint32(server[4:]) }
