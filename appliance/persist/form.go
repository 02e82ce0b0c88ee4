package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Header is what is known of a file as a whole.
type Header struct {
	Written time.Time
	Names   []string // of the pools that records belong to, by number
}

const (
	magic      = "SDPCACHE"
	version    = 1
	fixedBytes = len(magic) + 3*4
	frameBytes = 2 * 4
	trailerTag = ^uint32(0)
	totalBytes = 8 // of the trailer
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is over a length and what is so long.
func checksum(length uint32, b []byte) uint32 {
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], length)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, b)
}

func (h *Header) encode() ([]byte, error) {
	le := binary.LittleEndian
	if len(h.Names) > namesMax {
		return nil, fmt.Errorf("%d names, at most %d are allowed", len(h.Names), namesMax)
	}
	rest := le.AppendUint64(nil, uint64(h.Written.UnixNano()))
	rest = le.AppendUint16(rest, uint16(len(h.Names)))
	for _, name := range h.Names {
		if len(name) > nameBytesMax {
			return nil, fmt.Errorf("name of %d bytes, at most %d are allowed", len(name), nameBytesMax)
		}
		rest = append(append(rest, byte(len(name))), name...)
	}
	out := le.AppendUint32([]byte(magic), version)
	out = le.AppendUint32(out, uint32(len(rest)))
	out = le.AppendUint32(out, checksum(uint32(len(rest)), rest))
	return append(out, rest...), nil
}

// decode reads the rest of a header.
func (h *Header) decode(rest []byte) error {
	le := binary.LittleEndian
	if len(rest) < 10 {
		return errors.New("its header is too short")
	}
	h.Written = time.Unix(0, int64(le.Uint64(rest)))
	count := le.Uint16(rest[8:])
	rest = rest[10:]
	for range count {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return errors.New("its header ends in a name")
		}
		n := 1 + int(rest[0])
		h.Names = append(h.Names, string(rest[1:n]))
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return errors.New("its header is too long")
	}
	return nil
}
