package persist

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Writer writes a file. One goroutine uses it.
type Writer struct {
	path, draft string
	file        *os.File
	out         *bufio.Writer
	records     uint64
	bytes       int64
}

// Create begins a file that shall replace the one at path, beside it. An older draft, of a process that was killed, is overwritten.
func Create(path string, h Header) (*Writer, error) {
	text, err := h.encode()
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, draft: path + ".new"}
	// What names were asked for is for nobody else to read.
	if w.file, err = os.OpenFile(w.draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	w.out = bufio.NewWriterSize(w.file, bufferBytes)
	if err = w.write(text); err != nil {
		return nil, errors.Join(err, w.Abandon())
	}
	return w, nil
}

func (w *Writer) write(b []byte) error {
	w.bytes += int64(len(b))
	_, err := w.out.Write(b)
	return err
}

// Add writes a record.
func (w *Writer) Add(record []byte) error {
	if len(record) > RecordBytesMax {
		return fmt.Errorf("record of %d bytes, at most %d are allowed", len(record), RecordBytesMax)
	}
	w.records++
	return w.frame(uint32(len(record)), record)
}

func (w *Writer) frame(length uint32, b []byte) error {
	var head [frameBytes]byte
	binary.LittleEndian.PutUint32(head[:], length)
	binary.LittleEndian.PutUint32(head[4:], checksum(length, b))
	if err := w.write(head[:]); err != nil {
		return err
	}
	return w.write(b)
}

// Commit writes the end, makes sure that all of it is on the disk, and puts the file in place of the old one. It returns how long it is. After an
// error the old one is as it was, and nothing else is left.
func (w *Writer) Commit() (bytes int64, err error) {
	var total [totalBytes]byte
	binary.LittleEndian.PutUint64(total[:], w.records)
	err = w.frame(trailerTag, total[:])
	if err == nil {
		err = w.out.Flush()
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return 0, errors.Join(err, w.Abandon())
	}
	if err = w.file.Close(); err == nil {
		err = os.Rename(w.draft, w.path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(w.draft))
	}
	return w.bytes, syncFolder(filepath.Dir(w.path))
}

// Abandon leaves the old file as it is.
func (w *Writer) Abandon() error { return errors.Join(w.file.Close(), os.Remove(w.draft)) }

// syncFolder makes sure that the new name is on the disk as well.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
