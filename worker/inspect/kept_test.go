package inspect

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func newKept(t testing.TB, entries int) *Kept {
	t.Helper()
	k, err := NewKept(entries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func wireName(labels ...string) (name []byte) {
	for _, l := range labels {
		name = append(append(name, byte(len(l))), l...)
	}
	return append(name, 0)
}

func asks(qtype uint16, client string, labels ...string) *Question {
	return &Question{Name: wireName(labels...), Type: qtype, Client: netip.MustParseAddr(client), Pool: []byte("default")}
}

// TestKeptFor: a verdict is found for what it was said to be for, and for nothing else.
func TestKeptFor(t *testing.T) {
	const a, txt = 1, 16
	first := asks(a, "192.0.2.1", "www", "corp", "example")
	type probe struct {
		q    *Question
		want bool
	}
	same, sibling, above := asks(a, "198.51.100.9", "www", "corp", "example"), asks(a, "192.0.2.1", "mail", "corp", "example"), asks(a, "192.0.2.1", "example")
	other, below := asks(txt, "192.0.2.1", "www", "corp", "example"), asks(a, "192.0.2.1", "a", "b", "www", "corp", "example")
	near := asks(a, "192.0.2.200", "www", "corp", "example")
	elsewhere, later := *first, *first
	elsewhere.Pool, later.Point = []byte("corp"), AtResponse
	unknown := *first
	unknown.Client = netip.Addr{}
	for name, tt := range map[string]struct {
		keep   Keep
		probes []probe
	}{
		"name":    {Keep{}, []probe{{first, true}, {same, true}, {sibling, false}, {other, false}, {below, false}, {&elsewhere, false}, {&later, false}, {&unknown, true}}},
		"type":    {Keep{AnyType: true}, []probe{{first, true}, {other, true}, {sibling, false}}},
		"end":     {Keep{Labels: 2}, []probe{{first, true}, {sibling, true}, {below, true}, {above, false}, {other, false}, {same, true}}},
		"whole":   {Keep{Labels: 15}, []probe{{first, true}, {below, true}, {sibling, false}}},
		"client":  {Keep{Who: ThisClient}, []probe{{first, true}, {same, false}, {near, false}, {&unknown, false}}},
		"network": {Keep{Who: Network}, []probe{{first, true}, {near, true}, {same, false}}},
		"all":     {Keep{Labels: 1, AnyType: true, Who: Network}, []probe{{first, true}, {above, true}, {other, true}, {near, true}, {same, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept(t, KeptMin)
			v := Refused()
			v.Keep = tt.keep
			v.Keep.Seconds = 10
			if added, _ := k.Add(first, &v, 1, 0); !added {
				t.Fatal("not kept")
			}
			for n, p := range tt.probes {
				if got, ok := k.Find(p.q, 1, 1); ok != p.want || ok && (got.Do != Answer || got.RCode != 5) {
					t.Errorf("probe %d: got %+v, %t, want %t", n, got, ok, p.want)
				}
			}
		})
	}
}

// TestKeptUntil: a verdict is over with its time, and with its epoch.
func TestKeptUntil(t *testing.T) {
	k := newKept(t, KeptMin)
	q := asks(1, "2001:db8::1", "a", "example")
	v := NXDomain()
	if added, _ := k.Add(q, &v, 1, 0); added {
		t.Error("one that is not to be kept was")
	}
	v.Keep.Seconds = 2
	k.Add(q, &v, 1, 5)
	for now, want := range map[int64]bool{5: true, 4 + 2*int64(time.Second): true, 5 + 2*int64(time.Second): false} {
		if _, ok := k.Find(q, 1, now); ok != want {
			t.Errorf("at %d: %t", now, ok)
		}
	}
	if _, ok := k.Find(q, 2, 6); ok {
		t.Error("it outlived its epoch")
	}
	k.Add(q, &v, 2, 7)
	if _, ok := k.Find(q, 2, 8); !ok {
		t.Error("the next epoch's is not found")
	}
}

// TestKeptPrefersTheParticular: of several verdicts the one on the least counts.
func TestKeptPrefersTheParticular(t *testing.T) {
	k := newKept(t, 1024)
	q := asks(1, "192.0.2.1", "www", "corp", "example")
	for n, keep := range []Keep{{Labels: 1, AnyType: true}, {Labels: 1}, {Labels: 2}, {AnyType: true}, {}, {Who: Network}, {Who: ThisClient}} {
		v := Verdict{Do: Answer, RCode: uint16(n + 1), Keep: keep}
		v.Keep.Seconds = 9
		k.Add(q, &v, 1, 0)
		if got, _ := k.Find(q, 1, 1); got.RCode != v.RCode {
			t.Errorf("%+v: found %+v", keep, got)
		}
	}
}

func TestKinds(t *testing.T) {
	for kind := range kinds {
		if keep := keepOf(kind); kindOf(&keep) != kind {
			t.Errorf("%d: %+v", kind, keep)
		}
	}
}

// TestKeptIsBounded: a flood of verdicts takes no more memory, and displaces what ends first.
func TestKeptIsBounded(t *testing.T) {
	k := newKept(t, 1024)
	displaced := 0
	for n := range 10_000 {
		v := Verdict{Keep: Keep{Seconds: uint16(1 + n%100)}}
		if _, d := k.Add(asks(1, "192.0.2.1", fmt.Sprint(n)), &v, 1, 0); d {
			displaced++
		}
	}
	found, long := 0, 0
	for n := range 10_000 {
		if v, ok := k.Find(asks(1, "192.0.2.1", fmt.Sprint(n)), 1, 1); ok {
			found++
			if v.Keep.Seconds > 50 {
				long++
			}
		}
	}
	if found != 1024 || displaced != 10_000-1024 || long < 900 {
		t.Errorf("%d found, %d of them last, %d displaced", found, long, displaced)
	}
	for _, entries := range []int{KeptMin - 1, KeptMax + 1} {
		if _, err := NewKept(entries); err == nil {
			t.Errorf("%d entries are taken", entries)
		}
	}
}

func TestKeptAllocatesNothing(t *testing.T) {
	k := newKept(t, 1024)
	q := asks(1, "192.0.2.1", "www", "corp", "example")
	v := Verdict{Keep: Keep{Seconds: 1, Labels: 2, Who: Network}}
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += int64(time.Second)
		k.Add(q, &v, 1, now)
		if _, ok := k.Find(q, 1, now); !ok {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzKept: whatever names are asked for, a verdict on the name is found.
func FuzzKept(f *testing.F) {
	f.Add([]byte("\x01a\x00"), uint8(3), true)
	f.Add([]byte{0}, uint8(15), false)
	k := newKept(f, KeptMin)
	f.Fuzz(func(t *testing.T, name []byte, labels uint8, anyType bool) {
		for at := 0; ; at += 1 + int(name[at]) { // whole names are all that there are
			if at >= len(name) || name[at] > 63 || len(name) > 255 {
				return
			}
			if name[at] == 0 {
				name = name[:at+1]
				break
			}
		}
		q := &Question{Name: name}
		v := Verdict{Keep: Keep{Seconds: 1, Labels: labels % 16, AnyType: anyType}}
		k.Add(q, &v, 1, 0)
		if _, ok := k.Find(q, 1, 1); !ok {
			t.Errorf("% x: not found", name)
		}
	})
}

func BenchmarkKeptFind(b *testing.B) {
	for _, kinds := range []int{1, 3, 10} {
		b.Run(fmt.Sprint(kinds, "-kinds"), func(b *testing.B) {
			k := newKept(b, 16384)
			for n := range 10_000 {
				v := Verdict{Keep: Keep{Seconds: 1000, Labels: uint8(n % kinds)}}
				k.Add(asks(1, "192.0.2.1", fmt.Sprint(n), "corp", "example"), &v, 1, 0)
			}
			q := asks(1, "192.0.2.1", "none", "b", "c", "d", "e", "f", "g", "h", "corp", "test")
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				q.Name[1] = byte(r.Uint32())
				k.Find(q, 1, 1)
			}
		})
	}
}
