package cookie

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"secure-dns-proxy/ring"
)

func bytesOf(t testing.TB, text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func jar(t testing.TB, secrets ...string) *Jar {
	var list []Secret
	for _, s := range secrets {
		list = append(list, Secret(bytesOf(t, s)))
	}
	j, err := New(list)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func at(address string) *ring.Path {
	p := new(ring.Path)
	p.SetAddr(netip.AddrPortFrom(netip.MustParseAddr(address), 53))
	return p
}

// RFC 9018 appendix A: who asks with which cookie, and what is given at which time.
func TestVectors(t *testing.T) {
	const secret = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	for _, tt := range []struct {
		name            string
		secrets         []string
		address, client string
		server          string // that it asks with
		now             uint32
		valid, fresh    bool
		given           string
	}{
		{"A.1 learning a new server cookie", []string{secret}, "198.51.100.100", "2464c4abcf10c957", "", 1559731985, false, false, "010000005cf79f111f8130c3eee29480"},
		{
			"A.2 the same client learning a renewed one",
			[]string{secret},
			"198.51.100.100", "2464c4abcf10c957", "010000005cf79f111f8130c3eee29480",
			1559734385, true, false, "010000005cf7a871d4a564a1442aca77",
		},
		{
			"A.3 another client, with reserved bytes that are set",
			[]string{secret},
			"203.0.113.203", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5",
			1559734700, false, false, "010000005cf7a9acf73a7810aca2381e",
		},
		{
			"A.3 the same, within the hour",
			[]string{secret},
			"203.0.113.203", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5",
			0x5cf78f71 + 3600, true, false, "",
		},
		{
			"A.4 over IPv6, with a secret that was replaced",
			[]string{"445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715"},
			"2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", "010000005cf7c57926556bd0934c72f8",
			1559741961, true, false, "010000005cf7c609a6bb79d16625507a",
		},
	} {
		j, client, path := jar(t, tt.secrets...), Client(bytesOf(t, tt.client)), at(tt.address)
		valid, fresh := j.Check(&client, bytesOf(t, tt.server), path, tt.now)
		if valid != tt.valid || fresh != tt.fresh {
			t.Errorf("%s: valid %v, fresh %v", tt.name, valid, fresh)
		}
		if tt.given == "" {
			continue
		}
		var made Server
		j.Make(&made, &client, path, tt.now)
		if got := hex.EncodeToString(made[:]); got != tt.given {
			t.Errorf("%s: made %s, want %s", tt.name, got, tt.given)
		}
	}
}

// The paper's vector: the key 00 01 .. 0f and the message 00 01 .. 0e; and the first and some of the reference implementation's.
func TestSipHash(t *testing.T) {
	var key Secret
	var message [64]byte
	for i := range message {
		message[i] = byte(i)
	}
	copy(key[:], message[:])
	for size, want := range map[int]string{
		0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593", 15: "e545be4961ca29a1",
	} {
		var got [8]byte
		binary.LittleEndian.PutUint64(got[:], sipHash(&key, message[:size]))
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("of %d bytes: %x, want %s", size, got, want)
		}
	}
}

func TestValidity(t *testing.T) {
	const now = 0x5cf79f11
	j := jar(t, "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715")
	client, path := Client{1, 2, 3}, at("192.0.2.1")
	var good Server
	j.Make(&good, &client, path, now)
	check := func(name string, valid, fresh bool, c Client, server []byte, from *ring.Path, at uint32) {
		t.Helper()
		if v, f := j.Check(&c, server, from, at); v != valid || f != fresh {
			t.Errorf("%s: valid %v, fresh %v", name, v, f)
		}
	}
	check("at once", true, true, client, good[:], path, now)
	check("after half an hour", true, true, client, good[:], path, now+1800)
	check("after more", true, false, client, good[:], path, now+1801)
	check("after an hour", true, false, client, good[:], path, now+3600)
	check("after more", false, false, client, good[:], path, now+3601)
	check("five minutes early", true, true, client, good[:], path, now-300)
	check("earlier", false, false, client, good[:], path, now-301)
	check("another client", false, false, Client{1, 2, 4}, good[:], path, now)
	check("another address", false, false, client, good[:], at("192.0.2.2"), now)
	check("the same address, mapped", true, true, client, good[:], mapped("192.0.2.1"), now)
	check("nothing", false, false, client, nil, path, now)
	check("short", false, false, client, good[:15], path, now)
	check("long", false, false, client, append(good[:], 0), path, now)
	for i := range good {
		bad := good
		bad[i] ^= 1
		check("a bit of it", false, false, client, bad[:], path, now)
	}
	late := jar(t, "00000000000000000000000000000001", "dd3bdf9344b678b185a6f5cb60fca715", "e5e973e5a6b2a43f48e7dc849e37bfcf")
	if v, f := late.Check(&client, good[:], path, now); !v || f {
		t.Errorf("of a secret that is not the first: valid %v, fresh %v", v, f)
	}
	if v, _ := jar(t, "dd3bdf9344b678b185a6f5cb60fca715").Check(&client, good[:], path, now); v {
		t.Error("of a secret that is gone: valid")
	}
	j.Make(&good, &client, path, 0xFFFFFFF0)
	check("over the end of the 32 bits", true, true, client, good[:], path, 0x10)
	check("long after the end of the 32 bits", false, false, client, good[:], path, 0x7FFFFFFF)
}

// mapped is an IPv4 address as a socket of both families tells it.
func mapped(address string) *ring.Path {
	p := &ring.Path{NameLen: 28}
	a := netip.MustParseAddr(address).As4()
	p.Name[18], p.Name[19] = 0xff, 0xff
	copy(p.Name[20:], a[:])
	return p
}

func TestNew(t *testing.T) {
	for name, secrets := range map[string][]Secret{
		"none": nil, "twice the same": {{1}, {2}, {1}}, "too many": {{1}, {2}, {3}, {4}, {5}},
	} {
		if _, err := New(secrets); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if a, b := Random(), Random(); a == b {
		t.Error("random secrets are the same")
	}
}

func TestAllocatesNothing(t *testing.T) {
	j, client, path := jar(t, "e5e973e5a6b2a43f48e7dc849e37bfcf"), Client{1}, at("2001:db8::1")
	var made Server
	if n := testing.AllocsPerRun(100, func() {
		j.Make(&made, &client, path, 7)
		j.Check(&client, made[:], path, 7)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkCookie(b *testing.B) {
	j, client, path := jar(b, "e5e973e5a6b2a43f48e7dc849e37bfcf"), Client{1}, at("192.0.2.1")
	var made Server
	j.Make(&made, &client, path, 7)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			j.Make(&made, &client, path, 7)
		}
	})
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			j.Check(&client, made[:], path, 7)
		}
	})
}
