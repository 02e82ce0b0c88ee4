package config

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/worker/policy"
)

// Set is a list of names or prefixes from a file, for rules.
type Set struct {
	Name  string
	File  string
	Kind  policy.SetKind
	Ref   *policy.SetRef // what rules hold; the set behind it may be exchanged
	Stamp Stamp          // of the file when it was read
}

// Stamp tells one state of a file from another.
type Stamp struct {
	Inode    uint64
	Size     int64
	Modified time.Time
}

// setKeys is every key of one [set.NAME].
var setKeys = []key[Set]{
	key[Set]{
		name: "file", bounds: "a file with an entry on each line", get: func(s *Set) any { return &s.File },
		read: func(c *checker, s *Set, v value) { s.File, _ = c.text(v) },
	}.reload(),
	choiceKey("kind", policy.SetKindNames[policy.SetSuffixes], []choice[policy.SetKind]{
		{"names", policy.SetNames}, {"suffixes", policy.SetSuffixes}, {"prefixes", policy.SetPrefixes},
	}, func(s *Set) *policy.SetKind { return &s.Kind }).reload(),
}

func readSets(c *checker, t *Checked, v value) {
	table, ok := v.data.(map[string]any)
	switch {
	case !ok:
		c.fault(v, "must be tables, written [set.NAME], not %s", v.kind())
		return
	case len(table) > setsMax:
		c.fault(v, "%d sets, at most %d are allowed", len(table), setsMax)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		entry := v.field(name, table[name])
		data, ok := table[name].(map[string]any)
		switch {
		case !ok:
			c.fault(entry, "must be a table, written [set.%s], not %s", name, entry.kind())
			continue
		case !labelText(name):
			c.fault(entry, "%q is no name of a set: 1 to 64 letters, digits, ., - and _", name)
			continue
		}
		s := Set{Name: name}
		if fill(c, setKeys, &s, entry, data); s.File == "" {
			c.fault(entry, "has no file")
			continue
		}
		if c.load(&s, entry) {
			t.Sets = append(t.Sets, s)
		}
	}
}

// load reads the file of a set, unless it is in use as it is.
func (c *checker) load(s *Set, entry value) bool {
	if c.unchanged(s) {
		return true
	}
	set, stamp, problems := ReadSet(s.File, s.Kind, c.gently)
	for _, p := range problems {
		if p.Key = entry.path + ".file"; p.Line == 0 {
			c.fault(entry.at(p.Key, nil), "%q: %s", s.File, p.Text)
			continue
		}
		c.problems = append(c.problems, p)
	}
	if set == nil {
		return false
	}
	s.Stamp, s.Ref = stamp, policy.NewSetRef(s.Name, set)
	return true
}

// unchanged completes s with the set in use that is like it, if there is one and its file is as it was when it was read.
func (c *checker) unchanged(s *Set) bool {
	i := slices.IndexFunc(c.inUse, func(old Set) bool { return old.Name == s.Name && old.File == s.File && old.Kind == s.Kind })
	if i < 0 {
		return false
	}
	if info, err := os.Stat(s.File); err != nil || StampOf(info) != c.inUse[i].Stamp {
		return false
	}
	s.Ref, s.Stamp = c.inUse[i].Ref, c.inUse[i].Stamp
	return true
}

// ReadSet reads, at the given pace, a file with a name or a prefix on each line; what follows a # is a comment. A nil set means that there are problems, of which at
// most setProblemsMax are told, with their lines; a problem without a line is one with the file itself.
func ReadSet(file string, kind policy.SetKind, gently *pace.Pace) (*policy.Set, Stamp, Problems) {
	fault := func(line int, text string) Problems {
		return Problems{{File: file, Line: line, Text: text}}
	}
	f, err := pace.Open(file)
	if err != nil {
		return nil, Stamp{}, fault(0, fileFault(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, Stamp{}, fault(0, fileFault(err))
	}
	stamp := StampOf(info)
	set := policy.NewSet(kind, int(min(info.Size()/averageEntry, setEntriesMax)))
	var problems Problems
	lines := bufio.NewScanner(bufio.NewReaderSize(gently.Reader(f), 64<<10))
	lines.Buffer(make([]byte, 0, setLineMax), setLineMax)
	number := 0
	for lines.Scan() && len(problems) < setProblemsMax {
		number++
		entry, _, _ := bytes.Cut(lines.Bytes(), []byte("#"))
		if entry = bytes.TrimSpace(entry); len(entry) == 0 {
			continue
		}
		if set.Len() == setEntriesMax {
			return nil, stamp, fault(number, fmt.Sprintf("more than %d entries", setEntriesMax))
		}
		if err := addEntry(set, kind, entry); err != nil {
			problems = append(problems, fault(number, err.Error())...)
		}
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, fault(number+1, err.Error())...)
	}
	if len(problems) > 0 {
		return nil, stamp, problems
	}
	return set, stamp, nil
}

// addEntry adds what one line holds.
func addEntry(set *policy.Set, kind policy.SetKind, entry []byte) error {
	if kind == policy.SetPrefixes {
		p, err := netip.ParsePrefix(string(entry))
		if a, single := netip.ParseAddr(string(entry)); single == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil || p.Addr().Is4In6() || p.Addr().Zone() != "":
			return fmt.Errorf("%q is not an IP address, nor IP/length", entry)
		case p != p.Masked():
			return fmt.Errorf("%q has bits beyond its length: write %q", entry, p.Masked())
		}
		set.AddPrefix(p)
		return nil
	}
	if kind == policy.SetSuffixes {
		entry = bytes.TrimPrefix(entry, []byte("*."))
	}
	var space [256]byte
	name, ok := appendName(space[:0], entry)
	if !ok { // escapes, or no name
		text := strings.ToLower(dns.Fqdn(string(entry)))
		if _, ok := dns.IsDomainName(text); !ok || bytes.ContainsAny(entry, " \t") {
			return fmt.Errorf("%q is not a name", entry)
		}
		name = packName(text)
	}
	set.AddName(name)
	return nil
}

// appendName appends a name of plain labels as it is on the wire, lower case; false: it is another kind of name, or none.
func appendName(dst, text []byte) ([]byte, bool) {
	text = bytes.TrimSuffix(text, []byte("."))
	if len(text) == 0 || len(text) > 253 {
		return nil, false
	}
	at := len(dst)
	dst = append(dst, 0)
	for _, c := range text {
		switch {
		case c == '.':
			if n := len(dst) - at - 1; n < 1 || n > 63 {
				return nil, false
			}
			dst[at] = byte(len(dst) - at - 1)
			at = len(dst)
			dst = append(dst, 0)
			continue
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c <= ' ' || c >= 0x7F || c == '\\' || c == '"':
			return nil, false
		}
		dst = append(dst, c)
	}
	if n := len(dst) - at - 1; n < 1 || n > 63 {
		return nil, false
	}
	dst[at] = byte(len(dst) - at - 1)
	return append(dst, 0), true
}

// StampOf returns the stamp of a file.
func StampOf(info os.FileInfo) Stamp {
	s := Stamp{Size: info.Size(), Modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode = sys.Ino
	}
	return s
}

// setMatch reads one name of a set or several: one of them must hold.
func (c *checker) setMatch(v value) policy.Match {
	items, ok := c.oneOrMany(v, setsMax)
	out := policy.Match{Op: policy.Any}
	for _, item := range items {
		name, isText := c.text(item)
		i := slices.IndexFunc(c.sets, func(s Set) bool { return s.Name == name })
		switch {
		case !isText:
		case i < 0:
			c.fault(item, "set %q is not there: write a table [set.%s]", name, name)
		default:
			out.Of = append(out.Of, policy.Match{Selector: policy.Selector{Kind: policy.InSet, Set: c.sets[i].Ref}})
		}
	}
	switch {
	case ok && len(items) == 0:
		c.fault(v, "is empty: nothing would match")
	case len(out.Of) == 1:
		return out.Of[0]
	case len(out.Of) == 0:
		return policy.Everything()
	}
	return out
}
