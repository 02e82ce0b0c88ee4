package inspect

// Action is what becomes of a question.
type Action uint8

// The values are those of the first byte of a WebAssembly module's verdict.
const (
	Pass   Action = iota // an upstream is asked
	Once                 // the same, and the answer is not kept: the next query for it is shown, too
	Answer               // its clients get Verdict.RCode without records, with the extended error Blocked (RFC 8914)
	Drop                 // they get nothing; over TCP they are cut off
	actions
)

// RCodeMax is the highest RCODE that a verdict may have: those that need no EDNS.
const RCodeMax = 15

// Verdict is an inspector's decision.
type Verdict struct {
	Do    Action
	RCode uint16 // of Answer, 0 to RCodeMax
}

// Refused answers REFUSED.
func Refused() Verdict { return Verdict{Answer, 5} }

// NXDomain answers that the name does not exist.
func NXDomain() Verdict { return Verdict{Answer, 3} }

// Valid reports whether v is one of those above.
func (v Verdict) Valid() bool {
	return v.Do < actions && v.RCode <= RCodeMax && (v.Do == Answer || v.RCode == 0)
}

// Decode reads the verdict of a WebAssembly module: its first byte is the action, the second one the RCODE, the rest is zero.
func Decode(word uint64) (Verdict, bool) {
	v := Verdict{Do: Action(word & 0xFF), RCode: uint16(word >> 8 & 0xFF)}
	return v, word>>16 == 0 && v.Valid()
}
