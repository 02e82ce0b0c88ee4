package persist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var written = time.Unix(1_800_000_000, 12345)

// write makes a file of so many records, each other than the next one, and returns its path and contents.
func write(t testing.TB, records int) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cache")
	w, err := Create(path, Header{Written: written, Names: []string{"default", "", "corp"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := w.Add(content(i)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) != n {
		t.Fatalf("%d bytes, Commit said %d, %v", len(text), n, err)
	}
	return path, text
}

func content(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("record %d ", i), i%5)) }

// read returns how many records are good, and why no more.
func read(t testing.TB, text []byte) (good int, err error) {
	t.Helper()
	r, err := newReader(bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	for {
		record, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("read on after %v: %v", err, again)
			}
			return good, err
		}
		if !bytes.Equal(record, content(good)) {
			t.Fatalf("record %d is %q", good, record)
		}
		good++
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		path, _ := write(t, n)
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Header.Written.Equal(written) || fmt.Sprint(r.Header.Names) != "[default  corp]" {
			t.Errorf("header %+v", r.Header)
		}
		for i := range n {
			if record, err := r.Next(); err != nil || !bytes.Equal(record, content(i)) {
				t.Fatalf("record %d: %q, %v", i, record, err)
			}
		}
		if _, err = r.Next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if err = r.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}

// TestEveryDamageIsNoticed: with any byte changed, and cut at any length, what is read is what was written, up to the damage, and the end is not
// taken for a good one.
func TestEveryDamageIsNoticed(t *testing.T) {
	const records = 12
	_, text := write(t, records)
	check := func(what string, at int, damaged []byte) {
		good, err := read(t, damaged)
		var d *Damage
		if !errors.As(err, &d) || d.Records != uint64(good) || good > records {
			t.Errorf("%s at %d of %d: %d records, %v", what, at, len(text), good, err)
		}
	}
	for at := range text {
		for _, bit := range []byte{1, 0x80} {
			damaged := bytes.Clone(text)
			damaged[at] ^= bit
			check("changed", at, damaged)
		}
		check("cut", at, text[:at])
	}
	check("longer", len(text), append(bytes.Clone(text), 0))
	half := len(text) / 2
	if good, err := read(t, text[:half]); good < records/4 {
		t.Errorf("of half a file %d records are read: %v", good, err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	_, text := write(t, 3)
	future := bytes.Clone(text)
	binary.LittleEndian.PutUint32(future[len(magic):], version+1)
	for want, file := range map[string][]byte{
		"it ends in its header":           nil,
		"it is no cache file":             []byte(strings.Repeat("something else ", 10)),
		"it has version 2, known is 1":    future,
		"it ends without its trailer":     text[:len(text)-frameBytes-totalBytes],
		"after 3 records: it ends in a r": text[:len(text)-1],
	} {
		if _, err := read(t, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestOldFileStays until the new one is whole: that is all that a kill can come between.
func TestOldFileStays(t *testing.T) {
	path, before := write(t, 5)
	w, err := Create(path, Header{Written: written})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(make([]byte, RecordBytesMax)); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(make([]byte, RecordBytesMax+1)); err == nil {
		t.Error("a record that is too long was taken")
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Fatalf("changed before Commit: %v", err)
	}
	// A process that is killed here leaves the draft. The next one is not in its way.
	if w, err = Create(path, Header{Written: written}); err != nil {
		t.Fatal(err)
	}
	if err := w.Abandon(); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("changed by Abandon: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left: %v, %v", files, err)
	}
	if _, err := Create(filepath.Join(path, "below"), Header{}); err == nil {
		t.Error("a folder that is none: no error")
	}
	if _, err := Create(path, Header{Names: []string{strings.Repeat("x", 256)}}); err == nil {
		t.Error("a name that is too long was taken")
	}
}

// FuzzRead: nothing in a file makes reading panic, go on after an error, or take much memory; and a file that is read to a good end is what writing
// its records again gives.
func FuzzRead(f *testing.F) {
	_, text := write(f, 6)
	f.Add(text)
	f.Add(text[:len(text)-5])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := newReader(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := r.Header.encode()
		if err != nil {
			t.Fatalf("a header that was read cannot be written: %v", err)
		}
		out := bytes.NewBuffer(again)
		for {
			record, err := r.Next()
			var d *Damage
			if errors.As(err, &d) {
				return
			}
			var head [frameBytes]byte
			length := uint32(len(record))
			if err != nil {
				length, record = trailerTag, binary.LittleEndian.AppendUint64(nil, r.records)
			}
			binary.LittleEndian.PutUint32(head[:], length)
			binary.LittleEndian.PutUint32(head[4:], checksum(length, record))
			out.Write(head[:])
			out.Write(record)
			if err != nil {
				break
			}
		}
		if !bytes.Equal(out.Bytes(), text) {
			t.Errorf("written again it is another file")
		}
	})
}
