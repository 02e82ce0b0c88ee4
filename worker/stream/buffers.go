package stream

// buffer names a pooled buffer: number + 1, with largeBit for the large class. 0 is none.
type buffer uint32

const largeBit buffer = 1 << 31

// class returns the size of the named buffer in bytes.
func (b buffer) class() int {
	if b&largeBit != 0 {
		return BufferLargeBytes
	}
	return BufferSmallBytes
}

// buffers are the two classes of one worker's pool.
type buffers struct {
	small, large pool
}

// purpose says who takes a buffer: input leaves the last part of each pool to answers.
type purpose uint8

const (
	forInput purpose = iota
	forOutput
)

// take returns a buffer for so many bytes, 0 if there is none: the class is used up, or no class is that big.
func (b *buffers) take(bytes int, p purpose) buffer {
	switch {
	case bytes <= BufferSmallBytes:
		return b.small.take(p)
	case bytes <= BufferLargeBytes:
		if n := b.large.take(p); n != 0 {
			return n | largeBit
		}
	}
	return 0
}

func (b *buffers) give(n buffer) {
	if n&largeBit != 0 {
		b.large.give(n &^ largeBit)
	} else {
		b.small.give(n)
	}
}

func (b *buffers) bytes(n buffer) []byte {
	if n&largeBit != 0 {
		return b.large.bytes(n &^ largeBit)
	}
	return b.small.bytes(n)
}

// pool hands out buffers of one size. Those used last come first, so memory that was never needed is never touched.
type pool struct {
	mem    []byte
	stride int
	free   []buffer // used before
	fresh  int      // buffers from here on were never used
}

func (p *pool) init(stride int) {
	p.stride = stride
	p.free = make([]buffer, 0, p.size())
}

func (p *pool) size() int  { return len(p.mem) / p.stride }
func (p *pool) inUse() int { return p.fresh - len(p.free) }

func (p *pool) take(why purpose) buffer {
	left := p.size() - p.inUse()
	if why == forInput {
		left -= p.size() / inputReserve
	}
	if left <= 0 {
		return 0
	}
	if last := len(p.free) - 1; last >= 0 {
		n := p.free[last]
		p.free = p.free[:last]
		return n
	}
	p.fresh++
	return buffer(p.fresh)
}

func (p *pool) give(n buffer) { p.free = append(p.free, n) }

func (p *pool) bytes(n buffer) []byte {
	at := int(n-1) * p.stride
	return p.mem[at : at+p.stride : at+p.stride]
}
