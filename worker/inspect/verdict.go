package inspect

// Action is what becomes of a question.
type Action uint8

// The values are those of the first byte of a WebAssembly module's verdict.
const (
	Pass   Action = iota // it goes on: to the cache, to an upstream, to the clients
	Once                 // the same, and the answer is not kept; at AtQuery it is not taken from the cache either
	Answer               // its clients get Verdict.RCode without records, with the extended error Blocked (RFC 8914); with RCode 0 that is NODATA
	Drop                 // they get nothing; over TCP they are cut off
	actions
)

// RCodeMax is the highest RCODE that a verdict may have: those that need no EDNS.
const RCodeMax = 15

// Verdict is an inspector's decision.
type Verdict struct {
	Do     Action
	RCode  uint16 // of Answer, 0 to RCodeMax
	Tags   uint8  // bit i: the query is given tag i of the configuration's list (inspect.tags), which rules that come later see
	TTLMax uint16 // seconds: no record is told with more, nor kept for longer at AtResponse; 0: no bound. Not at AtMiss, and not of what does not go on
	Keep   Keep   // the worker takes the same verdict for what is like this, and does not ask again
}

// Keep says of what a verdict holds, and for how long: at the same point and in the same pool. The zero value is of nothing.
type Keep struct {
	Seconds uint16
	Labels  uint8 // of the name's end, 1 to LabelsMax: names that have these labels last; 0: this name alone
	AnyType bool  // whatever the type; else this one
	Who     Who
}

// Who is a group of clients.
type Who uint8

const (
	Everybody  Who = iota
	Network        // clients in the same /24, or /56 of IPv6
	ThisClient     // the same address
	whos
)

// LabelsMax is the longest end of a name that a verdict can hold for.
const LabelsMax = 15

// Refused answers REFUSED.
func Refused() Verdict { return Verdict{Do: Answer, RCode: 5} }

// NXDomain answers that the name does not exist.
func NXDomain() Verdict { return Verdict{Do: Answer, RCode: 3} }

// Valid reports whether v can be a verdict at a point.
func (v Verdict) Valid(at Point) bool {
	switch {
	case v.Do >= actions || v.RCode > RCodeMax || v.Do != Answer && v.RCode != 0:
		return false
	case v.TTLMax != 0 && (at == AtMiss || v.Do > Once):
		return false
	case v.Keep.Labels > LabelsMax || v.Keep.Who >= whos:
		return false
	}
	return v.Keep.Seconds != 0 || v.Keep == Keep{}
}

// A verdict as a WebAssembly module gives it, an i64:
//
//	bits  0..7    action
//	      8..15   RCODE
//	     16..23   tags to give
//	     24..27   kept: labels
//	     28       kept: for any type
//	     29..30   kept: for whom, 0 everybody, 1 the client's network, 2 the client
//	     31       0
//	     32..47   kept: seconds
//	     48..63   largest TTL, seconds
const (
	keepLabels  = 24
	keepAnyType = 28
	keepWho     = 29
	keepSeconds = 32
	ttlMax      = 48
)

// Decode reads the verdict of a WebAssembly module at a point.
func Decode(word uint64, at Point) (Verdict, bool) {
	v := decode(word)
	return v, v.Valid(at) && v.word() == word
}

func decode(word uint64) Verdict {
	return Verdict{
		Do: Action(word & 0xFF), RCode: uint16(word >> 8 & 0xFF), Tags: uint8(word >> 16), TTLMax: uint16(word >> ttlMax),
		Keep: Keep{
			Seconds: uint16(word >> keepSeconds), Labels: uint8(word >> keepLabels & 0xF), AnyType: word>>keepAnyType&1 != 0, Who: Who(word >> keepWho & 3),
		},
	}
}

// word is the inverse of decode for a valid verdict.
func (v *Verdict) word() uint64 {
	word := uint64(v.Do) | uint64(v.RCode)<<8 | uint64(v.Tags)<<16 | uint64(v.TTLMax)<<ttlMax |
		uint64(v.Keep.Seconds)<<keepSeconds | uint64(v.Keep.Labels)<<keepLabels | uint64(v.Keep.Who)<<keepWho
	if v.Keep.AnyType {
		word |= 1 << keepAnyType
	}
	return word
}
