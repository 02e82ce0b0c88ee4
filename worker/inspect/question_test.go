package inspect

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
)

func TestQuestionBytes(t *testing.T) {
	q := Question{
		Name: []byte("\x01a\x00"), Type: 0x0102, Class: 0x0304, TCP: true, CD: true, Client: netip.MustParseAddr("192.0.2.1"), Pool: []byte("corp"),
	}
	raw := q.Append(nil)
	want := []byte("\x01\x05\x02\x01\x04\x03\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x01a\x00corp")
	if !bytes.Equal(raw, want) {
		t.Errorf("got  % x\nwant % x", raw, want)
	}
	q.Pool = bytes.Repeat([]byte("x"), PoolNameMax+1)
	q.Name = make([]byte, 255)
	if n := len(q.Append(nil)); n != QuestionBytesMax {
		t.Errorf("the longest question has %d bytes, want %d", n, QuestionBytesMax)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add((&Question{Name: []byte("\x01a\x00"), Type: 1, Class: 1, RD: true, DO: true}).Append(nil))
	f.Add((&Question{Client: netip.MustParseAddr("2001:db8::1"), Pool: []byte("default")}).Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q, again Question
		if !q.Parse(raw) || len(q.Pool) > PoolNameMax {
			return
		}
		if !again.Parse(q.Append(nil)) || !reflect.DeepEqual(q, again) {
			t.Errorf("%+v becomes %+v", q, again)
		}
	})
}

func TestDecode(t *testing.T) {
	for word, want := range map[uint64]Verdict{0: {}, 1: {Do: Once}, 0x0502: Refused(), 0x0302: NXDomain(), 2: {Do: Answer}, 3: {Do: Drop}} {
		if v, ok := Decode(word); !ok || v != want {
			t.Errorf("%#x: got %+v, %t, want %+v", word, v, ok, want)
		}
	}
	for _, word := range []uint64{4, 0xFF, 0x0500, 0x0501, 0x0503, 0x1002, 0x10002, 1 << 63} {
		if v, ok := Decode(word); ok {
			t.Errorf("%#x is taken for %+v", word, v)
		}
	}
}
