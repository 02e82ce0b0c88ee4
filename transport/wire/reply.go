package wire

import "encoding/binary"

// Client is what a reply needs to know about who asked.
type Client struct {
	ID       uint16
	Flags    uint16 // the client's header flags: RD, CD, AD and opcode are taken from here
	Question []byte // in the client's case; nil if it could not be read
	HasOPT   bool
	DO       bool
	Options  []byte // whole options for the reply's OPT, at most ReplyOptionsMax bytes; only with HasOPT
	Limit    int    // bytes of the biggest reply: 512 to the configured maximum for UDP, 65535 for TCP
	Extended uint16 // extended error, told with an answer that has none; 0: none
	TTLHigh  uint32 // seconds: no TTL above is told; 0: no bound
}

// WriteReply writes the reply to c from answer a, which has been held for age seconds, and returns its length: at most c.Limit and
// len(dst). dst must have room for ErrorBytesMax bytes at least.
//
// Set by us: QR, RA. From the client: id, opcode, RD, CD, the question's bytes; without those QDCOUNT is 0. From upstream: AA, TC, rcode, and AD if the client showed by AD
// or DO that it understands it (RFC 6840 §5.8). TTLs lose age and stop at 0. An OPT is present if the client sent one (RFC 6891 §6.1.1);
// without one an rcode above 15 cannot be told and becomes SERVFAIL. A reply that does not fit is cut; see cut.
// c.Options, a.Told.Passed and an extended error go into the OPT.
func WriteReply(dst []byte, c *Client, a *Answer, age uint32, ownUDPSize uint16) int {
	flags := FlagQR | FlagRA | a.Flags&(FlagAA|FlagTC) | c.Flags&(OpcodeMask|FlagRD|FlagCD)
	if c.Flags&FlagAD != 0 || c.DO {
		flags |= a.Flags & FlagAD
	}
	an, ns, ar, records, ttls := a.AN, a.NS, a.AR, a.Records, a.TTLs
	start := HeaderBytes + len(c.Question)
	end := start + len(records)
	optBytes, extended := 0, a.Extended
	if c.HasOPT {
		optBytes = OPTBytes + len(c.Options)
		if a.Told != nil {
			optBytes += len(a.Told.Passed)
		}
		if extended == 0 {
			extended = c.Extended
		}
		if extended != 0 {
			optBytes += edeBytes(extended)
		}
	}
	if room := min(c.Limit, len(dst)) - start - optBytes; len(records) > room {
		kept, truncated := a.cut(room, c.DO)
		an, ns, ar = kept[sectionAnswer], kept[sectionAuthority], kept[sectionAdditional]
		ttls = a.TTLs[:an+ns+ar]
		records = records[:a.endOf(len(ttls))]
		end = start + len(records)
		if truncated {
			flags |= FlagTC
		}
	}
	dst = dst[:end+optBytes]
	rcode := a.RCode
	if c.HasOPT {
		ar++
		putOPT(dst[end:], ownUDPSize, rcode, c.DO, uint16(optBytes-OPTBytes))
		if optBytes > OPTBytes {
			n := end + OPTBytes + copy(dst[end+OPTBytes:], c.Options)
			if a.Told != nil {
				n += copy(dst[n:], a.Told.Passed)
			}
			if extended != 0 {
				putEDE(dst[n:], extended)
			}
		}
	} else if rcode > RCodeMask {
		rcode = RCodeServFail
	}
	putHeader(dst, c.ID, flags|rcode&RCodeMask, an, ns, ar)
	if len(c.Question) == 0 {
		dst[5] = 0
	}
	copy(dst[HeaderBytes:start], c.Question)
	if len(records) > 0 {
		body := dst[start:end]
		copy(body, records)
		switch {
		case a.Stale != 0:
			setTTLs(body, ttls, a.Stale)
		case age > 0:
			ageTTLs(body, ttls, age)
		}
		if c.TTLHigh != 0 {
			lowerTTLs(body, ttls, c.TTLHigh)
		}
	}
	return len(dst)
}

// setTTLs writes one TTL everywhere.
func setTTLs(records []byte, offsets []uint16, ttl uint32) {
	for _, off := range offsets {
		binary.BigEndian.PutUint32(records[off:], ttl)
	}
}

// lowerTTLs lets no TTL be above high.
func lowerTTLs(records []byte, offsets []uint16, high uint32) {
	for _, off := range offsets {
		field := records[off:]
		binary.BigEndian.PutUint32(field, min(binary.BigEndian.Uint32(field), high))
	}
}

// ageTTLs takes age off the 4-byte TTLs at the given offsets of records, stopping at 0.
func ageTTLs(records []byte, offsets []uint16, age uint32) {
	for _, off := range offsets {
		field := records[off:]
		ttl := binary.BigEndian.Uint32(field)
		binary.BigEndian.PutUint32(field, ttl-min(ttl, age))
	}
}

// WriteError writes an answer without records to dst, which must have room for ErrorBytesMax bytes, and returns its length.
//
// The client's opcode, RD and CD are echoed, and the question if c has one; without it QDCOUNT is 0. If the client sent an OPT the reply
// has one, with c.Options, and with ede as extended error, or c.Extended where that is EDENone (RFC 8914 §2). An rcode above 15 becomes SERVFAIL without OPT.
func WriteError(dst []byte, c *Client, rcode, ede, ownUDPSize uint16) int {
	end := HeaderBytes + len(c.Question)
	n := end
	var ar uint16
	if ede == EDENone && c.Extended != 0 {
		ede = c.Extended
	}
	if c.HasOPT {
		ar = 1
		n += OPTBytes
		n += copy(dst[n:], c.Options)
		if ede != EDENone {
			n += putEDE(dst[n:], ede)
		}
		putOPT(dst[end:], ownUDPSize, rcode, c.DO, uint16(n-end-OPTBytes))
	} else if rcode > RCodeMask {
		rcode = RCodeServFail
	}
	flags := FlagQR | FlagRA | c.Flags&(OpcodeMask|FlagRD|FlagCD) | rcode&RCodeMask
	putHeader(dst, c.ID, flags, 0, 0, ar)
	if len(c.Question) == 0 {
		dst[5] = 0
	}
	copy(dst[HeaderBytes:end], c.Question)
	return n
}
