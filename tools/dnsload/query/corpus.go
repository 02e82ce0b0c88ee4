package query

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// Order is how the next name is chosen.
type Order uint8

const (
	Uniform Order = iota // each name as likely as any other
	Zipf                 // by rank, exponent Config.Exponent
	Cycle                // in order, again from the start after the last
	Once                 // in order, each once
)

func (o Order) String() string {
	return [...]string{"uniform", "zipf", "cycle", "once"}[o]
}

// Config says what is asked. Exactly one of Pattern and List is set.
type Config struct {
	Pattern  string // with one %d, e.g. "n%d.bench.example"
	List     *List
	Names    uint64 // numbers the pattern takes, from First on; 0 only with Order Once: no end
	First    uint64 // first number of the pattern
	Fresh    uint64 // first number of fresh names (Mix.Fresh), after all others
	Order    Order
	Exponent float64 // of Zipf, above 0
	Seed     uint64
	Mix      Mix
}

// Corpus is a checked Config with its tables. It is immutable.
type Corpus struct {
	pattern  *pattern
	list     *List
	names    uint64 // 0: no end
	first    uint64
	from     uint64 // first number of fresh names
	order    Order
	zipf     *zipf
	seed     uint64
	types    []uint16
	typeEnds []uint32 // threshold below which a 16-bit random number means types[i]
	edns, do uint32   // thresholds; do of those with EDNS
	fresh    uint32   // threshold of fresh names
	mixed    uint32   // threshold of 0x20 case
	udpSize  uint16
}

// New checks cfg and builds the tables; Zipf takes 16 bytes per name while it is built and 8 after.
func New(cfg Config) (*Corpus, error) {
	c := &Corpus{list: cfg.List, names: cfg.Names, first: cfg.First, from: cfg.Fresh, order: cfg.Order, seed: cfg.Seed, udpSize: cfg.Mix.UDPSize}
	if (cfg.Pattern == "") == (cfg.List == nil) {
		return nil, errors.New("want either a pattern or a list of names")
	}
	if err := cfg.Mix.validate(); err != nil {
		return nil, err
	}
	if c.list != nil {
		c.names, c.first = uint64(c.list.Len()), 0
	} else {
		var err error
		if c.pattern, err = parsePattern(cfg.Pattern); err != nil {
			return nil, err
		}
	}
	if c.names == 0 && c.order != Once {
		return nil, errors.New("number of names is 0")
	}
	if c.first+c.names < c.first || c.first+c.names >= 1<<63 {
		return nil, fmt.Errorf("names %d from number %d on: the last number is above 2^63", c.names, c.first)
	}
	if err := c.checkFresh(cfg.Mix.Fresh); err != nil {
		return nil, err
	}
	if c.order == Zipf {
		if !(cfg.Exponent > 0) {
			return nil, fmt.Errorf("exponent %v of Zipf's law, want above 0", cfg.Exponent)
		}
		if c.names > NamesMax {
			return nil, fmt.Errorf("%d names, at most %d with Zipf", c.names, NamesMax)
		}
		c.zipf = newZipf(cfg.Exponent, int(c.names))
	}
	c.setMix(cfg.Mix)
	return c, nil
}

func (c *Corpus) checkFresh(share float64) error {
	switch {
	case share == 0:
		return nil
	case c.list != nil || c.order == Once:
		return errors.New("fresh names are a pattern's, beside names that are asked again and again")
	case c.from < c.first+c.names || c.from >= 1<<62:
		return fmt.Errorf("fresh names from number %d on: want %d, after all others, to 2^62", c.from, c.first+c.names)
	}
	return nil
}

func (c *Corpus) setMix(m Mix) {
	c.edns, c.mixed, c.fresh = threshold(m.EDNS), threshold(m.Case), threshold(m.Fresh)
	if m.EDNS > 0 {
		c.do = threshold(m.DO / m.EDNS)
	}
	if len(m.Types) == 0 {
		m.Types = []TypeShare{{Type: dns.TypeA, Weight: 1}}
	}
	sum := 0.0
	for _, t := range m.Types {
		sum += t.Weight
	}
	upTo := 0.0
	for _, t := range m.Types {
		upTo += t.Weight / sum
		c.types = append(c.types, t.Type)
		c.typeEnds = append(c.typeEnds, threshold(upTo))
	}
	c.typeEnds[len(c.typeEnds)-1] = 1 << 16
}
