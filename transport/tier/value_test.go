package tier

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport/wire"
)

var testKey = []byte("\x01a\x07example\x00\x00\x01\x00\x01\x04")

// response is an answer to testKey in wire form, with a TTL for each record.
func response(t testing.TB, ttls ...uint32) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("a.example.", dns.TypeA)
	m.Response = true
	for i, ttl := range ttls {
		m.Answer = append(m.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: "a.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: []byte{192, 0, 2, byte(i)},
		})
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// answerOf parses a message to testKey.
func answerOf(t testing.TB, msg []byte) *wire.Answer {
	t.Helper()
	a := new(wire.Answer)
	if fault := wire.ParseResponse(bytes.Clone(msg), testKey, a, new(wire.ResponseScratch)); fault != wire.FaultNone {
		t.Fatalf("message is faulty: %v", fault)
	}
	return a
}

const noon = int64(1_800_000_000_000) // Unix time in milliseconds

func TestValueAges(t *testing.T) {
	id := appendID(nil, "default", testKey)
	for _, c := range []struct {
		name    string
		after   int64 // ms
		verdict Verdict
		ttl     uint32
	}{
		{"at once", 0, Good, 60},
		{"a part of a second counts as one", 1, Good, 59},
		{"whole seconds", 10_000, Good, 50},
		{"last second", 58_999, Good, 1},
		{"less than a second is left", 59_001, Expired, 0},
		{"over", 60_000, Expired, 0},
		{"long over", 1 << 50, Expired, 0},
		{"stored by a clock that is ahead", -3_600_000, Good, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			value := AppendValue(nil, noon, 60, id, response(t, 60, 3600))
			msg, v := ParseValue(value, id, noon+c.after)
			if v != c.verdict {
				t.Fatalf("verdict %d, want %d", v, c.verdict)
			}
			if v != Good {
				return
			}
			a := answerOf(t, msg)
			if a.TTL != c.ttl {
				t.Errorf("TTL %d, want %d", a.TTL, c.ttl)
			}
			if longest := binary.BigEndian.Uint32(a.Records[a.TTLs[1]:]); longest != c.ttl {
				t.Errorf("another record's TTL is %d: no TTL may be longer than the value's %d", longest, c.ttl)
			}
		})
	}
}

// reseal makes the checksum of a value good again.
func reseal(value []byte) []byte {
	binary.BigEndian.PutUint32(value[4:], crc32.Checksum(value[8:], castagnoli))
	return value
}

func TestValuesThatAreBroken(t *testing.T) {
	id, other := appendID(nil, "default", testKey), appendID(nil, "default", []byte("\x01b\x07example\x00\x00\x01\x00\x01\x04"))
	good := AppendValue(nil, noon, 60, id, response(t, 60))
	edit := func(change func(v []byte) []byte) []byte { return change(bytes.Clone(good)) }
	for name, value := range map[string][]byte{
		"empty":              {},
		"short":              good[:valueHeader-1],
		"cut off":            good[:len(good)-1],
		"a bit flipped":      edit(func(v []byte) []byte { v[len(v)-1] ^= 1; return v }),
		"another version":    edit(func(v []byte) []byte { v[3]++; return v }),
		"to another name":    AppendValue(nil, noon, 60, other, response(t, 60)),
		"from another pool":  AppendValue(nil, noon, 60, appendID(nil, "corp", testKey), response(t, 60)),
		"id beyond the end":  reseal(edit(func(v []byte) []byte { v[20] = 0xFF; return v })),
		"negative time":      reseal(edit(func(v []byte) []byte { v[8] = 0xFF; return v })),
		"good for too long":  reseal(edit(func(v []byte) []byte { v[16] = 0xFF; return v })),
		"message cut off":    reseal(edit(func(v []byte) []byte { return v[:len(v)-3] })),
		"message of nothing": reseal(edit(func(v []byte) []byte { return v[:valueHeader+len(id)] })),
	} {
		if msg, v := ParseValue(value, id, noon); v != Broken || msg != nil {
			t.Errorf("%s: verdict %d, %d bytes; want broken", name, v, len(msg))
		}
	}
	if _, v := ParseValue(bytes.Clone(good), id, noon); v != Good {
		t.Error("the value that the others were made of is not good either")
	}
}

// The tag of a pool is of one process only; the pool's name is not.
func TestNamesDifferByPoolAndKeyOnly(t *testing.T) {
	tagged := bytes.Clone(testKey)
	wire.SetKeyPool(tagged, 7)
	name := nameOf("sdp", appendID(nil, "default", testKey))
	if got := nameOf("sdp", appendID(nil, "default", tagged)); got != name {
		t.Errorf("a tag makes %s of %s", got, name)
	}
	withDO := bytes.Clone(testKey)
	withDO[len(withDO)-1] |= wire.KeyDO
	for what, got := range map[string]string{
		"prefix": nameOf("other", appendID(nil, "default", testKey)),
		"pool":   nameOf("sdp", appendID(nil, "corp", testKey)),
		"DO":     nameOf("sdp", appendID(nil, "default", withDO)),
	} {
		if got == name {
			t.Errorf("another %s has the same name %s", what, got)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	id := appendID(nil, "default", testKey)
	f.Add(AppendValue(nil, noon, 60, id, response(f, 60, 30)), noon+1000)
	f.Add(AppendValue(nil, noon, 60, id, nil), noon)
	f.Add([]byte("SDP\x01"), noon)
	scratch := new(wire.ResponseScratch)
	f.Fuzz(func(t *testing.T, value []byte, now int64) {
		if len(value) >= valueHeader {
			reseal(value) // the checksum would keep the fuzzer out
		}
		msg, v := ParseValue(value, id, now)
		if (v == Good) != (msg != nil) {
			t.Fatalf("verdict %d with %d bytes", v, len(msg))
		}
		if v != Good {
			return
		}
		ttl := binary.BigEndian.Uint32(value[16:])
		var a wire.Answer
		if wire.ParseResponse(msg, testKey, &a, scratch) != wire.FaultNone {
			return
		}
		for _, at := range a.TTLs {
			if got := binary.BigEndian.Uint32(a.Records[at:]); got > ttl {
				t.Fatalf("a record's TTL is %d, the value was good for %d", got, ttl)
			}
		}
	})
}
