package query

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// List is the questions of a file in dnsperf's format, one "name type" per line, packed into an arena.
type List struct {
	entries []listEntry
	arena   []byte
}

type listEntry struct {
	at    uint32 // of the name in the arena
	bytes uint8  // of the name, 1..255
	qtype uint16
}

// Len returns the number of questions.
func (l *List) Len() int { return len(l.entries) }

func (l *List) question(n uint64) (name []byte, qtype uint16) {
	e := &l.entries[n]
	return l.arena[e.at : e.at+uint32(e.bytes)], e.qtype
}

// ParseList reads a list. Empty lines and lines that begin with ; or # are skipped; a line without a type asks for A.
func ParseList(r io.Reader) (*List, error) {
	l := &List{}
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		if err := l.add(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	if l.Len() == 0 {
		return nil, errors.New("no names in the list")
	}
	return l, nil
}

func (l *List) add(fields []string) error {
	if len(fields) > 2 {
		return fmt.Errorf("want a name and a type, got %d fields", len(fields))
	}
	qtype := dns.TypeA
	if len(fields) == 2 {
		var err error
		if qtype, err = ParseType(fields[1]); err != nil {
			return err
		}
	}
	name, err := packName(fields[0])
	if err != nil {
		return fmt.Errorf("%q: %w", fields[0], err)
	}
	if len(l.entries) >= listLinesMax || len(l.arena) >= listBytesMax {
		return fmt.Errorf("list too long: at most %d names and %d bytes", listLinesMax, listBytesMax)
	}
	l.entries = append(l.entries, listEntry{at: uint32(len(l.arena)), bytes: uint8(len(name)), qtype: qtype})
	l.arena = append(l.arena, name...)
	return nil
}

// ParseType reads a mnemonic such as AAAA, in any case, or TYPEnnn (RFC 3597 §5).
func ParseType(text string) (uint16, error) {
	upper := strings.ToUpper(text)
	if qtype, ok := dns.StringToType[upper]; ok {
		return qtype, nil
	}
	if number, ok := strings.CutPrefix(upper, "TYPE"); ok {
		if qtype, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(qtype), nil
		}
	}
	return 0, fmt.Errorf("unknown type %q", text)
}
