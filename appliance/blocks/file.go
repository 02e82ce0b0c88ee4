package blocks

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"secure-dns-proxy/appliance/persist"
	"secure-dns-proxy/worker/block"
)

// fileKind is in the header of a file of blocks: that of a cache has names of pools there.
const fileKind = "blocks of secure-dns-proxy, 1"

// line is a record of such a file: a block, or with Pardon what no rule blocks before Until.
type line struct {
	Prefix netip.Prefix `json:"prefix,omitzero"`
	Name   string       `json:"name,omitempty"` // as text
	Pardon bool         `json:"pardon,omitempty"`
	Action string       `json:"action,omitempty"`
	Rate   int          `json:"rate,omitempty"`
	By     string       `json:"by,omitempty"`
	Since  time.Time    `json:"since,omitzero"`
	Until  time.Time    `json:"until,omitzero"` // zero: until it is removed
	Value  float64      `json:"value,omitempty"`
}

// subject is whom a line is about.
func (l *line) subject() (who subject, err error) {
	if l.Name == "" {
		if !l.Prefix.IsValid() || l.Prefix != l.Prefix.Masked() {
			return who, errors.New("is about nobody")
		}
		return subject{prefix: l.Prefix}, nil
	}
	who.name, err = Wire(l.Name)
	return who, err
}

// lineOf is a line about who.
func lineOf(who subject) line {
	if who.prefix.IsValid() {
		return line{Prefix: who.prefix}
	}
	return line{Name: Text(who.name)}
}

// save writes the list to the configured file if it has changed and was not written in the last keepPause, or if it is the end. What is blocked
// meanwhile waits for the next call.
func (k *Keeper) save(now time.Time, end bool) {
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	file := k.judge.cfg.File
	due := file != "" && k.stale && (end || now.Sub(k.saved) >= keepPause)
	var lines []line
	if due {
		k.stale, k.saved = false, now
		lines = k.contents()
	}
	k.mu.Unlock()
	if !due {
		return
	}
	err := write(file, lines, now)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.totals.Saved++
	} else {
		k.totals.Unsaved++
		k.stale = true
	}
	switch failed := err != nil; {
	case failed && !k.failing:
		k.log.Warn("list of blocks not written, what was there before stays", "file", file, "error", err)
	case !failed && k.failing:
		k.log.Info("list of blocks is written again", "file", file)
	}
	k.failing = err != nil
}

// contents are the lines of the file as the list is now.
func (k *Keeper) contents() (lines []line) {
	for who, b := range k.list {
		l := lineOf(who)
		l.Action, l.Rate, l.By, l.Since, l.Until, l.Value = b.entry.Action.String(), b.entry.Rate, b.by, b.since, b.until, b.value
		lines = append(lines, l)
	}
	for who, until := range k.pardons {
		l := lineOf(who)
		l.Pardon, l.Until = true, until
		lines = append(lines, l)
	}
	return lines
}

func write(file string, lines []line, now time.Time) error {
	w, err := persist.Create(file, persist.Header{Written: now, Names: []string{fileKind}})
	if err != nil {
		return err
	}
	for i := range lines {
		text, err := json.Marshal(&lines[i])
		if err == nil {
			err = w.Add(text)
		}
		if err != nil {
			return errors.Join(err, w.Abandon())
		}
	}
	_, err = w.Commit()
	return err
}

// Restore puts what an earlier process had on its list back on it: what was blocked by hand, and by rules that there still are, as long as it would have
// lasted by the clock on the wall, and no longer than the rule blocks now. Of a file that is damaged it takes what comes before the damage, and
// says so. It comes after Adopt, before Run.
func (k *Keeper) Restore(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	file := k.judge.cfg.File
	if file == "" {
		return
	}
	taken, expired, foreign := 0, 0, 0
	err := read(file, func(l *line) {
		switch k.take(l, now) {
		case tookIt:
			taken++
		case tooOld:
			expired++
		default:
			foreign++
		}
	})
	k.totals.Restored += uint64(taken)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		k.log.Warn("the kept list of blocks was not read, or not to its end; going on without the rest", "file", file, "taken", taken, "reason", err)
	default:
		k.log.Info("kept blocks are in force again", "file", file, "taken", taken, "expired", expired, "no_longer_meant", foreign)
	}
	if taken > 0 {
		k.publish()
	}
}

// took says what became of a line.
type took uint8

const (
	tookIt took = iota
	tooOld
	tookNot // its rule is gone, or does not block it any more
)

// take puts a line in force.
func (k *Keeper) take(l *line, now time.Time) took {
	who, err := l.subject()
	switch {
	case err != nil:
		return tookNot
	case !l.Until.IsZero() && !now.Before(l.Until):
		return tooOld
	case l.Pardon:
		k.pardons[who] = l.Until
		return tookIt
	}
	if l.By != Operator {
		at := slices.IndexFunc(k.judge.cfg.Rules, func(r Rule) bool { return r.Name == l.By })
		if at < 0 || l.Until.IsZero() || k.judge.spares(who) {
			return tookNot
		}
		if most := now.Add(k.judge.cfg.Rules[at].Duration); l.Until.After(most) { // the clock was set back, or the rule has changed
			l.Until = most
		}
	}
	action := slices.Index(block.ActionNames[:], l.Action)
	if action < 0 {
		return tookNot
	}
	entry, err := k.entry(who, block.Action(action), l.Rate)
	if err != nil {
		return tookNot
	}
	k.list[who] = &kept{entry: entry, by: l.By, since: l.Since, until: l.Until, value: l.Value}
	return tookIt
}

// read hands each line of a file to yield.
func read(file string, yield func(*line)) error {
	r, err := persist.Open(file)
	if err != nil {
		return err
	}
	if !slices.Equal(r.Header.Names, []string{fileKind}) {
		return errors.Join(errors.New("it is no list of blocks"), r.Close())
	}
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		var l line
		if err == nil {
			err = json.Unmarshal(record, &l)
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
		yield(&l)
	}
}
