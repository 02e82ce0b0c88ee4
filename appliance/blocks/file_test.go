package blocks

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/appliance/persist"
	"secure-dns-proxy/worker/block"
)

// shown is a list without what a restart begins anew.
func shown(list []Block) (text []string) {
	for _, b := range list {
		text = append(text, fmt.Sprint(subject{b.Prefix, b.Name}, " ", b.Action, " ", b.Rate, " ", b.By, " ", b.Since.Unix(), " ", b.Until.Unix(), " ", b.Value))
	}
	slices.Sort(text)
	return text
}

// TestBlocksOutliveARestart: those of rules and by hand, and what was taken off the list, for as long as they would have lasted.
func TestBlocksOutliveARestart(t *testing.T) {
	cfg := standard(rule(QueryRate, func(*Rule) {}))
	cfg.File = filepath.Join(t.TempDir(), "blocks")
	s := newStage(t, cfg)
	s.pass(20, func() { s.ask("127.0.0.66", 150, 1, 0, false); s.ask("127.0.0.67", 150, 1, 0, false) })
	for _, b := range []Block{
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), Action: block.Limit, Rate: 7},
		{Name: string(wireName(`a\.b.example`)), Action: block.Refuse, Until: s.clock.Add(time.Hour)},
		{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Until: s.clock.Add(time.Second)},
	} {
		if err := s.Add(b, s.clock); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove(netip.MustParsePrefix("127.0.0.67/32"), "", s.clock.Add(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.save(s.clock, true)
	if got := s.Totals(); got.Saved != 1 {
		t.Errorf("totals %+v", got)
	}
	want := shown(s.List())

	again := newStage(t, cfg)
	again.clock = s.clock.Add(2 * time.Second)
	again.Restore(again.clock)
	if got := shown(again.List()); len(got) != 3 || !slices.Equal(got, slices.DeleteFunc(want, func(l string) bool { return strings.HasPrefix(l, "192.0.2.1/32") })) {
		t.Errorf("restored\n%s\nwant, but for 192.0.2.1,\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again.table.Source(netip.MustParseAddr("2001:db8::1")) == nil || again.table.Source(netip.MustParseAddr("127.0.0.66")) == nil || again.Totals().Restored != 4 || again.lines("taken=4 expired=1") != 1 {
		t.Errorf("not in force:\n%s", again.text.String())
	}
	again.pass(20, func() { again.ask("127.0.0.67", 150, 1, 0, false) })
	if again.table.Source(netip.MustParseAddr("127.0.0.67")) != nil {
		t.Error("blocked again, although it was taken off the list by hand")
	}
	again.pass(60, nil)
	if again.table.Source(netip.MustParseAddr("127.0.0.66")) != nil {
		t.Error("outlives its time")
	}

	ruleless, exempt, back := cfg, cfg, cfg
	ruleless.Rules = []Rule{rule(QueryRate, func(r *Rule) { r.Name = "other" })}
	exempt.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, c := range map[string]Config{"without the rule": ruleless, "exempt": exempt} {
		r := newStage(t, c)
		if r.Restore(s.clock); len(r.List()) != 3 || r.table.Source(netip.MustParseAddr("127.0.0.66")) != nil || r.lines("no_longer_meant=1") != 1 {
			t.Errorf("%s: %s\n%s", name, shown(r.List()), r.text.String())
		}
	}
	r := newStage(t, back)
	r.Restore(s.clock.Add(-48 * time.Hour)) // the clock was set back
	for _, b := range r.List() {
		if b.By != Operator && b.Until.After(s.clock.Add(-47*time.Hour)) {
			t.Errorf("with the clock set back it lasts until %v", b.Until)
		}
	}
}

// TestDamagedFile: what comes before the damage holds, and the log says so; a file of another kind, and none, block nobody.
func TestDamagedFile(t *testing.T) {
	cfg := standard(rule(QueryRate, nil))
	cfg.File = filepath.Join(t.TempDir(), "blocks")
	s := newStage(t, cfg)
	if s.Restore(s.clock); s.text.Len() != 0 {
		t.Errorf("without a file: %s", s.text.String())
	}
	for i := range 5 {
		if err := s.Add(Block{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)}, s.clock); err != nil {
			t.Fatal(err)
		}
	}
	s.save(s.clock, true)
	whole, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 0x20
		if err := os.WriteFile(cfg.File, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newStage(t, cfg)
		if r.Restore(r.clock); len(r.List()) > 5 || r.lines("level=WARN") != 1 {
			t.Fatalf("damaged at %d of %d: %d blocks\n%s", at, len(whole), len(r.List()), r.text.String())
		}
	}
	w, err := persist.Create(cfg.File, persist.Header{Names: []string{"default"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r := newStage(t, cfg)
	if r.Restore(r.clock); len(r.List()) != 0 || r.lines("it is no list of blocks") != 1 {
		t.Errorf("a cache: %s", r.text.String())
	}
}

// TestWhenTheFileIsWritten: only what has changed, not too often, at the end at once; what cannot be written is told once and tried again.
func TestWhenTheFileIsWritten(t *testing.T) {
	cfg := standard(rule(QueryRate, nil))
	dir := t.TempDir()
	cfg.File = filepath.Join(dir, "below", "blocks")
	s := newStage(t, cfg)
	add := func(i int) {
		if err := s.Add(Block{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)}, s.clock); err != nil {
			t.Fatal(err)
		}
	}
	step := func(d time.Duration, end bool) Totals {
		s.clock = s.clock.Add(d)
		s.save(s.clock, end)
		return s.Totals()
	}
	add(1)
	if got := step(keepPause, false); got.Saved != 0 || got.Unsaved != 1 {
		t.Errorf("no folder: %+v", got)
	}
	if got := step(keepPause, false); got.Unsaved != 2 || s.lines("list of blocks not written") != 1 {
		t.Errorf("again: %+v\n%s", got, s.text.String())
	}
	if err := os.Mkdir(filepath.Dir(cfg.File), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := step(keepPause, false); got.Saved != 1 || s.lines("written again") != 1 {
		t.Errorf("with the folder: %+v\n%s", got, s.text.String())
	}
	if got := step(keepPause, true); got.Saved != 1 {
		t.Error("written without a change")
	}
	add(2)
	if got := step(time.Second, false); got.Saved != 2 {
		t.Errorf("a change %v after the last one: %+v", keepPause+time.Second, got)
	}
	add(3)
	if got := step(time.Second, false); got.Saved != 2 {
		t.Error("written too often")
	}
	if got := step(0, true); got.Saved != 3 {
		t.Error("not written at the end")
	}
	other := cfg
	other.File = filepath.Join(dir, "elsewhere")
	s.Adopt(other)
	if step(keepPause, false); s.Totals().Saved != 4 {
		t.Error("another file is not written after a reload")
	}
	r := newStage(t, other)
	if r.Restore(r.clock); len(r.List()) != 3 {
		t.Errorf("elsewhere: %v", shown(r.List()))
	}
	off := cfg
	off.File = ""
	s.Adopt(off)
	add(4)
	if step(keepPause, true); s.Totals().Saved != 4 {
		t.Error("written although it is switched off")
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"prefix":"192.0.2.0/24","action":"drop","by":"operator"}`))
	f.Add([]byte(`{"name":"a.example","action":"limit","rate":5,"by":"query_rate","until":"2027-01-15T08:00:00Z"}`))
	f.Add([]byte(`{"name":"a","pardon":true,"until":"2027-01-15T08:00:00Z"}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		cfg := standard(rule(QueryRate, nil))
		cfg.File = filepath.Join(t.TempDir(), "blocks")
		w, err := persist.Create(cfg.File, persist.Header{Names: []string{fileKind}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(record); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		s := newStage(t, cfg)
		s.Restore(s.clock) // nothing in it may make a table that cannot be put in force
		if len(s.List()) > 1 || s.lines("not put in force") != 0 {
			t.Errorf("%q: %v\n%s", record, shown(s.List()), s.text.String())
		}
	})
}
