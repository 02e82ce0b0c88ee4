package persist

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Damage says why a file is not read, or not read on: what came before is good.
type Damage struct {
	Records uint64 // that were good
	Reason  string
}

func (d *Damage) Error() string {
	if d.Records == 0 {
		return d.Reason
	}
	return fmt.Sprintf("after %d records: %s", d.Records, d.Reason)
}

// Reader reads a file from its beginning to its end. One goroutine uses it.
type Reader struct {
	Header Header

	file    io.Closer // nil: none
	in      *bufio.Reader
	records uint64
	space   []byte
	ended   error // returned from now on
}

// Open opens a file. The error is of the file system, or a *Damage: the file is none of this kind and version.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := newReader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.file = file
	return r, nil
}

func newReader(from io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(from, bufferBytes), space: make([]byte, RecordBytesMax)}
	var fixed [fixedBytes]byte
	le := binary.LittleEndian
	if _, err := io.ReadFull(r.in, fixed[:]); err != nil {
		return nil, r.short(err, "it ends in its header")
	}
	if string(fixed[:len(magic)]) != magic {
		return nil, r.damage("it is no cache file")
	}
	rest := fixed[len(magic):]
	if v := le.Uint32(rest); v != version {
		return nil, r.damage(fmt.Sprintf("it has version %d, known is %d", v, version))
	}
	n := le.Uint32(rest[4:])
	if n > headerBytesMax {
		return nil, r.damage("its header is too long")
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r.in, text); err != nil {
		return nil, r.short(err, "it ends in its header")
	}
	if checksum(n, text) != le.Uint32(rest[8:]) {
		return nil, r.damage("its header is damaged")
	}
	if err := r.Header.decode(text); err != nil {
		return nil, r.damage(err.Error())
	}
	return r, nil
}

// Next returns the next record, which is valid until Next is called again. io.EOF: the file has ended as it should. A *Damage: it is not to be
// trusted from here on.
func (r *Reader) Next() ([]byte, error) {
	if r.ended != nil {
		return nil, r.ended
	}
	record, err := r.next()
	r.ended = err
	return record, err
}

func (r *Reader) next() ([]byte, error) {
	var head [frameBytes]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, r.short(err, "it ends without its trailer")
	}
	length, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	n := length
	if length == trailerTag {
		n = totalBytes
	}
	if n > RecordBytesMax {
		return nil, r.damage("a record is too long")
	}
	b := r.space[:n]
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, r.short(err, "it ends in a record")
	}
	if checksum(length, b) != sum {
		return nil, r.damage("a record is damaged")
	}
	if length != trailerTag {
		r.records++
		return b, nil
	}
	if total := binary.LittleEndian.Uint64(b); total != r.records {
		return nil, r.damage(fmt.Sprintf("it should have %d records", total))
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, r.damage("something follows its trailer")
	}
	return nil, io.EOF
}

// short is the error for a file that cannot be read on.
func (r *Reader) short(err error, reason string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damage(reason)
	}
	return err
}

func (r *Reader) damage(reason string) error { return &Damage{r.records, reason} }

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
