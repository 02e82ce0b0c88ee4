package admission

const (
	setsPerFamily = 128
	ways          = 4
)

// Sketch counts sources in fixed memory: sets of four counters each, chosen by a keyed hash, and in each set the Space-Saving algorithm
// (Metwally, Agrawal, El Abbadi 2005): a source that is not there takes the place of the least one, and inherits its count as a possible
// error. Who sends much stays; how many others there are, and whether they exist, does not matter.
type Sketch struct {
	seed  uint64
	total uint64
	sets  [2 * setsPerFamily][ways]counter
}

// counter is one source's; 16 bytes, so that a set is a cache line. IPv6 has sets of its own.
type counter struct {
	bits      uint64
	count     uint32
	inherited uint32
}

// Count is how often a source was certainly seen.
type Count struct {
	Source Source
	Seen   uint32
}

// Seed makes the hash unpredictable. It is called before the first Add.
func (s *Sketch) Seed(seed uint64) { s.seed = seed }

// Add counts one datagram, and returns how often its source was certainly seen.
func (s *Sketch) Add(source Source) uint32 {
	s.total++
	set := s.set(source)
	least := 0
	for k := range set {
		if set[k].bits == source.Bits && set[k].count != 0 {
			set[k].count++
			return set[k].count - set[k].inherited
		}
		if set[k].count < set[least].count {
			least = k
		}
	}
	c := &set[least]
	*c = counter{bits: source.Bits, count: c.count + 1, inherited: c.count}
	return 1
}

// set returns the only place for a source.
func (s *Sketch) set(source Source) *[ways]counter {
	i := ((source.Bits ^ s.seed) * 0x9E3779B97F4A7C15) >> 57 // of setsPerFamily
	if source.V6 {
		i += setsPerFamily
	}
	return &s.sets[i%uint64(len(s.sets))]
}

// Seen returns how often a source was certainly seen.
func (s *Sketch) Seen(source Source) uint32 {
	for _, c := range s.set(source) {
		if c.bits == source.Bits {
			return c.count - c.inherited
		}
	}
	return 0
}

// Total is the number of datagrams since the last Reset.
func (s *Sketch) Total() uint64 { return s.total }

// Reset forgets everything but the seed.
func (s *Sketch) Reset() {
	if s.total != 0 {
		s.total = 0
		clear(s.sets[:])
	}
}

// AppendCounts appends every source that was certainly seen at least so often, in no order.
func (s *Sketch) AppendCounts(list []Count, atLeast uint32) []Count {
	for i := range s.sets {
		for _, c := range &s.sets[i] {
			if seen := c.count - c.inherited; c.count != 0 && seen >= atLeast {
				list = append(list, Count{Source{Bits: c.bits, V6: i >= setsPerFamily}, seen})
			}
		}
	}
	return list
}
