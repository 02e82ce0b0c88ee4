package wire

import "encoding/binary"

// Sizes of a cookie (RFC 7873 §4, RFC 9018 §4).
const (
	ClientCookieBytes = 8
	ServerCookieBytes = 16 // of ours; others' have 8 to 32
	CookieOptionBytes = optionHeaderBytes + ClientCookieBytes + ServerCookieBytes

	cookieBytesMin, cookieBytesMax = ClientCookieBytes + 8, ClientCookieBytes + 32
)

// Asked is what the options of a query ask of its reply.
type Asked struct {
	Client []byte // view: ClientCookieBytes, nil without a cookie
	Server []byte // view: a server's cookie, 8 to 32 bytes, nil without one
	NSID   bool   // RFC 5001 §2.1
}

// Asked reads the options of a query. Of several cookies the first counts (RFC 7873 §5.2).
//
// Faults: FaultCookie (RFC 7873 §5.2.2: a length other than 8 and 16 to 40); the rest holds then too, without a cookie.
func (q *Query) Asked() (a Asked, fault Fault) {
	first := true
	for options := q.Options; len(options) >= optionHeaderBytes; {
		size := int(binary.BigEndian.Uint16(options[2:]))
		value := options[optionHeaderBytes : optionHeaderBytes+size] // whole options, as ParseQuery has found
		switch binary.BigEndian.Uint16(options) {
		case optionNSID:
			a.NSID = true
		case optionCookie:
			if first {
				first, fault = false, a.cookie(value)
			}
		}
		options = options[optionHeaderBytes+size:]
	}
	return a, fault
}

// cookie takes in the value of a COOKIE option.
func (a *Asked) cookie(value []byte) Fault {
	switch n := len(value); {
	case n == ClientCookieBytes:
		a.Client = value
	case n >= cookieBytesMin && n <= cookieBytesMax:
		a.Client, a.Server = value[:ClientCookieBytes], value[ClientCookieBytes:]
	default:
		return FaultCookie
	}
	return FaultNone
}

// AppendCookie appends a COOKIE option.
func AppendCookie(dst []byte, client *[ClientCookieBytes]byte, server *[ServerCookieBytes]byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, optionCookie<<16|ClientCookieBytes+ServerCookieBytes)
	return append(append(dst, client[:]...), server[:]...)
}

// AppendNSID appends an NSID option (RFC 5001 §2.3); id is at most NSIDBytesMax bytes.
func AppendNSID(dst []byte, id string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, optionNSID<<16|uint32(len(id)))
	return append(dst, id...)
}
