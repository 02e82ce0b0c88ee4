package admission

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// stage is a worker and its socket in virtual time of one millisecond: sources send, the filter refuses, the queue holds what has room,
// the worker takes as many as it can.
type stage struct {
	t       *testing.T
	control *Controller
	sketch  Sketch
	random  *rand.Rand

	capacity int // datagrams/ms
	bytes    int // that one takes in the queue
	room     int // bytes
	sources  []*actor

	now    int64
	queue  []arrival
	look   Look
	spread int // of the flood that comes from everywhere: datagrams/ms

	lookAt  int64
	steps   int // since the last reset
	over    int // ms overloaded
	refused map[Source]float64
}

// actor sends at a rate, or keeps a window of queries outstanding.
type actor struct {
	source   Source
	rate     float64 // datagrams/ms
	window   int
	patience int // ms after which a query of the window is given up

	owed                float64
	lost                map[int64]int // by the time when they are given up
	under               int
	sent, answered      int
	refused, overflowed int
	delays              []int64
}

type arrival struct {
	from *actor // nil: one of many
	src  Source
	at   int64
}

func v4(n uint64) Source { return Source{Bits: 0x0a000000 + n} }

func newStage(t *testing.T, edit func(*Config)) *stage {
	cfg := Config{Enabled: true, Target: 5 * time.Millisecond, KernelFilter: true}
	if edit != nil {
		edit(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return &stage{
		t: t, control: NewController(cfg), random: rand.New(rand.NewPCG(1, 2)), capacity: 200, bytes: datagramBytes, room: 16 << 20, now: 1e9,
		refused: map[Source]float64{},
	}
}

func (s *stage) add(a *actor) *actor {
	a.lost = map[int64]int{}
	s.sources = append(s.sources, a)
	return a
}

// steady is a source that sends at so many times the capacity.
func (s *stage) steady(n uint64, times float64) *actor {
	return s.add(&actor{source: v4(n), rate: times * float64(s.capacity)})
}

// light sends 200 queries a second.
func (s *stage) light() *actor { return s.add(&actor{source: v4(9999), rate: 0.2}) }

func (s *stage) run(length time.Duration) {
	for range length / time.Millisecond {
		s.step()
	}
}

// reset forgets what was counted so far.
func (s *stage) reset() {
	s.over, s.steps = 0, 0
	for _, a := range s.sources {
		a.sent, a.answered, a.refused, a.overflowed, a.delays = 0, 0, 0, 0, nil
	}
}

func (s *stage) step() {
	s.now += int64(time.Millisecond)
	s.steps++
	for _, a := range s.sources {
		a.under -= a.lost[s.now]
		delete(a.lost, s.now)
		a.owed += a.rate
		for ; a.owed >= 1; a.owed-- {
			s.arrive(arrival{a, a.source, s.now})
		}
		for a.under < a.window {
			s.arrive(arrival{a, a.source, s.now})
		}
	}
	for range s.spread {
		s.arrive(arrival{nil, Source{Bits: uint64(s.random.Uint32())}, s.now})
	}
	// Sources are mixed in the queue as on a wire.
	fresh := s.queue
	for len(fresh) > 0 && fresh[0].at != s.now {
		fresh = fresh[1:]
	}
	s.random.Shuffle(len(fresh), func(i, k int) { fresh[i], fresh[k] = fresh[k], fresh[i] })
	n := min(len(s.queue), s.capacity+s.random.IntN(s.capacity/10+1)-s.capacity/20)
	for _, q := range s.queue[:n] {
		s.sketch.Add(q.src)
		if q.from != nil {
			q.from.answered++
			q.from.under--
			q.from.delays = append(q.from.delays, s.now-q.at)
		}
	}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	s.look.Datagrams += uint64(n)
	idle := len(s.queue) == 0 && len(s.refused) > 0 && s.now-s.control.at >= int64(4*time.Millisecond) // as worker does
	if (s.now >= s.lookAt || idle) && s.capacity > 0 {                                                 // a worker that stands still looks at nothing
		s.lookAt = s.now + int64(LookInterval)
		if idle {
			s.lookAt = s.now + int64(4*time.Millisecond)
		}
		s.look.Now, s.look.Queued = s.now, uint64(len(s.queue)*s.bytes)
		s.look.Room, s.look.Fill = uint64(s.room), float64(len(s.queue)*s.bytes)/float64(s.room)
		if s.control.Look(&s.look, &s.sketch) {
			clear(s.refused)
			for _, r := range s.control.Refused() {
				s.refused[r.Source] = r.Share
			}
		}
		s.look = Look{}
	}
	if s.control.Overloaded() {
		s.over++
	}
}

func (s *stage) arrive(q arrival) {
	if q.from != nil {
		q.from.sent++
		q.from.under++
	}
	switch {
	case s.random.Float64() < s.refused[q.src]:
		if q.from != nil {
			q.from.refused++
			q.from.lost[s.now+int64(q.from.patience)*int64(time.Millisecond)]++
		}
		s.look.Drops++
	case (len(s.queue)+1)*s.bytes > s.room:
		if q.from != nil {
			q.from.overflowed++
			q.from.lost[s.now+int64(q.from.patience)*int64(time.Millisecond)]++
		}
		s.look.Drops++
	default:
		s.queue = append(s.queue, q)
	}
}

// goodput is the answered share of the capacity over so long.
func (s *stage) goodput(length time.Duration) float64 {
	n := 0
	for _, a := range s.sources {
		n += a.answered
	}
	return float64(n) / float64(s.capacity) / float64(length/time.Millisecond)
}

// worst is the longest delay of all but one in a hundred of an actor's datagrams.
func (a *actor) worst() time.Duration {
	if len(a.delays) == 0 {
		return 0
	}
	counts := map[int64]int{}
	top := int64(0)
	for _, d := range a.delays {
		counts[d]++
		top = max(top, d)
	}
	rest := len(a.delays) / 100
	for rest >= counts[top] && top > 0 {
		rest -= counts[top]
		top -= int64(time.Millisecond)
	}
	return time.Duration(top)
}

// TestFloods: whatever the shape of the flood, nearly all of the capacity is used, a light source loses nothing, and the queue is short.
func TestFloods(t *testing.T) {
	tests := []struct {
		name  string
		flood func(s *stage)
		bytes int
		room  int
	}{
		{"one source, a little too much", func(s *stage) { s.steady(1, 1.1) }, 768, 16 << 20},
		{"one source, twice the capacity", func(s *stage) { s.steady(1, 2) }, 768, 16 << 20},
		{"one source, ten times the capacity", func(s *stage) { s.steady(1, 10) }, 768, 16 << 20},
		{"three sources", func(s *stage) { s.steady(1, 1); s.steady(2, 0.7); s.steady(3, 0.5) }, 768, 16 << 20},
		{"a heavy one beside one below its share", func(s *stage) { s.steady(1, 3); s.steady(2, 0.3) }, 768, 16 << 20},
		{"forty sources", func(s *stage) {
			for i := range uint64(40) {
				s.steady(i, 0.05)
			}
		}, 768, 16 << 20},
		{"a hundred sources", func(s *stage) {
			for i := range uint64(100) {
				s.steady(i, 0.03)
			}
		}, 768, 16 << 20},
		{"datagrams that take five times as much", func(s *stage) { s.steady(1, 2) }, 4096, 16 << 20},
		{"the kernel's default buffer", func(s *stage) { s.steady(1, 2) }, 768, 425984},
		{"the kernel's default buffer, large datagrams", func(s *stage) { s.capacity = 50; s.steady(1, 2) }, 2304, 425984},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, nil)
			s.bytes, s.room = tt.bytes, tt.room
			light := s.light()
			tt.flood(s)
			s.run(time.Second)
			begun := s.over > 0
			s.reset()
			s.run(3 * time.Second)
			goodput := s.goodput(3 * time.Second)
			t.Logf("goodput %.3f, light: %d of %d lost, 99 %% within %v", goodput, light.sent-light.answered, light.sent, light.worst())
			if !begun || s.over != 3000 {
				t.Errorf("overload not seen: %d of 3000 ms", s.over)
			}
			if goodput < 0.96 {
				t.Errorf("goodput %.3f", goodput)
			}
			if light.refused+light.overflowed > 0 {
				t.Errorf("light: %d refused, %d without room, of %d", light.refused, light.overflowed, light.sent)
			}
			if d := light.worst(); d > 15*time.Millisecond {
				t.Errorf("light: 99 %% within %v", d)
			}
		})
	}
}

// TestUnsteadyFlood: a flood that changes all the time wastes little of the capacity.
func TestUnsteadyFlood(t *testing.T) {
	s := newStage(t, nil)
	light := s.light()
	a, b := s.steady(1, 2), s.steady(2, 2)
	s.run(time.Second)
	s.reset()
	for range 100 {
		a.rate, b.rate = (0.5+2*s.random.Float64())*float64(s.capacity), 2*s.random.Float64()*float64(s.capacity)
		s.run(time.Duration(10+s.random.IntN(40)) * time.Millisecond)
	}
	length := time.Duration(s.steps) * time.Millisecond
	goodput := s.goodput(length)
	t.Logf("goodput %.3f, light: %d of %d lost, 99 %% within %v", goodput, light.refused+light.overflowed, light.sent, light.worst())
	if goodput < 0.96 || light.refused+light.overflowed > light.sent/100 || light.worst() > 60*time.Millisecond {
		t.Errorf("goodput %.3f, light: %d of %d lost, 99 %% within %v", goodput, light.refused+light.overflowed, light.sent, light.worst())
	}
}

// TestFloodInBursts: a flood whose bursts keep in step with the looks, so that every other one finds a queue that has become shorter, is one all the same.
func TestFloodInBursts(t *testing.T) {
	for phase := range 10 {
		s := newStage(t, nil)
		s.room = 80 * s.capacity * s.bytes // 80 ms
		light := s.light()
		s.run(time.Duration(phase) * time.Millisecond)
		flood := s.steady(1, 0)
		burst := func() {
			for _, times := range []float64{4, 0} {
				flood.rate = times * float64(s.capacity)
				s.run(LookInterval)
			}
		}
		for range 10 {
			burst()
		}
		begun := s.over
		s.reset()
		for range 100 {
			burst()
		}
		if begun == 0 || s.over < s.steps || light.refused+light.overflowed > 0 || light.worst() > 30*time.Millisecond {
			t.Errorf("phase %d: overloaded %d of 200 ms, then %d of %d; light: %d of %d lost, 99 %% within %v",
				phase, begun, s.over, s.steps, light.refused+light.overflowed, light.sent, light.worst())
		}
	}
}

// TestWhatIsNoOverload: loads that a worker can take are left alone.
func TestWhatIsNoOverload(t *testing.T) {
	tests := []struct {
		name string
		load func(s *stage)
	}{
		{"nothing", func(*stage) {}},
		{"nearly all that there is room for", func(s *stage) { s.steady(1, 0.9) }},
		{"many queries outstanding", func(s *stage) { s.add(&actor{source: v4(1), window: 2048, patience: 1000}) }},
		{"one client alone with very many", func(s *stage) { s.sources = nil; s.add(&actor{source: v4(1), window: 16384, patience: 1000}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, nil)
			s.light()
			tt.load(s)
			s.run(3 * time.Second)
			for _, a := range s.sources {
				if a.refused+a.overflowed > 0 || s.over > 0 {
					t.Errorf("overloaded %d ms; %v: %d refused, %d without room, of %d", s.over, a.source, a.refused, a.overflowed, a.sent)
				}
			}
		})
	}
}

// TestAPauseIsNoOverload: what piled up while the whole machine stood still is worked off.
func TestAPauseIsNoOverload(t *testing.T) {
	s := newStage(t, nil)
	s.light()
	heavy := s.steady(1, 0.7)
	s.run(time.Second)
	capacity := s.capacity
	s.capacity = 0
	s.run(200 * time.Millisecond)
	s.capacity = capacity
	s.run(2 * time.Second)
	if heavy.refused > 0 {
		t.Errorf("%d refused of %d", heavy.refused, heavy.sent)
	}
}

// TestPausesAndBurstsAreNoOverload: neither are pauses that follow each other, nor bursts of clients who ask less than there is room for.
func TestPausesAndBurstsAreNoOverload(t *testing.T) {
	const ms = time.Millisecond
	pauses := func(n int, length, apart, every time.Duration) func(*stage) {
		return func(s *stage) {
			capacity := s.capacity
			for range n {
				s.capacity = 0
				s.run(length)
				s.capacity = capacity
				s.run(apart)
			}
			s.run(every)
		}
	}
	burst := func(times float64, length, apart time.Duration) func(*stage) {
		return func(s *stage) {
			bursty := s.sources[len(s.sources)-1]
			bursty.rate = times * float64(s.capacity)
			s.run(length)
			bursty.rate = 0
			s.run(apart)
		}
	}
	tests := []struct {
		name string
		load float64
		step func(*stage)
	}{
		{"two pauses of 40 ms", 0.7, pauses(2, 40*ms, 15*ms, 290*ms)},
		{"two pauses of 60 ms", 0.7, pauses(2, 60*ms, 15*ms, 265*ms)},
		{"three pauses of 30 ms", 0.7, pauses(3, 30*ms, 12*ms, 274*ms)},
		{"pauses by chance", 0.6, func(s *stage) {
			pauses(1, time.Duration(5+s.random.IntN(40))*ms, time.Duration(20+s.random.IntN(100))*ms, 0)(s)
		}},
		{"bursts of 20 ms", 0.4, burst(3, 20*ms, 280*ms)},
		{"bursts of 15 ms", 0.4, burst(4, 15*ms, 285*ms)},
	}
	for _, tt := range tests {
		s := newStage(t, nil)
		s.light()
		s.steady(1, tt.load)
		s.steady(2, 0)
		for s.steps < 10_000 {
			tt.step(s)
		}
		for _, a := range s.sources {
			if a.refused+a.overflowed > 0 || s.over > 0 {
				t.Errorf("%s: overloaded %d of %d ms; %v: %d refused, %d without room, of %d", tt.name, s.over, s.steps, a.source, a.refused, a.overflowed, a.sent)
			}
		}
	}
}

// TestNobodyToBlame: a flood from everywhere is not taken out on those who are known.
func TestNobodyToBlame(t *testing.T) {
	s := newStage(t, nil)
	s.spread = 2 * s.capacity
	known := s.steady(1, 0.05)
	s.run(2 * time.Second)
	if !s.control.Overloaded() || !s.control.Nobody() || known.refused > 0 {
		t.Errorf("overloaded %v, nobody %v, refused %d of %d", s.control.Overloaded(), s.control.Nobody(), known.refused, known.sent)
	}
	heavy := s.steady(2, 4) // and now there is somebody
	s.run(time.Second)
	if s.control.Nobody() || heavy.refused == 0 {
		t.Errorf("with a heavy source: nobody %v, refused %d of %d", s.control.Nobody(), heavy.refused, heavy.sent)
	}
}

// TestFairShare: what there is goes to those who ask for little first, and then in equal parts.
func TestFairShare(t *testing.T) {
	s := newStage(t, nil)
	small, middle := s.steady(1, 0.1), s.steady(2, 0.2)
	large, huge := s.steady(3, 0.5), s.steady(4, 5)
	s.run(time.Second)
	s.reset()
	s.run(3 * time.Second)
	share := func(a *actor) float64 { return float64(a.answered) / 3000 / float64(s.capacity) }
	if small.refused+middle.refused > 0 {
		t.Errorf("below the fair share: %d and %d refused", small.refused, middle.refused)
	}
	for _, a := range []*actor{large, huge} {
		if got := share(a); got < 0.31 || got > 0.39 {
			t.Errorf("%v gets %.3f of the capacity, want 0.35", a.source.Prefix(), got)
		}
	}
}

// TestOverloadEnds: with the flood, for the sources at once.
func TestOverloadEnds(t *testing.T) {
	s := newStage(t, nil)
	s.light()
	flood := s.steady(1, 3)
	s.run(time.Second)
	if !s.control.Overloaded() || len(s.control.Refused()) != 1 || s.control.Refused()[0].Source != flood.source {
		t.Fatalf("overloaded %v, refused %v", s.control.Overloaded(), s.control.Refused())
	}
	flood.rate = 0
	s.run(500 * time.Millisecond)
	if len(s.control.Refused()) != 0 {
		t.Errorf("half a second later: %v", s.control.Refused())
	}
	if !s.control.Overloaded() {
		t.Error("over already: a flood that comes and goes would be reported each time")
	}
	s.run(hold + 500*time.Millisecond)
	if s.control.Overloaded() {
		t.Error("never over")
	}
}

// TestChangesUnderOverload: another flooder joins, the capacity halves and comes back, the flood grows; the light source notices nothing but
// a queue that is longer for a moment.
func TestChangesUnderOverload(t *testing.T) {
	s := newStage(t, nil)
	light := s.light()
	first := s.steady(1, 2)
	s.run(time.Second)
	s.reset()
	s.steady(2, 2)
	s.run(time.Second)
	s.capacity /= 2
	s.run(time.Second)
	s.capacity *= 2
	s.run(time.Second)
	first.rate *= 3
	s.run(time.Second)
	if light.refused > 0 || light.overflowed > light.sent/50 {
		t.Errorf("light: %d refused, %d without room, of %d", light.refused, light.overflowed, light.sent)
	}
	if got := s.goodput(4 * time.Second); got < 0.96*3.5/4 { // of the larger capacity, of which there was half in one of four seconds
		t.Errorf("goodput %.3f", got)
	}
}

// TestTarget: the key decides how long the queue is.
func TestTarget(t *testing.T) {
	for _, target := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
		s := newStage(t, func(c *Config) { c.Target = target })
		light := s.light()
		s.steady(1, 3)
		s.room = 64 << 20
		s.run(2 * time.Second)
		s.reset()
		s.run(2 * time.Second)
		if d := light.worst(); d < target/2 || d > 2*target+4*time.Millisecond {
			t.Errorf("target %v: 99 %% within %v", target, d)
		}
	}
}

// TestExempt: who is exempt is refused nothing, others pay.
func TestExempt(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/30")} })
	exempt, other := s.steady(1, 0.8), s.steady(10, 1)
	s.run(2 * time.Second)
	if exempt.refused > 0 || other.refused == 0 {
		t.Errorf("refused: %d of %d exempt, %d of %d other", exempt.refused, exempt.sent, other.refused, other.sent)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Enabled: true, Target: 5 * time.Millisecond}
	for name, edit := range map[string]func(*Config){
		"target too short": func(c *Config) { c.Target = 0 },
		"target too long":  func(c *Config) { c.Target = time.Second },
		"too many exempt":  func(c *Config) { c.Exempt = make([]netip.Prefix, ExemptMax+1) },
		"exempt nobody":    func(c *Config) { c.Exempt = make([]netip.Prefix, 1) },
	} {
		c := good
		if edit(&c); c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
		if c.Enabled = false; c.Validate() != nil {
			t.Errorf("%s: an error though it is off", name)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// TestLookAllocatesNothing: with as many sources as there is memory for.
func TestLookAllocatesNothing(t *testing.T) {
	s := newStage(t, nil)
	for i := range uint64(200) {
		s.steady(i, 0.02)
	}
	s.spread = 20
	s.run(500 * time.Millisecond)
	if len(s.control.Refused()) == 0 {
		t.Fatal("nobody is refused anything")
	}
	look, sketch := s.look, s.sketch
	if n := testing.AllocsPerRun(100, func() {
		look.Now, look.Datagrams, look.Drops = s.now+int64(LookInterval), 4000, 12000
		s.now = look.Now
		s.sketch = sketch
		s.control.Look(&look, &s.sketch)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestBurstsOfALightSource: it may send at once what it did not send for a while.
func TestBurstsOfALightSource(t *testing.T) {
	s := newStage(t, nil)
	s.capacity = 20
	bursts := s.add(&actor{source: v4(7)})
	s.steady(1, 2)
	s.steady(2, 2)
	for range 20 {
		s.run(100 * time.Millisecond)
		bursts.owed += 100 // of 2000 that can be answered meanwhile
	}
	if bursts.refused > 0 {
		t.Errorf("%d refused of %d", bursts.refused, bursts.sent)
	}
}

// TestStarvedWorker: one that gets its CPU now and then only protects light sources all the same.
func TestStarvedWorker(t *testing.T) {
	s := newStage(t, nil)
	light := s.light()
	s.steady(1, 1.5)
	s.steady(2, 1)
	full := s.capacity
	starve := func(length time.Duration) {
		for end := s.now + int64(length); s.now < end; {
			s.capacity = full
			s.run(time.Duration(3+s.random.IntN(5)) * time.Millisecond)
			s.capacity = 0
			s.run(time.Duration(10+s.random.IntN(40)) * time.Millisecond)
		}
		s.capacity = full
	}
	starve(2 * time.Second)
	s.reset()
	starve(4 * time.Second)
	length := time.Duration(s.steps) * time.Millisecond
	t.Logf("goodput %.3f, light: %d refused, %d without room of %d, 99 %% within %v", s.goodput(length), light.refused, light.overflowed, light.sent, light.worst())
	if light.refused+light.overflowed > light.sent/100 {
		t.Errorf("light: %d refused, %d without room of %d", light.refused, light.overflowed, light.sent)
	}
}
