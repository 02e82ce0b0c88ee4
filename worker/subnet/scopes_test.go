package subnet

import (
	"slices"
	"testing"

	"secure-dns-proxy/transport/wire"
)

func newScopes(t testing.TB) *Scopes {
	s, err := NewScopes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// lengths lists what is looked up.
func lengths(s *Scopes, hash uint64, family, max uint8, now uint32) []uint8 {
	var out []uint8
	l := s.Lengths(hash, family, max, now)
	for n := l.Next(); n != 0; n = l.Next() {
		out = append(out, n)
	}
	return out
}

// TestLongestFirst: RFC 7871 §7.3.2, longest prefix matching; nothing beyond the network that is asked for; families apart.
func TestLongestFirst(t *testing.T) {
	s := newScopes(t)
	for _, n := range []uint8{16, 24, 8} {
		if got, ok := s.Keep(1, wire.FamilyIPv4, n, 24, 0); got != n || !ok {
			t.Fatalf("/%d is kept as /%d, %v", n, got, ok)
		}
	}
	for _, n := range []uint8{48, 64} {
		s.Keep(1, wire.FamilyIPv6, n, 64, 0)
	}
	for _, tt := range []struct {
		family, max uint8
		want        []uint8
	}{
		{wire.FamilyIPv4, 32, []uint8{24, 16, 8}},
		{wire.FamilyIPv4, 24, []uint8{24, 16, 8}},
		{wire.FamilyIPv4, 20, []uint8{16, 8}},
		{wire.FamilyIPv4, 7, nil},
		{wire.FamilyIPv6, 64, []uint8{64, 48}},
		{wire.FamilyIPv6, 63, []uint8{48}},
	} {
		if got := lengths(s, 1, tt.family, tt.max, 0); !slices.Equal(got, tt.want) {
			t.Errorf("family %d, up to /%d: %v, want %v", tt.family, tt.max, got, tt.want)
		}
	}
	if got := lengths(s, 2, wire.FamilyIPv4, 32, 0); got != nil {
		t.Errorf("a question that is not known: %v", got)
	}
	if s.Lengths(1, wire.FamilyIPv4, 24, 0).Exact {
		t.Error("exact without one such")
	}
	s.Keep(1, wire.FamilyIPv4, 0, 24, 0)
	if !s.Lengths(1, wire.FamilyIPv4, 24, 0).Exact {
		t.Error("not exact")
	}
}

// TestLengthsBounded: a fifth length is kept as a longer one that is there, never beyond the network itself; without one the shortest makes room.
func TestLengthsBounded(t *testing.T) {
	s := newScopes(t)
	for _, n := range []uint8{10, 12, 20, 24} {
		s.Keep(1, wire.FamilyIPv4, n, 24, 0)
	}
	for _, tt := range []struct{ n, max, want uint8 }{{14, 24, 20}, {21, 24, 24}, {8, 24, 10}, {12, 24, 12}} {
		if got, ok := s.Keep(1, wire.FamilyIPv4, tt.n, tt.max, 0); got != tt.want || !ok {
			t.Errorf("/%d is kept as /%d, want /%d", tt.n, got, tt.want)
		}
	}
	if got, _ := s.Keep(1, wire.FamilyIPv4, 22, 23, 0); got != 22 {
		t.Errorf("/22 of a /23 is kept as /%d: it is good for no /24", got)
	}
	if got := lengths(s, 1, wire.FamilyIPv4, 32, 0); !slices.Equal(got, []uint8{24, 22, 20, 12}) {
		t.Errorf("lengths %v, want the shortest gone", got)
	}
}

// TestNetworksBounded: RFC 7871 §11.3.
func TestNetworksBounded(t *testing.T) {
	s := newScopes(t)
	for range NetworksMax {
		if _, ok := s.Keep(1, wire.FamilyIPv4, 24, 24, 100); !ok {
			t.Fatal("refused below the limit")
		}
	}
	if _, ok := s.Keep(1, wire.FamilyIPv4, 24, 24, 100+Window-1); ok {
		t.Error("kept beyond the limit")
	}
	if _, ok := s.Keep(2, wire.FamilyIPv4, 24, 24, 100); !ok {
		t.Error("another question suffers")
	}
	if _, ok := s.Keep(1, wire.FamilyIPv4, 24, 24, 100+Window); !ok {
		t.Error("refused in the next window")
	}
}

// TestOldestMakesRoom: of more questions than fit, those that are used stay.
func TestOldestMakesRoom(t *testing.T) {
	s := newScopes(t)
	for i := range uint64(scopeWays) {
		s.Keep(i*scopeSets+7, wire.FamilyIPv4, 24, 24, uint32(i)+1)
	}
	s.Lengths(7, wire.FamilyIPv4, 24, 50) // the oldest is used
	s.Keep(scopeWays*scopeSets+7, wire.FamilyIPv4, 24, 24, 51)
	if lengths(s, 7, wire.FamilyIPv4, 24, 51) == nil || lengths(s, scopeSets+7, wire.FamilyIPv4, 24, 51) != nil {
		t.Error("not the one that was used longest ago made room")
	}
}

func TestScopesAllocateNothing(t *testing.T) {
	s := newScopes(t)
	hash := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		hash += 0x9E3779B97F4A7C15
		s.Keep(hash, wire.FamilyIPv6, 48, 56, 1)
		l := s.Lengths(hash, wire.FamilyIPv6, 56, 1)
		l.Next()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
