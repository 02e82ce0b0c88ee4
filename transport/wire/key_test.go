package wire

import (
	"bytes"
	"strings"
	"testing"
)

func TestKey(t *testing.T) {
	tests := []struct {
		name  string
		flags string
		rest  string
		want  string
	}{
		{"plain", "\x00\x00", one + exampleA, exampleA + "\x00"},
		{"folds A-Z only", "\x00\x00", one + "\x0a@AZ[`az{\xc0\xe0\x00" + typeAIN, "\x0a@az[`az{\xc0\xe0\x00" + typeAIN + "\x00"},
		{"RD", "\x01\x00", one + exampleA, exampleA + "\x04"},
		{"CD", "\x00\x10", one + exampleA, exampleA + "\x02"},
		{"DO", "\x00\x00", oneOPT + exampleA + opt1232DO, exampleA + "\x01"},
		{"all", "\x01\x10", oneOPT + exampleA + opt1232DO, exampleA + "\x07"},
		{"AD and EDNS do not split the cache", "\x00\x20", oneOPT + exampleA + opt1232, exampleA + "\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q Query
			if fault := ParseQuery([]byte("\x12\x34"+tt.flags+tt.rest), &q); fault != FaultNone {
				t.Fatal(fault)
			}
			var key [KeyBytesMax]byte
			if got := q.Key(&key); string(got) != tt.want {
				t.Errorf("Key = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestFoldEveryLength holds the word-wise folding against bytes.ToLower for every length and every letter position.
func TestFoldEveryLength(t *testing.T) {
	const alphabet = "@AMZ[`amz{\x00\x3f\x7f\x80\xc1\xda\xe1\xff"
	for n := range NameBytesMax + 1 {
		for shift := range len(alphabet) {
			name := []byte(strings.Repeat(alphabet, n/len(alphabet)+2)[shift : shift+n])
			want := asciiLower(name)
			got := make([]byte, n)
			lowerName(got, name, n)
			if !bytes.Equal(got, want) {
				t.Fatalf("lowerName(%q) = %q, want %q", name, got, want)
			}
			if !equalFold(name, want) {
				t.Fatalf("equalFold(%q, %q) = false", name, want)
			}
			var set [32]byte
			CaseBits(name, &set)
			ApplyCase(got, &set)
			if !bytes.Equal(got, name) {
				t.Fatalf("ApplyCase gave %q, want %q", got, name)
			}
		}
	}
}

func asciiLower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

func TestCaseBitsClearsOldBits(t *testing.T) {
	var set [32]byte
	for i := range set {
		set[i] = 0xFF
	}
	CaseBits([]byte("\x01A\x00"), &set)
	if want := ([32]byte{2}); set != want {
		t.Errorf("CaseBits = %v, want %v", set, want)
	}
}

func TestRestoreQuestion(t *testing.T) {
	const asked = "\x07eXaMpLe\x03CoM\x00\x00\x1c\x00\x01"
	key := mustKey(t, asked)
	var set [32]byte
	CaseBits([]byte(asked[:len(asked)-4]), &set)
	var question [QuestionBytesMax]byte
	if got := RestoreQuestion(&question, key, &set); string(got) != asked {
		t.Errorf("RestoreQuestion = %q, want %q", got, asked)
	}
	if got := string(KeyName(key)); got != "\x07example\x03com\x00" {
		t.Errorf("KeyName = %q", got)
	}
}

func TestHashIsKeyed(t *testing.T) {
	key := []byte(exampleA + "\x00")
	if Hash(testSeed, key) != Hash(testSeed, bytes.Clone(key)) {
		t.Error("equal keys hash differently")
	}
	if Hash(testSeed, key) == Hash(testSeed, []byte(exampleA+"\x01")) {
		t.Error("flags do not enter the hash")
	}
}

func TestBuildQuery(t *testing.T) {
	tests := []struct {
		name string
		key  string
		want string
	}{
		{"plain", exampleA + "\x00", "\xab\xcd\x00\x20" + oneOPT + exampleA + opt1232},
		{"RD", exampleA + "\x04", "\xab\xcd\x01\x20" + oneOPT + exampleA + opt1232},
		{"RD, CD, DO", exampleA + "\x07", "\xab\xcd\x01\x30" + oneOPT + exampleA + opt1232DO},
		{"longest", longName(255) + typeAIN + "\x04", "\xab\xcd\x01\x20" + oneOPT + longName(255) + typeAIN + opt1232},
	}
	for _, tt := range tests {
		dst := bytes.Repeat([]byte{0xEE}, BuiltQueryBytesMax)
		n := BuildQuery(dst, 0xabcd, []byte(tt.key), 1232)
		if got := string(dst[:n]); got != tt.want {
			t.Errorf("%s: BuildQuery = %q, want %q", tt.name, got, tt.want)
		}
		for _, c := range dst[n:] {
			if c != 0xEE {
				t.Errorf("%s: wrote past its length", tt.name)
				break
			}
		}
	}
}
