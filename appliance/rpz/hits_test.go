package rpz

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/worker/rpz"
)

// journaled is a Group whose one worker has a journal.
type journaled struct{ rpz.Journal }

func (j *journaled) ResponsePolicies(*rpz.Set) {}

func (j *journaled) ZoneHits(yield func(*rpz.Hit)) uint64 { return j.Read(yield) }

// TestHitLog: rpz.log_rate lines a second, and one that says how many more there were.
func TestHitLog(t *testing.T) {
	for _, rate := range []int{0, 3} {
		log, g := new(journal), new(journaled)
		h := newHitLog(slog.New(slog.NewTextHandler(log, nil)))
		h.setRate(rate)
		write := func(n int) {
			for range n {
				g.Write(&rpz.Policy{Name: "rpz.test."}, &rpz.Match{Trigger: rpz.QName, Action: rpz.Drop}, netip.MustParseAddr("192.0.2.1"), dns.TypeA, wireName("bad.example."))
			}
		}
		now := time.Now()
		write(5)
		h.collect(now, g)
		write(rpz.JournalMax + 7) // seven of which find no room
		h.collect(now.Add(lookInterval), g)
		line := `msg="response policy" zone=rpz.test. trigger=qname action=drop name=bad.example. type=A client=192.0.2.1`
		if got := strings.Count(log.String(), line); got != rate {
			t.Errorf("rate %d: %d lines:\n%s", rate, got, log)
		}
		write(1)
		h.collect(now.Add(time.Second), g)
		if got := strings.Count(log.String(), line); got != min(2*rate, rate+1) {
			t.Errorf("rate %d: %d lines in two seconds:\n%s", rate, got, log)
		}
		if want := 5 + rpz.JournalMax + 7 - rate; !strings.Contains(log.String(), "hits="+strconv.Itoa(want)) {
			t.Errorf("rate %d: want %d not logged:\n%s", rate, want, log)
		}
	}
}

// TestRefreshBounds: min_refresh and max_refresh stand before what a zone says.
func TestRefreshBounds(t *testing.T) {
	s := &source{spec: Zone{MinRefresh: time.Minute, MaxRefresh: time.Hour}}
	for said, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Minute, 10 * time.Minute: 10 * time.Minute, 100 * time.Hour: time.Hour} {
		if got := s.bounded(said); got != want {
			t.Errorf("%v: got %v, want %v", said, got, want)
		}
	}
}

// TestAlgorithms: what we sign with each algorithm, miekg/dns finds good, and the other way round.
func TestAlgorithms(t *testing.T) {
	for name := range Algorithms {
		key := Key{Name: "key.", Algorithm: dns.Fqdn(name), Secret: "c2VjcmV0"}
		for _, sign := range []dns.TsigProvider{&signer{key: key}, nil} {
			m := new(dns.Msg)
			m.SetNotify("rpz.test.")
			m.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
			var msg []byte
			var err error
			if sign != nil {
				if msg, _, err = dns.TsigGenerateWithProvider(m, sign, "", false); err == nil {
					err = dns.TsigVerify(msg, key.Secret, "", false)
				}
			} else if msg, _, err = dns.TsigGenerate(m, key.Secret, "", false); err == nil {
				err = dns.TsigVerifyWithProvider(msg, keyring(func(string) *Key { return &key }), "", false)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			msg[20] ^= 1
			if err := dns.TsigVerifyWithProvider(msg, &signer{key: key}, "", false); err == nil {
				t.Errorf("%s: a changed message is good", name)
			}
		}
	}
}
