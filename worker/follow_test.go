package worker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/ring"
	"secure-dns-proxy/worker/cache/shared"
)

// together has worker 0 ask its upstream for a name, and the others follow. It returns what worker 0 sent.
func (list team) together(name string) sentDatagram {
	list[0].t.Helper()
	up := one(list[0].t, list[0].ask(1, query(1, name, dns.TypeA)))
	for i, b := range list[1:] {
		if sent := b.ask(2, query(2, name, dns.TypeA)); len(sent) != 0 || b.w.stats.Followed == 0 {
			list[0].t.Fatalf("worker %d sent %d datagrams", i+1, len(sent))
		}
	}
	return up
}

// gets lets b go on and returns the only message that it sends to a client.
func (b *bench) gets() *dns.Msg {
	b.t.Helper()
	d := one(b.t, b.turn())
	if d.handle != clientSocket {
		b.t.Fatal("the worker asks an upstream")
	}
	return unpack(b.t, d.data)
}

// settled reports what is still open.
func (list team) settled() {
	list[0].t.Helper()
	for i, b := range list {
		if n := b.w.table.Len(); n != 0 {
			b.t.Errorf("worker %d has %d slots open", i, n)
		}
	}
}

func TestWorkersAskOnce(t *testing.T) {
	list := newTeam(t, 3, 1, nil)
	up := list.together("a.example.")
	if m := unpack(t, one(t, list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))).data); len(m.Answer) != 1 {
		t.Fatalf("the owner's client got %v", m)
	}
	for _, b := range list[1:] {
		if m := b.gets(); len(m.Answer) != 1 || m.Id != 2 || m.Answer[0].Header().Ttl != 300 {
			t.Errorf("a follower's client got %v", m)
		}
		if got := b.answered("a.example."); got != 300 {
			t.Errorf("the follower has not kept it: %d", got)
		}
		if s := b.w.stats; s.Followed != 1 || s.FollowsFailed != 0 || s.Misses != 0 || s.Hits != 1 {
			t.Errorf("followed %d, failed %d, misses %d, hits %d", s.Followed, s.FollowsFailed, s.Misses, s.Hits)
		}
	}
	list.settled()
}

// TestFailureIsToldToFollowers: with its rcode and reason, and it is remembered where it would have been.
func TestFailureIsToldToFollowers(t *testing.T) {
	remembering := func(_ *Config, s *Snapshot) { s.FailureTTL, s.FailureTTLMax = time.Second, time.Second }
	for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeFormatError} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			list := newTeam(t, 2, 1, remembering)
			up := list.together("a.example.")
			list[0].turn(list[0].answer(up, reply(t, up.data, func(m *dns.Msg) {
				m.Rcode = rcode
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus})
			})))
			if m := list[1].gets(); m.Rcode != rcode {
				t.Errorf("the follower's client got %v", m)
			}
			d := one(t, list[1].ask(3, query(3, "a.example.", dns.TypeA)))
			if d.handle != clientSocket || unpack(t, d.data).Rcode != rcode || list[1].w.stats.HeldFailures != 1 {
				t.Error("the follower has forgotten the failure")
			}
			list.settled()
		})
	}
	t.Run("silence", func(t *testing.T) {
		list := newTeam(t, 2, 1, remembering)
		list.together("a.example.")
		for range 31 { // both go on all the time; the owner asks again and again
			list.pass(100 * time.Millisecond)
			list[0].turn()
			for _, d := range list[1].turn() {
				if m := unpack(t, d.data); d.handle != clientSocket || m.Rcode != dns.RcodeServerFailure {
					t.Fatalf("the follower sent %v", m)
				}
			}
		}
		if s := list[1].w.stats; s.Answers[dns.RcodeServerFailure] != 1 || s.FollowsFailed != 0 {
			t.Errorf("%d failures told, %d asked after all", s.Answers[dns.RcodeServerFailure], s.FollowsFailed)
		}
		list.settled()
	})
}

// TestWhatCannotBeSharedIsAskedByEach: and for a time nobody waits for it in vain.
func TestWhatCannotBeSharedIsAskedByEach(t *testing.T) {
	for name, records := range map[string][]string{
		"TTL 0":     {"a.example. 0 IN A 192.0.2.1"},
		"too large": strings.Split(strings.Repeat(`a.example. 300 IN TXT "`+strings.Repeat("x", 250)+"\"\n", 17), "\n")[:17],
	} {
		t.Run(name, func(t *testing.T) {
			list := newTeam(t, 3, 1, nil)
			up := list.together("a.example.")
			list[0].turn(list[0].answer(up, reply(t, up.data, nil, records...)))
			for _, b := range list[1:] {
				own := one(t, b.turn())
				if own.handle == clientSocket || b.w.stats.FollowsFailed != 1 {
					t.Fatal("the follower did not ask")
				}
				one(t, b.turn(b.answer(own, reply(t, own.data, nil, records...))))
			}
			if name == "TTL 0" {
				one(t, list[0].ask(1, query(1, "a.example.", dns.TypeA)))
				if d := one(t, list[1].ask(1, query(1, "a.example.", dns.TypeA))); d.handle == clientSocket || list[1].w.stats.Followed != 1 {
					t.Error("somebody follows again")
				}
			}
		})
	}
}

// TestAnswerBetweenLookingAndClaiming: whoever claims a question looks once more, for its answer may just have come.
func TestAnswerBetweenLookingAndClaiming(t *testing.T) {
	list := newTeam(t, 3, 1, nil)
	list[0].learn("a.example.", 300)
	b := list[1]
	var l lookup
	b.w.parse(pack(t, query(7, "a.example.", dns.TypeA)), &l)
	b.w.client = l.query.Client(512)
	slot, _ := b.w.table.Open(l.hash, l.key)
	b.w.wait(slot, scrutinyNone, &origin{socket: clientSocket, path: client(1)})
	b.eng.sent = nil
	b.w.start(slot, &l) // as miss does, after it has looked
	if d := one(t, b.eng.sent); d.handle != clientSocket || len(unpack(t, d.data).Answer) != 1 {
		t.Error("it asked")
	}
	if s := b.w.stats; s.Misses != 0 || s.Hits != 1 || s.SharedHits != 1 {
		t.Errorf("misses %d, hits %d, shared %d", s.Misses, s.Hits, s.SharedHits)
	}
	list.settled()
	list.pass(301 * time.Second)
	if up := one(t, list[2].ask(1, query(1, "a.example.", dns.TypeA))); up.handle == clientSocket || list[2].w.stats.Followed != 0 {
		t.Error("the question was not given up")
	}
}

// TestLostWord: an inbox without room loses the word, not the query.
func TestLostWord(t *testing.T) {
	for _, word := range []string{"answer", "failure"} {
		t.Run(word, func(t *testing.T) {
			list := newTeam(t, 2, 1, nil)
			up := list.together("a.example.")
			inbox := list[1].w.common.inbox()
			for inbox.Post(12345, shared.Word{}) {
			}
			inbox.Missed()
			list[0].turn(list[0].answer(up, reply(t, up.data, func(m *dns.Msg) {
				if word == "failure" {
					m.Rcode, m.Answer = dns.RcodeServerFailure, nil
				}
			}, "a.example. 300 IN A 192.0.2.1")))
			d := one(t, list[1].turn())
			if word == "answer" {
				if d.handle != clientSocket || len(unpack(t, d.data).Answer) != 1 {
					t.Error("the answer did not arrive")
				}
				return
			}
			if d.handle == clientSocket {
				t.Fatal("nobody can have told it")
			}
			if m := unpack(t, one(t, list[1].turn(list[1].answer(d, reply(t, d.data, nil, "a.example. 300 IN A 192.0.2.1")))).data); len(m.Answer) != 1 {
				t.Error("the follower's own answer did not arrive")
			}
		})
	}
}

// TestOwnerThatStops: a follower waits for as long as its owner had something to do, and a little longer, then it asks itself; what the owner says later is
// of no use.
func TestOwnerThatStops(t *testing.T) {
	list := newTeam(t, 2, 1, nil)
	up := list.together("a.example.")
	list.pass(1200 * time.Millisecond)
	if sent := list[1].turn(); len(sent) != 0 {
		t.Fatalf("sent %d datagrams: the owner may just be late", len(sent))
	}
	list.pass(100 * time.Millisecond)
	own := one(t, list[1].turn())
	if own.handle == clientSocket || list[1].w.stats.FollowsFailed != 1 {
		t.Fatal("the follower does not ask")
	}
	if m := unpack(t, one(t, list[1].turn(list[1].answer(own, reply(t, own.data, nil, "a.example. 300 IN A 192.0.2.1")))).data); len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
	list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))
	if sent := list[1].turn(); len(sent) != 0 {
		t.Errorf("the follower sent %d more datagrams", len(sent))
	}
	list.settled()
}

// TestReloadWhileFollowing: another table, or none any more.
func TestReloadWhileFollowing(t *testing.T) {
	for _, off := range []bool{false, true} {
		list := newTeam(t, 2, 1, nil)
		up := list.together("a.example.")
		c := *list[1].w.command.Load()
		if c.table = nil; !off {
			var err error
			if c.table, err = shared.New(shared.BytesMin, nil); err != nil {
				t.Fatal(err)
			}
			defer c.table.Close()
		}
		list[1].w.command.Store(&c)
		list[1].turn()
		list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))
		own := one(t, list[1].turn())
		if own.handle == clientSocket {
			t.Fatal("answered from a table that it does not have")
		}
		one(t, list[1].turn(list[1].answer(own, reply(t, own.data, nil, "a.example. 300 IN A 192.0.2.1"))))
		list.settled()
	}
}

// TestDrainWaitsForOwner: a worker that is to end still has its followed questions answered.
func TestDrainWaitsForOwner(t *testing.T) {
	list := newTeam(t, 2, 1, nil)
	up := list.together("a.example.")
	c := *list[1].w.command.Load()
	c.drain = true
	list[1].w.command.Store(&c)
	if list[1].turn(); list[1].w.drained() {
		t.Fatal("ended with a client waiting")
	}
	list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")))
	if m := list[1].gets(); len(m.Answer) != 1 || !list[1].w.drained() {
		t.Errorf("got %v, drained %v", m, list[1].w.drained())
	}
}

// TestFollowerGetsStaleAnswer: the client's patience is that of its own worker.
func TestFollowerGetsStaleAnswer(t *testing.T) {
	list := newTeam(t, 2, 1, func(_ *Config, s *Snapshot) {
		s.Pools[0].WhenDown, s.Pools[0].StaleAfter, s.StaleMax = Stale, 300*time.Millisecond, 3600
	})
	list[0].learn("a.example.", 60)
	list.pass(100 * time.Second)
	up := list.together("a.example.")
	list.pass(350 * time.Millisecond)
	if m := list[1].gets(); len(m.Answer) != 1 || m.Answer[0].Header().Ttl != staleTTL {
		t.Errorf("got %v, want an older answer", m)
	}
	list[0].turn()
	list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 60 IN A 192.0.2.1")))
	list[1].turn()
	if got := list[1].answered("a.example."); got != 60 {
		t.Errorf("not refreshed: %d", got)
	}
}

// TestPrefetchIsDoneByOne: workers that want to refresh an answer at the same time ask once.
func TestPrefetchIsDoneByOne(t *testing.T) {
	list := newTeam(t, 3, 1, func(_ *Config, s *Snapshot) { s.PrefetchPercent, s.PrefetchRate = 10, 100 })
	list[0].popular("a.example.")
	for _, b := range list[1:] {
		for range 3 {
			b.answered("a.example.")
		}
	}
	list.pass(95 * time.Second)
	var up sentDatagram
	for i, b := range list {
		sent := b.ask(1, query(1, "a.example.", dns.TypeA))
		if want := 1 + b2i(i == 0); len(sent) != want {
			t.Fatalf("worker %d sent %d datagrams, want %d", i, len(sent), want)
		}
		for _, d := range sent {
			if d.handle != clientSocket {
				up = d
			}
		}
	}
	list[0].turn(list[0].answer(up, reply(t, up.data, nil, "a.example. 100 IN A 192.0.2.1")))
	for i, b := range list {
		b.turn()
		if got := b.answered("a.example."); got != 100 || b.w.stats.Prefetches != uint64(b2i(i == 0)) {
			t.Errorf("worker %d: TTL %d, %d refreshes", i, got, b.w.stats.Prefetches)
		}
	}
	list.settled()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFollowingAllocatesNothing(t *testing.T) {
	list := newTeam(t, 2, 1, nil)
	a, b := list[0], list[1]
	msg := pack(t, query(1, "a.example.", dns.TypeA))
	var l lookup
	a.w.parse(msg, &l)
	events, backs := []ring.Event{from(1, msg)}, make([]ring.Event, 1)
	up := one(t, a.turn(events...))
	answer := reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.1")
	scratch := make([]byte, len(answer))
	a.turn(a.answer(up, answer))
	a.eng.keep, b.eng.keep = false, false
	if n := testing.AllocsPerRun(200, func() {
		a.w.common.table.Flush()
		a.w.cache.Delete(l.hash, l.key)
		b.w.cache.Delete(l.hash, l.key)
		a.eng.events, b.eng.events = events, events
		a.w.turn()
		b.w.turn()
		s := a.w.table.At(0)
		copy(scratch, answer)
		scratch[0], scratch[1] = byte(s.Exchanges[0].Key>>8), byte(s.Exchanges[0].Key)
		backs[0] = ring.Event{Kind: ring.Datagram, Tag: upstreamTag | s.Exchanges[0].Key>>16, Data: scratch}
		a.eng.events = backs
		a.w.turn()
		b.w.turn()
	}); n != 0 {
		t.Errorf("%v allocations per followed question, want 0", n)
	}
	if s := b.w.stats; s.Followed != 201 || s.FollowsFailed != 0 || s.Answers[0] != 201 {
		t.Errorf("followed %d, failed %d, answered %d", s.Followed, s.FollowsFailed, s.Answers[0])
	}
}

// TestLedWhileTheAnswerIsLent: a policy leads one client of a shared answer to a name that is in the shared level as well. The next client still gets the
// first answer, not what has been fetched since.
func TestLedWhileTheAnswerIsLent(t *testing.T) {
	list := newTeam(t, 2, 1, func(c *Config, _ *Snapshot) { c.Policies = firstZone(t) })
	a, b := list[0], list[1]
	a.learn("garden.example.", 300)
	up := one(t, a.ask(1, query(1, "a.example.", dns.TypeA)))
	b.ask(2, query(2, "a.example.", dns.TypeA)) // led to garden.example. by the address in the answer
	b.ask(9, query(9, "a.example.", dns.TypeA)) // 127.0.0.9: no policies
	a.turn(a.answer(up, reply(t, up.data, nil, "a.example. 300 IN A 192.0.2.2")))
	var asked sentDatagram
	for _, d := range b.turn() {
		if d.handle != clientSocket {
			asked = d
			continue
		}
		if m := unpack(t, d.data); m.Id != 9 || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.2" {
			t.Errorf("got %v", m)
		}
	}
	if asked.data == nil {
		t.Fatal("nobody asks for the name that a policy leads to")
	}
	m := unpack(t, one(t, b.turn(b.answer(asked, reply(t, asked.data, nil, "garden.example. 300 IN A 192.0.2.1")))).data)
	if m.Id != 2 || len(m.Answer) != 2 {
		t.Errorf("the client that was led got %v", m)
	}
	list.settled()
}

// TestNoQueryIsLost has everything happen in random order to a team: queries, answers of all kinds and none, workers that do not come to their turn, inboxes
// that are full, other tables. Every query gets exactly one reply, and nothing is left.
func TestNoQueryIsLost(t *testing.T) {
	var followed, failed uint64
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for _, b := range scramble(t, rand.New(rand.NewPCG(seed, 1))) {
				followed += b.w.stats.Followed
				failed += b.w.stats.FollowsFailed
			}
		})
	}
	if failed < 100 || followed < failed+100 {
		t.Errorf("%d followed, %d of them in vain: this tests too little", followed, failed)
	}
}

func scramble(t *testing.T, rng *rand.Rand) team {
	list := newTeam(t, 2+rng.IntN(4), 2, func(_ *Config, s *Snapshot) {
		s.FailureTTL, s.FailureTTLMax = 200*time.Millisecond, time.Second
		if rng.IntN(2) == 0 {
			s.Pools[0].WhenDown, s.StaleMax = Stale, 3600
		}
		s.PrefetchPercent, s.PrefetchRate = 50, 100
	})
	tables := []*shared.Table{list[0].w.common.table, nil}
	spare, err := shared.New(shared.BytesMin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	tables = append(tables, spare)
	type outstanding struct {
		b  *bench
		up sentDatagram
	}
	var asked []outstanding
	replies := map[uint16]int{}
	take := func(b *bench, sent []sentDatagram) {
		for _, d := range sent {
			if d.handle == clientSocket {
				replies[idOf(d.data)]++
			} else {
				asked = append(asked, outstanding{b, d})
			}
		}
	}
	id := uint16(0)
	for range 1500 {
		b := list[rng.IntN(len(list))]
		switch op := rng.IntN(100); {
		case op < 40:
			id++
			take(b, b.ask(rng.IntN(200), query(id, fmt.Sprintf("n%d.example.", rng.IntN(6)), dns.TypeA)))
		case op < 70 && len(asked) > 0:
			i := rng.IntN(len(asked))
			o := asked[i]
			asked = append(asked[:i], asked[i+1:]...)
			live := false
			for j := range o.b.w.sockets {
				live = live || o.b.w.sockets[j].upstream != nil && o.b.w.sockets[j].handle == o.up.handle
			}
			if kind := rng.IntN(10); kind != 0 && live { // else it is lost
				take(o.b, o.b.turn(o.b.answer(o.up, reply(t, o.up.data, func(m *dns.Msg) {
					if kind < 3 {
						m.Rcode, m.Answer = dns.RcodeServerFailure, nil
					}
				}, fmt.Sprintf("%s %d IN A 192.0.2.1", unpack(t, o.up.data).Question[0].Name, rng.IntN(4))))))
			}
		case op < 95:
			list.pass(time.Duration(rng.IntN(300)) * time.Millisecond)
			for _, other := range list {
				if rng.IntN(4) != 0 { // some do not come to their turn
					take(other, other.turn())
				}
			}
		case op < 98:
			for range rng.IntN(2) * 5000 {
				b.w.common.inbox().Post(rng.Uint64(), shared.Word{})
			}
		default:
			for _, other := range list { // not all at the same time, as in a reload
				if rng.IntN(2) == 0 {
					c := *other.w.command.Load()
					c.table = tables[rng.IntN(len(tables))]
					other.w.command.Store(&c)
				}
			}
		}
	}
	for range 60 {
		list.pass(100 * time.Millisecond)
		for _, b := range list {
			take(b, b.turn())
		}
	}
	for i := uint16(1); i <= id; i++ {
		if replies[i] != 1 {
			t.Errorf("query %d got %d replies", i, replies[i])
		}
	}
	list.settled()
	list.pass(20 * time.Second)
	w := list[0].w
	for i := range 6 {
		var l lookup
		w.parse(pack(t, query(1, fmt.Sprintf("n%d.example.", i), dns.TypeA)), &l)
		if role, _ := w.common.node.directory.Join(l.hash, 0, w.now+int64(20*time.Second), 0); role != shared.Owner {
			t.Errorf("n%d: a question was never given up", i)
		} else {
			w.common.node.directory.Release(l.hash, 0) // another name may have the same place
		}
		w.common.node.directory.Release(l.hash, 0)
	}
	return list
}
