package query

import "encoding/binary"

const (
	flagRD   = 0x01 // in byte 2 of a message
	classIN  = 1
	typeOPT  = 41
	flagDO   = 0x80 // in the third byte of an OPT's TTL
	caseFlip = 0x20
)

// Generator composes the queries of one sender. Not safe for concurrent use.
type Generator struct {
	corpus *Corpus
	random rng
	next   uint64 // Cycle and Once: index of the next name
	fresh  uint64 // number of the next fresh name
	stride uint64
}

// Generator returns the index-th of count generators, 0 <= index < count: their random streams are independent, and with
// Cycle and Once they share out the names, and always the fresh ones. The same seed, index and count give the same queries.
func (c *Corpus) Generator(index, count int) *Generator {
	g := &Generator{corpus: c, next: uint64(index), fresh: c.from + uint64(index), stride: uint64(count)}
	seeds := rng{c.seed}
	for range index + 1 {
		g.random.state = seeds.next()
	}
	return g
}

// Compose writes the next query with the given id to dst. It returns the length of the packet and of the question in it,
// which begins at byte 12; 0, 0 when every name was asked once (Order Once). It never allocates.
func (g *Generator) Compose(dst *[PacketBytesMax]byte, id uint16) (packetBytes, questionBytes int) {
	c := g.corpus
	number, ok := g.pick()
	if !ok {
		return 0, 0
	}
	mix := g.random.next() // four numbers of 16 bits
	*(*[headerBytes]byte)(dst[:]) = [headerBytes]byte{0: byte(id >> 8), 1: byte(id), 2: flagRD, 5: 1}
	var nameBytes int
	var qtype uint16
	if c.list != nil {
		var name []byte
		name, qtype = c.list.question(number)
		nameBytes = copy(dst[headerBytes:], name)
	} else {
		nameBytes = c.pattern.compose(dst[headerBytes:], number)
		qtype = c.pickType(uint16(mix))
	}
	if uint32(uint16(mix>>16)) < c.mixed {
		g.mixCase(dst[headerBytes : headerBytes+nameBytes])
	}
	end := headerBytes + nameBytes
	binary.BigEndian.PutUint32(dst[end:], uint32(qtype)<<16|classIN)
	end += typeAndClassBytes
	questionBytes = end - headerBytes
	if uint32(uint16(mix>>32)) < c.edns {
		do := byte(0)
		if uint32(uint16(mix>>48)) < c.do {
			do = flagDO
		}
		dst[headerBytes-1] = 1 // ARCOUNT
		*(*[optBytes]byte)(dst[end:]) = [optBytes]byte{2: typeOPT, 3: byte(c.udpSize >> 8), 4: byte(c.udpSize), 7: do}
		end += optBytes
	}
	return end, questionBytes
}

// pick returns the number of a pattern's name, or the index in the list.
func (g *Generator) pick() (number uint64, ok bool) {
	c := g.corpus
	if c.fresh != 0 && uint32(uint16(g.random.next())) < c.fresh {
		number = g.fresh
		g.fresh += g.stride
		return number, true
	}
	switch c.order {
	case Uniform:
		return c.first + g.random.below(c.names), true
	case Zipf:
		return c.first + c.zipf.draw(&g.random), true
	case Cycle:
		number = c.first + g.next%c.names
	case Once:
		if number = c.first + g.next; c.names != 0 && g.next >= c.names {
			return 0, false
		}
	}
	g.next += g.stride
	return number, true
}

func (c *Corpus) pickType(random uint16) uint16 {
	i := 0
	for uint32(random) >= c.typeEnds[i] {
		i++
	}
	return c.types[i]
}

// mixCase turns each letter of a name in wire form to upper or lower case at random. A length byte is below 64 and so never
// taken for a letter.
func (g *Generator) mixCase(name []byte) {
	var coins uint64
	for i, b := range name {
		if i%64 == 0 {
			coins = g.random.next()
		}
		if lower := b | caseFlip; lower >= 'a' && lower <= 'z' && b >= 'A' {
			name[i] = lower &^ byte(coins&1*caseFlip)
		}
		coins >>= 1
	}
}
