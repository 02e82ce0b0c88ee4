package wire

import (
	"hash/maphash"
	"strings"
	"testing"
)

// Building blocks of test messages, joined with +.
const (
	idQuery   = "\x12\x34\x01\x00"                 // id, RD
	one       = "\x00\x01\x00\x00\x00\x00\x00\x00" // one question, nothing else
	oneOPT    = "\x00\x01\x00\x00\x00\x00\x00\x01" // one question, one additional
	exampleA  = "\x07example\x03com\x00\x00\x01\x00\x01"
	opt1232   = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
	opt1232DO = "\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"
	idAnswer  = "\x12\x34\x81\x80"
	toName    = "\xc0\x0c" // pointer to the question's name
	typeAIN   = "\x00\x01\x00\x01"
	ttl300    = "\x00\x00\x01\x2c"
	addressA  = toName + typeAIN + ttl300 + "\x00\x04\xc0\x00\x02\x01"
	soaRDATA  = "\x02ns" + toName + "\x04root" + toName + "\x00\x00\x00\x01\x00\x00\x0e\x10\x00\x00\x03\x84\x00\x09\x3a\x80\x00\x00\x00\x3c" // MINIMUM 60
	soa900    = toName + "\x00\x06\x00\x01\x00\x00\x03\x84\x00\x20" + soaRDATA
)

var testSeed = maphash.MakeSeed()

// longName is a name of n bytes on the wire, root included.
func longName(n int) string {
	var b strings.Builder
	for left := n - 1; left > 0; {
		label := min(left-1, 63)
		if left-1-label == 1 { // never leave room for a length byte alone
			label--
		}
		b.WriteByte(byte(label))
		b.WriteString(strings.Repeat("a", label))
		left -= 1 + label
	}
	b.WriteByte(0)
	return b.String()
}

func mustKey(t testing.TB, question string) []byte {
	t.Helper()
	var q Query
	if fault := ParseQuery([]byte(idQuery+one+question), &q); fault != FaultNone {
		t.Fatalf("ParseQuery(%q) = %v", question, fault)
	}
	var key [KeyBytesMax]byte
	return append([]byte(nil), q.Key(&key)...)
}
