package inspect

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"secure-dns-proxy/transport"
)

// counted is a source that knows what is open.
type counted struct {
	Func
	open   atomic.Int64
	closed atomic.Int64
	fails  bool
}

type countedInspector struct {
	Func
	from *counted
}

func (c *counted) Open() (Inspector, error) {
	if c.fails {
		return nil, errors.New("cannot be opened")
	}
	c.open.Add(1)
	return countedInspector{c.Func, c}, nil
}

func (c *counted) Close() { c.closed.Add(1) }

func (i countedInspector) Close() { i.from.open.Add(-1) }

func always(v Verdict, err error) *counted {
	return &counted{Func: func(context.Context, *Question) (Verdict, error) { return v, err }}
}

type bench struct {
	t     *testing.T
	host  *Host
	line  *Line
	woken chan struct{}
	log   bytes.Buffer
	slot  uint32
}

func newBench(t *testing.T, source Source) *bench {
	b := &bench{t: t, woken: make(chan struct{}, 1)}
	var err error
	if b.line, err = NewLine(func() {
		select {
		case b.woken <- struct{}{}:
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	b.host = NewHost(source, slog.New(slog.NewTextHandler(&b.log, nil)))
	b.host.Serve(b.line)
	return b
}

// ask has one question decided.
func (b *bench) ask(budget time.Duration) Reply {
	b.t.Helper()
	b.slot++
	if !b.line.Ask(b.slot, 7, transport.Now()+budget, &Question{Name: []byte{0}}) {
		b.t.Fatal("the line is full")
	}
	b.line.Flush()
	for {
		if r, ok := b.line.Receive(); ok {
			if r.Slot != b.slot || r.Gen != 7 {
				b.t.Fatalf("reply %+v to another question", r)
			}
			return r
		}
		<-b.woken
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.line.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
	b.host.Close()
}

func TestHost(t *testing.T) {
	first, second := always(Refused(), nil), always(NXDomain(), nil)
	b := newBench(t, first)
	if r := b.ask(time.Minute); !r.Decided || r.Verdict != Refused() {
		t.Errorf("reply %+v", r)
	}
	b.host.Use(second)
	if first.closed.Load() != 0 {
		t.Error("closed while an inspector is open")
	}
	if r := b.ask(time.Minute); r.Verdict != NXDomain() {
		t.Errorf("reply %+v after the exchange", r)
	}
	if first.open.Load() != 0 || first.closed.Load() != 1 {
		t.Errorf("the first: %d open, closed %d times", first.open.Load(), first.closed.Load())
	}
	if r := b.ask(-time.Second); r.Decided || b.host.Figures().Expired != 1 {
		t.Errorf("a question whose time is over has %+v", r)
	}
	b.close()
	if second.open.Load() != 0 || second.closed.Load() != 1 {
		t.Errorf("the second: %d open, closed %d times", second.open.Load(), second.closed.Load())
	}
}

// TestHostRests: errors, panics, verdicts that are none and sources that give no inspector cost a verdict each, a line in the log together, and make it rest; a
// new source does not inherit that.
func TestHostRests(t *testing.T) {
	panics := &counted{Func: func(context.Context, *Question) (Verdict, error) { panic("oh") }}
	unopened := always(Verdict{}, nil)
	unopened.fails = true
	for name, tt := range map[string]struct {
		source *counted
		count  func(Figures) uint64
		log    string
	}{
		"error":    {always(Verdict{}, errors.New("trapped")), func(f Figures) uint64 { return f.Failed }, "trapped"},
		"panic":    {panics, func(f Figures) uint64 { return f.Panicked }, "panic: oh"},
		"verdict":  {always(Verdict{Do: 77}, nil), func(f Figures) uint64 { return f.Failed }, "is none"},
		"unopened": {unopened, func(f Figures) uint64 { return f.Unopened }, "cannot be opened"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.source)
			for range failuresMax {
				if r := b.ask(time.Minute); r.Decided {
					t.Fatalf("reply %+v", r)
				}
			}
			f := b.host.Figures()
			if tt.count(f) != failuresMax || f.Rests != 1 || f.Rested != 0 {
				t.Errorf("figures %+v", f)
			}
			for deadline := time.Now().Add(time.Minute); b.host.Figures().Rested == 0 && time.Now().Before(deadline); {
				b.ask(time.Minute)
			}
			if b.host.Figures().Rested == 0 {
				t.Error("it does not rest")
			}
			b.host.Use(always(Refused(), nil))
			if r := b.ask(time.Minute); r.Verdict != Refused() {
				t.Errorf("the next one has %+v", r)
			}
			b.close()
			if got := b.log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, tt.log) {
				t.Errorf("log %q", got)
			}
		})
	}
}

// TestHostEndsARest: it is tried again.
func TestHostEndsARest(t *testing.T) {
	var bad atomic.Bool
	bad.Store(true)
	b := newBench(t, &counted{Func: func(context.Context, *Question) (Verdict, error) {
		if bad.Load() {
			return Verdict{}, errors.New("not now")
		}
		return Refused(), nil
	}})
	for range failuresMax {
		b.ask(time.Minute)
	}
	bad.Store(false)
	for deadline := time.Now().Add(time.Minute); !b.ask(time.Minute).Decided; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it rests for ever")
		}
	}
	b.close()
}

// TestHostBudget: the context that an inspector gets ends with the question's budget.
func TestHostBudget(t *testing.T) {
	b := newBench(t, &counted{Func: func(ctx context.Context, _ *Question) (Verdict, error) {
		<-ctx.Done()
		return Verdict{}, ctx.Err()
	}})
	if r := b.ask(20 * time.Millisecond); r.Decided {
		t.Errorf("reply %+v", r)
	}
	b.close()
	if !strings.Contains(b.log.String(), context.DeadlineExceeded.Error()) && b.host.Figures().Expired == 0 {
		t.Errorf("log %q", b.log.String())
	}
}
