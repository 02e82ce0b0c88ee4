package synth

import (
	"fmt"
	"net/netip"

	"secure-dns-proxy/transport/wire"
)

// DNS64 makes AAAA records out of A records.
type DNS64 struct {
	prefix    netip.Prefix
	wellKnown bool
	exclude   []netip.Prefix
}

// wellKnown is the prefix of RFC 6052 §2.1.
var wellKnown = netip.MustParsePrefix("64:ff9b::/96")

// notGlobal are addresses that the well-known prefix must not stand before (RFC 6052 §3.1). 192.0.0.0/24 is not among them, for hosts find out
// their prefix by addresses in it (RFC 7050 §2.2).
var notGlobal = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3")

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// NewDNS64 returns a translation to prefix. AAAA records in exclude count as if they were not there (RFC 6147 §5.1.4). Errors: a prefix that
// RFC 6052 §2.2 does not know.
func NewDNS64(prefix netip.Prefix, exclude []netip.Prefix) (*DNS64, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	return &DNS64{prefix: prefix.Masked(), wellKnown: prefix.Masked() == wellKnown, exclude: exclude}, nil
}

// CheckPrefix says what is wrong with a prefix for translation (RFC 6052 §2.2).
func CheckPrefix(prefix netip.Prefix) error {
	if !prefix.IsValid() || !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
		return fmt.Errorf("%v is no IPv6 prefix", prefix)
	}
	switch prefix.Bits() {
	case 32, 40, 48, 56, 64, 96:
	default:
		return fmt.Errorf("%v: the length must be 32, 40, 48, 56, 64 or 96 (RFC 6052 §2.2)", prefix)
	}
	if prefix.Addr().As16()[reservedByte] != 0 {
		return fmt.Errorf("%v: bits 64 to 71 must be zero (RFC 6052 §2.2)", prefix)
	}
	return nil
}

// reservedByte is 0 in every address that holds an IPv4 address (RFC 6052 §2.2).
const reservedByte = 8

// Embed returns the address that stands for v4.
func (d *DNS64) Embed(v4 [4]byte) [16]byte {
	out := d.prefix.Addr().As16()
	at := d.prefix.Bits() / 8
	for _, b := range v4 {
		if at == reservedByte {
			at++
		}
		out[at] = b
		at++
	}
	return out
}

// Extract returns the address that v6 stands for; false if it is none of ours.
func (d *DNS64) Extract(v6 [16]byte) (v4 [4]byte, ok bool) {
	if !d.prefix.Contains(netip.AddrFrom16(v6)) || v6[reservedByte] != 0 {
		return v4, false
	}
	at := d.prefix.Bits() / 8
	for i := range v4 {
		if at == reservedByte {
			at++
		}
		v4[i] = v6[at]
		at++
	}
	return v4, true
}

// Need says what becomes of an answer to a question for AAAA records.
type Need uint8

const (
	None   Need = iota // it is good as it is
	Filter             // some of its addresses are excluded: Filtered is the answer
	A                  // it has no address: the A records are to be asked for
)

// Of returns what a, an answer to a question for AAAA records, needs: addresses that are excluded count as not there, and an rcode other than
// NOERROR and NXDOMAIN as if there was nothing (RFC 6147 §5.1.2, §5.1.4).
func (d *DNS64) Of(a *wire.Answer) Need {
	switch a.RCode {
	case wire.RCodeNXDomain:
		return None
	case wire.RCodeNoError:
	default:
		return A
	}
	good, bad := 0, 0
	for i := range int(a.AN) {
		if r := a.Record(i); r.Type == wire.TypeAAAA {
			if d.excluded(a, &r) {
				bad++
			} else {
				good++
			}
		}
	}
	switch {
	case good == 0:
		return A
	case bad > 0:
		return Filter
	}
	return None
}

// excluded says whether r, an AAAA record, has an address that counts as none.
func (d *DNS64) excluded(a *wire.Answer, r *wire.Record) bool {
	data := a.Records[r.Data:r.End]
	return len(data) != 16 || contains(d.exclude, netip.AddrFrom16([16]byte(data)))
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Filtered builds a, an answer to question, without its excluded addresses and without signatures, which would not hold any more.
func (d *DNS64) Filtered(b *wire.Assembly, a *wire.Answer, question []byte) (*wire.Answer, bool) {
	b.Begin(question[:len(question)-4], a.Flags&^wire.FlagAD, a.RCode)
	for i := range int(a.AN) {
		r := a.Record(i)
		if r.Type == wire.TypeRRSIG || r.Type == wire.TypeAAAA && d.excluded(a, &r) {
			continue
		}
		b.Copy(wire.Answers, a, question, i, a.TTLOf(i))
	}
	out, ok := b.Done()
	out.TTL, out.Told, out.Extended = min(out.TTL, a.TTL), a.Told, a.Extended
	return out, ok
}

// NegativeTTL is how long an answer without AAAA records says that there are none: 10 minutes if it does not (RFC 6147 §5.1.7).
func (d *DNS64) NegativeTTL(a *wire.Answer) uint32 {
	for i := int(a.AN); i < int(a.AN)+int(a.NS); i++ {
		if r := a.Record(i); r.Type == wire.TypeSOA {
			return a.TTL
		}
	}
	return negativeTTL
}

// Synthesise builds the answer for AAAA records from a, which answers question for A records and has been held for age seconds: the chain to the
// addresses, and for each one that may be translated the address that stands for it (RFC 6147 §5.1.7). Nothing is to be told, or kept, for longer than
// most seconds, what the answer without AAAA records said. Signatures do not hold for what is made here and are left out; so are authority and
// additional section. false: a has no address, and is the answer as it is.
func (d *DNS64) Synthesise(b *wire.Assembly, a *wire.Answer, question []byte, age, most uint32) (*wire.Answer, bool) {
	if a.RCode != wire.RCodeNoError || a.Negative {
		return nil, false
	}
	b.Begin(question[:len(question)-4], a.Flags&^wire.FlagAD, a.RCode)
	made := false
	for i := range int(a.AN) {
		ttl := a.TTLOf(i)
		ttl = min(ttl-min(ttl, age), most)
		switch r := a.Record(i); r.Type {
		case wire.TypeCNAME, wire.TypeDNAME:
			b.Copy(wire.Answers, a, question, i, ttl)
		case wire.TypeA:
			made = d.translate(b, a, question, &r, ttl) || made
		}
	}
	out, ok := finish(b, a)
	if !made {
		out.Negative, out.TTL = true, 0
	}
	return out, ok
}

// translate adds the AAAA record for r, an A record of a, if there may be one.
func (d *DNS64) translate(b *wire.Assembly, a *wire.Answer, question []byte, r *wire.Record, ttl uint32) bool {
	data := a.Records[r.Data:r.End]
	if len(data) != 4 {
		return false
	}
	v4 := [4]byte(data)
	if d.wellKnown && contains(notGlobal, netip.AddrFrom4(v4)) {
		return false
	}
	var space [wire.NameBytesMax]byte
	v6 := d.Embed(v4)
	b.Add(wire.Answers, a.AppendName(space[:0], question, r.Owner), wire.TypeAAAA, wire.ClassINET, ttl, v6[:])
	return true
}

// finish ends an answer that was made from a.
func finish(b *wire.Assembly, a *wire.Answer) (*wire.Answer, bool) {
	out, ok := b.Done()
	out.Negative, out.Told, out.Extended = a.Negative, a.Told, wire.EDESynthesized
	return out, ok
}

const negativeTTL = 600 // seconds: RFC 6147 §5.1.7
