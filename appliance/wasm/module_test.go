package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/worker/inspect"
)

func code(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var standard = Config{Memory: 4 * PageBytes}

// each runs a test interpreted and compiled.
func each(t *testing.T, run func(t *testing.T, cfg Config)) {
	for name, compiled := range map[string]bool{"interpreted": false, "compiled": true} {
		t.Run(name, func(t *testing.T) { run(t, Config{Memory: standard.Memory, Compiled: compiled}) })
	}
}

func open(t testing.TB, file string, cfg Config) *instance {
	t.Helper()
	m, err := Load(code(t, file), cfg)
	if err != nil {
		t.Fatal(err)
	}
	i, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		i.Close()
		m.Close()
	})
	return i.(*instance)
}

// TestModulesAreTheirText: what is checked in is what Debian's wat2wasm makes of the text.
func TestModulesAreTheirText(t *testing.T) {
	texts, err := filepath.Glob("*/*.wat")
	if err != nil || len(texts) < 5 {
		t.Fatal(texts, err)
	}
	for _, text := range texts {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if said, err := exec.Command("wat2wasm", text, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", text, err, said)
		}
		if file := strings.TrimSuffix(text, "wat") + "wasm"; !bytes.Equal(code(t, out), code(t, file)) {
			t.Errorf("%s is not made from %s", file, text)
		}
	}
}

func TestBadModules(t *testing.T) {
	for file, want := range map[string]string{
		"testdata/imports.wasm": "imports the function wasi_snapshot_preview1.fd_write", "testdata/shape.wasm": "exports no function inspect(i32, i32) -> i64",
		"testdata/bare.wasm": `exports no memory "memory"`, "testdata/start-loops.wasm": "start was ended", "testdata/big.wasm": "100",
		"testdata/table-grows.wasm": "table 0 has no maximum", "testdata/table-big.wasm": "table 0 may have 100000 entries",
		"testdata/no-room.wasm": "there are not", "testdata/bare.wat": "magic",
	} {
		each(t, func(t *testing.T, cfg Config) {
			if m, err := Load(code(t, file), cfg); err == nil || m != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want ...%s...", file, err, want)
			}
		})
	}
	good := code(t, "example/tunnels.wasm")
	for n := range good { // the whole module without its last bytes is none
		if m, err := Load(good[:n], standard); err == nil {
			m.Close()
			t.Errorf("the first %d of %d bytes are taken for a module", n, len(good))
		}
	}
	if _, err := Load(make([]byte, ModuleBytesMax+1), standard); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a module that is too long: %v", err)
	}
}

func question(name string, qtype uint16) *inspect.Question {
	var wire []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		wire = append(append(wire, byte(len(label))), label...)
	}
	return &inspect.Question{Name: append(wire, 0), Type: qtype, Class: 1, Pool: []byte("default")}
}

// answered makes q the question of an answer with records of one type and so many bytes of data each.
func answered(q *inspect.Question, rrtype uint16, sizes ...int) *inspect.Question {
	q.Point = inspect.AtResponse
	head := q.Append(nil)
	var records []byte
	for _, n := range sizes {
		records = binary.LittleEndian.AppendUint16(records, rrtype)
		records = binary.LittleEndian.AppendUint16(records, uint16(n))
		records = append(append(records, 60, 0, 0, 0), make([]byte, n)...)
	}
	binary.LittleEndian.PutUint16(head[32:], uint16(len(records)))
	out := new(inspect.Question)
	if !out.Parse(append(head, records...)) {
		panic("no question")
	}
	return out
}

func TestExample(t *testing.T) {
	long := strings.Repeat("abcdefghijklmnopqrstuvwxyz012345.", 3) + "example."
	refused := inspect.Refused()
	refused.Keep = inspect.Keep{Seconds: 60, Labels: 2, Who: inspect.ThisClient}
	each(t, func(t *testing.T, cfg Config) {
		i := open(t, "example/tunnels.wasm", cfg)
		for _, tt := range []struct {
			name string
			q    *inspect.Question
			want inspect.Verdict
		}{
			{"a short name", question("a.example.", 16), inspect.Verdict{}},
			{"a long name, another type", question(long, 1), inspect.Verdict{}},
			{"a long name", question(long, 16), refused},
			{"the same, NULL", question(long, 10), refused},
			{"its answer", answered(question(long, 16), 16, 100), inspect.Verdict{}},
			{"no records", answered(question("a.example.", 16), 16), inspect.Verdict{}},
			{"399 bytes", answered(question("a.example.", 16), 16, 200, 0, 199), inspect.Verdict{}},
			{"400 bytes", answered(question("a.example.", 16), 16, 200, 0, 200), refused},
			{"1000 bytes of NULL", answered(question("a.example.", 10), 10, 1000), refused},
			{"of something else", answered(question("a.example.", 16), 99, 1000), inspect.Verdict{}},
		} {
			if v, err := i.Inspect(t.Context(), tt.q); err != nil || v != tt.want {
				t.Errorf("%s: got %+v, %v, want %+v", tt.name, v, err, tt.want)
			}
		}
	})
}

func TestVerdicts(t *testing.T) {
	i := open(t, "testdata/moody.wasm", standard)
	for name, want := range map[string]inspect.Verdict{
		"d.example.": {Do: inspect.Drop}, "n.example.": inspect.NXDomain(), "o.example.": {Do: inspect.Once}, "a.example.": {},
	} {
		if v, err := i.Inspect(t.Context(), question(name, 1)); err != nil || v != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, v, err, want)
		}
	}
}

// TestFailures: what a module does wrong is an error, and the next question is decided as if nothing had been.
func TestFailures(t *testing.T) {
	each(t, func(t *testing.T, cfg Config) {
		i := open(t, "testdata/moody.wasm", cfg)
		for name, want := range map[string]string{
			"l.example.": "was ended", "t.example.": "unreachable", "h.example.": "out of bounds", "r.example.": "stack overflow", "j.example.": "no verdict",
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if name != "l.example." { // that they end is not the timer's work
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			}
			_, err := i.Inspect(ctx, question(name, 1))
			cancel()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want ...%s...", name, err, want)
			}
			if name == "l.example." && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not of its time", err)
			}
			if v, err := i.Inspect(t.Context(), question("d.example.", 1)); err != nil || v.Do != inspect.Drop {
				t.Errorf("after %s: %+v, %v", name, v, err)
			}
			if size := i.module.Memory().Size(); size > uint32(cfg.Memory) {
				t.Errorf("%d bytes of memory, at most %d are allowed", size, cfg.Memory)
			}
		}
	})
}

// TestMemoryLasts: an instance keeps what it knows from one question to the next, and loses it with a trap.
func TestMemoryLasts(t *testing.T) {
	i := open(t, "testdata/moody.wasm", standard)
	var failed []bool
	for range 6 {
		_, err := i.Inspect(t.Context(), question("w.example.", 1))
		failed = append(failed, err != nil)
	}
	for n, got := range failed {
		if want := n%3 == 2; got != want {
			t.Fatalf("failed %v, want each third", failed)
		}
	}
}

// TestMemoryLimit: a module that wants more than it may have is refused; with more it is taken.
func TestMemoryLimit(t *testing.T) {
	if m, err := Load(code(t, "testdata/big.wasm"), Config{Memory: 100 * PageBytes}); err != nil {
		t.Error(err)
	} else {
		m.Close()
	}
	for _, memory := range []int{MemoryMin - 1, MemoryMax + 1} {
		if _, err := Load(code(t, "example/tunnels.wasm"), Config{Memory: memory}); err == nil {
			t.Errorf("memory of %d bytes is allowed", memory)
		}
	}
}

func FuzzTables(f *testing.F) {
	texts, _ := filepath.Glob("*/*.wasm")
	for _, file := range texts {
		if !strings.Contains(file, "start-loops") { // a second each
			f.Add(code(f, file))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := checkTables(data); err != nil && err.Error() == "" {
			t.Error("an error without a reason")
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	for name, compiled := range map[string]bool{"interpreted": false, "compiled": true} {
		b.Run(name, func(b *testing.B) {
			i := open(b, "example/tunnels.wasm", Config{Memory: MemoryMin, Compiled: compiled})
			q := question("www.example.", 1)
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				if _, err := i.Inspect(ctx, q); err != nil {
					b.Fatal(err)
				}
				cancel()
			}
		})
	}
}
