package worker

import (
	"encoding/hex"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/cookie"
)

// asking is query with a cookie, and with a wish to know who answers.
func asking(id uint16, name, text string) *dns.Msg {
	m := query(id, name, dns.TypeA)
	opt := m.SetEdns0(1232, false).IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: text}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
	return m
}

func withCookies(_ *Config, s *Snapshot) {
	s.Cookies = Cookies{Enabled: true, Secrets: []cookie.Secret{{1}}}
	s.NSID = "proxy-1"
}

// A hit whose client has a valid cookie and wants to know who answers costs no allocation, nor does a miss.
func TestOptionsAllocateNothing(t *testing.T) {
	b := newBench(t, 1, withCookies)
	up := one(t, b.ask(1, asking(1, "a.example.", "0102030405060708")))
	first := cookieOf(unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))).data))
	events := []ring.Event{from(1, pack(t, asking(1, "A.example.", first))), from(1, pack(t, asking(2, "slow.example.", first)))}
	b.turn(events[1])
	b.eng.keep = false
	before := b.w.stats
	if n := testing.AllocsPerRun(100, func() {
		b.eng.events = events
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per turn, want 0", n)
	}
	if s := b.w.stats; s.Cookies[CookieValid]-before.Cookies[CookieValid] != 202 || s.Hits-before.Hits != 101 || s.Coalesced-before.Coalesced != 101 {
		t.Errorf("%d valid cookies, %d hits, %d coalesced; want 202, 101, 101", s.Cookies[CookieValid], s.Hits, s.Coalesced)
	}
}

// A reload changes secrets, and whether there are cookies at all, for those who wait as well.
func TestSecretsAreReloaded(t *testing.T) {
	b := newBench(t, 1, withCookies)
	up := one(t, b.ask(1, asking(1, "a.example.", "0102030405060708")))
	answer := b.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1"))
	reload := func(edit func(*Snapshot)) {
		next, snap := *b.w.command.Load(), *b.w.command.Load().snapshot
		edit(&snap)
		next.snapshot = &snap
		var err error
		if next.jar, err = snap.jar(cookie.Secret{}); err != nil {
			t.Fatal(err)
		}
		b.w.command.Store(&next)
		b.turn()
	}
	reload(func(s *Snapshot) { s.Cookies.Secrets = []cookie.Secret{{2}, {1}} })
	waited := cookieOf(unpack(t, one(t, b.turn(answer)).data))
	path, client := client(1), cookie.Client{1, 2, 3, 4, 5, 6, 7, 8}
	second, _ := cookie.New([]cookie.Secret{{2}})
	raw, _ := hex.DecodeString(waited)
	if valid, _ := second.Check(&client, raw[8:], path, uint32(b.unix())); !valid {
		t.Errorf("the one who waited got %s, which is not of the new secret", waited)
	}
	for name, valid := range map[string]uint64{waited: 1, "0102030405060708" + "010000005cf79f110000000000000000": 0} {
		before := b.w.stats.Cookies[CookieValid]
		b.ask(1, asking(2, "a.example.", name))
		if got := b.w.stats.Cookies[CookieValid] - before; got != valid {
			t.Errorf("%s: %d valid, want %d", name, got, valid)
		}
	}
	up = one(t, b.ask(1, asking(1, "b.example.", waited)))
	reload(func(s *Snapshot) { s.Cookies.Enabled, s.NSID = false, "" })
	m := unpack(t, one(t, b.turn(b.answer(up, reply(t, up.data, nil)))).data)
	if cookieOf(m) != "" {
		t.Errorf("cookies are off: %v", m)
	}
	if m := unpack(t, one(t, b.ask(1, asking(2, "a.example.", waited))).data); len(m.IsEdns0().Option) != 0 {
		t.Errorf("cookies and NSID are off: %v", m)
	}
}

// The group's own secret is random and stays when the configuration is read again.
func TestSecretOfTheProcess(t *testing.T) {
	s := &Snapshot{Cookies: Cookies{Enabled: true}}
	client, path := cookie.Client{1}, client(1)
	var made [3]cookie.Server
	for i, secret := range []cookie.Secret{{1}, {1}, {2}} {
		jar, err := s.jar(secret)
		if err != nil {
			t.Fatal(err)
		}
		jar.Make(&made[i], &client, path, 5)
	}
	if made[0] != made[1] || made[0] == made[2] {
		t.Errorf("cookies %x", made)
	}
}
