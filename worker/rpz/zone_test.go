package rpz

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestBadRecords: what cannot be a policy is refused with its reason, and the zone goes on without it.
func TestBadRecords(t *testing.T) {
	b := builderOf(t, "a CNAME .\nb CNAME c.\nd A 192.0.2.1\n")
	for line, want := range map[string]string{
		"33.1.2.0.192.rpz-ip.rpz.test. CNAME .":          "prefix length 33",
		"0.0.0.0.0.rpz-ip.rpz.test. CNAME .":             "prefix length 0",
		"129.zz.rpz-ip.rpz.test. CNAME .":                "prefix length",
		"032.1.2.0.192.rpz-ip.rpz.test. CNAME .":         "leading zero",
		"24.1.2.0.192.rpz-ip.rpz.test. CNAME .":          "bits beyond its length",
		"32.1.2.0.256.rpz-ip.rpz.test. CNAME .":          "at most 255",
		"32.2.0.192.rpz-ip.rpz.test. CNAME .":            "an address of 3 labels",
		"128.1.zz.2.zz.rpz-ip.rpz.test. CNAME .":         "zz stands twice",
		"128.g.zz.rpz-ip.rpz.test. CNAME .":              "base 16",
		"128.1.2.3.4.5.6.7.8.9.rpz-ip.rpz.test. CNAME .": "an address of 9 labels",
		"rpz-ip.rpz.test. CNAME .":                       "no trigger before its kind",
		"x.rpz-future.rpz.test. CNAME .":                 "no kind of trigger",
		"a.rpz.test. A 192.0.2.1":                        "beside a CNAME that stands for an action",
		"a.rpz.test. CNAME *.":                           "beside a CNAME that stands for an action",
		"d.rpz.test. CNAME .":                            "beside a CNAME that stands for an action",
		"b.rpz.test. A 192.0.2.1":                        "a CNAME and other records",
		"d.rpz.test. CNAME e.":                           "a CNAME and other records",
		"b.rpz.test. CNAME e.":                           "a CNAME and other records",
		"www.example. CNAME .":                           "not below the zone's origin",
		"xrpz.test. CNAME .":                             "not below the zone's origin",
		"x.rpz.test. SOA a. b. 1 2 3 4 5":                "an SOA below",
		"rpz.test. SOA a. b. 1 2 3 4 5":                  "a second SOA",
		"96.zz.ffff.zz.rpz-ip.rpz.test. CNAME .":         "zz stands twice",
		"96.0.0.ffff.zz.rpz-ip.rpz.test. CNAME .":        "prefix length 0 of an IPv4 address",
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(fields(t, rr)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
	z, err := b.Zone()
	if err != nil || z.Len() != 3 {
		t.Errorf("%v, %d triggers, want 3", err, z.Len())
	}
	if _, err := NewBuilder(packed(t, "rpz.test.")).Zone(); err == nil {
		t.Error("a zone without SOA")
	}
}

// TestManyRecords: the records of one trigger have a limit.
func TestManyRecords(t *testing.T) {
	b := builderOf(t, "")
	for i := range RecordsMax + 1 {
		rr, _ := dns.NewRR(fmt.Sprintf("a.rpz.test. A 192.0.%d.%d", i/256, i%256))
		if err := b.Add(fields(t, rr)); (err != nil) != (i == RecordsMax) {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

// TestUseless: what a zone has beside policies is left out and counted.
func TestUseless(t *testing.T) {
	z := zoneOf(t, "@ NS ns.rpz.test.\n@ TXT \"a feed\"\na NS ns.\na DS 1 13 2 00\na CNAME .")
	if z.Len() != 1 || z.Ignored() != 4 {
		t.Errorf("%d triggers, %d ignored, want 1 and 4", z.Len(), z.Ignored())
	}
}

// lines is a zone as sorted text.
func lines(z *Zone) []string {
	var out []string
	z.All(func(owner []byte, rrtype uint16, ttl uint32, data []byte) bool {
		out = append(out, fmt.Sprintf("%x %d %d %x", owner, rrtype, ttl, data))
		return true
	})
	slices.Sort(out)
	return out
}

// randomLine makes one of some hundred records, so that many meet.
func randomLine(r *rand.Rand) string {
	owner := [...]string{
		"n%d.example", "*.n%d.example", "32.%d.2.0.192.rpz-ip", "128.%x.zz.db8.2001.rpz-ip", "32.%d.2.0.192.rpz-client-ip", "ns%d.rpz-nsdname", "*.ns%d.rpz-nsdname",
		"32.%d.2.0.192.rpz-nsip",
	}[r.IntN(8)]
	data := [...]string{"CNAME .", "CNAME *.", "CNAME rpz-drop.", "CNAME x.test.", "A 192.0.2.1", "A 192.0.2.2", "TXT a", "AAAA ::1"}[r.IntN(8)]
	return fmt.Sprintf(owner, 1+r.IntN(9)) + ".rpz.test. " + data
}

// TestEdits: a zone that was changed step by step is the zone of the records that are left, and those that were edited stay what they were.
func TestEdits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	model := map[string]dns.RR{}
	z := zoneOf(t, "")
	for round := range 60 {
		before := lines(z)
		old := z
		b := z.Edit()
		soa, _ := dns.NewRR(fmt.Sprintf("rpz.test. 300 SOA ns.rpz.test. hostmaster.rpz.test. %d 3600 600 86400 60", round))
		_, _, ttl, data := fields(t, soa)
		if err := b.Follow(ttl, data); err != nil {
			t.Fatal(err)
		}
		for range r.IntN(60) {
			line := randomLine(r)
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			if owner, rrtype, _, data := fields(t, rr); r.IntN(2) == 0 {
				err = b.Remove(owner, rrtype, data)
				if _, there := model[line]; there != (err == nil) || err != nil && !errors.Is(err, ErrAbsent) {
					t.Fatalf("removing %s, which is there: %v: %v", line, there, err)
				}
				delete(model, line)
			} else if err := b.Add(owner, rrtype, 120, data); err == nil {
				model[line] = rr
			}
		}
		var err error
		if z, err = b.Zone(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(before, lines(old)) {
			t.Fatal("an edit changed the zone that it began with")
		}
		fresh := builderOf(t, "")
		for line, rr := range model {
			owner, rrtype, _, data := fields(t, rr)
			if err := fresh.Add(owner, rrtype, 120, data); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		fresh.hasSOA = false
		if err := fresh.Follow(ttl, data); err != nil {
			t.Fatal(err)
		}
		want, err := fresh.Zone()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := lines(z), lines(want); !slices.Equal(got, want) {
			t.Fatalf("round %d:\ngot  %s\nwant %s", round, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		if z.Len() != want.Len() || z.SOA().Serial != uint32(round) {
			t.Fatalf("round %d: %d triggers, serial %d, want %d and %d", round, z.Len(), z.SOA().Serial, want.Len(), round)
		}
	}
}

// million is a zone of n QNAME triggers, half of them wildcards, with names as feeds have them.
func million(t testing.TB, n int) *Zone {
	t.Helper()
	b := builderOf(t, "")
	for i := range n {
		if err := b.Add(feedName(i, i%2 == 1), dns.TypeCNAME, 300, []byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	z, err := b.Zone()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// feedName is the owner of the i-th trigger: 20 bytes and more before the origin.
func feedName(i int, wildcard bool) []byte {
	var name []byte
	if wildcard {
		name = append(name, 1, '*')
	}
	label := fmt.Sprintf("host-%07d-%d", i, i%13)
	name = append(append(name, byte(len(label))), label...)
	name = append(name, "\x03com"...)
	return append(name, "\x03rpz\x04test\x00"...)
}

// TestBytes: what a trigger takes, by the zone's own account and by the collector's.
func TestBytes(t *testing.T) {
	const n = 200_000
	weigh := func(what string, most float64, make func() *Zone) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		z := make()
		runtime.GC()
		runtime.ReadMemStats(&after)
		real := float64(after.HeapAlloc-before.HeapAlloc) / float64(z.Len())
		told := float64(z.Bytes()) / float64(z.Len())
		t.Logf("%s: %.1f bytes a trigger, %.1f by the zone's account", what, real, told)
		if real > most || told < real*0.95 {
			t.Errorf("%s: %.1f bytes a trigger, %.1f by the zone's account: want at most %.0f, and no less told", what, real, told, most)
		}
		runtime.KeepAlive(z)
	}
	weigh("QNAME, NXDOMAIN", 60, func() *Zone { return million(t, n) })
	weigh("QNAME, an address", 90, func() *Zone {
		b := builderOf(t, "")
		for i := range n {
			if err := b.Add(feedName(i, false), dns.TypeA, 300, []byte{192, 0, 2, 1}); err != nil {
				t.Fatal(err)
			}
		}
		z, err := b.Zone()
		if err != nil {
			t.Fatal(err)
		}
		return z
	})
	r := rand.New(rand.NewPCG(1, 2))
	for what, address := range map[string]func(i int) [4]byte{
		"IP, neighbours": func(i int) [4]byte { return [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)} },
		"IP, anywhere": func(int) [4]byte {
			return [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		},
	} {
		weigh(what, prefixBytes, func() *Zone {
			b := builderOf(t, "")
			for i := range n {
				a := address(i)
				rr := fmt.Sprintf("32.%d.%d.%d.%d.rpz-ip.rpz.test.", a[3], a[2], a[1], a[0])
				if err := b.Add(packed(t, rr), dns.TypeCNAME, 300, []byte{0}); err != nil {
					t.Fatal(err)
				}
			}
			z, err := b.Zone()
			if err != nil {
				t.Fatal(err)
			}
			return z
		})
	}
}
