package blocks

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"secure-dns-proxy/worker/admission"
)

// Finding is somebody who is over a threshold of a rule.
type Finding struct {
	Rule   *Rule
	Prefix netip.Prefix // of the source; invalid: it is a name
	Name   string       // wire form
	Value  float64      // what was measured
	Warn   bool         // only Rule.Warn was reached
	Public bool         // Name is a public suffix: under it are many owners, and it is not to be blocked
}

// judge applies the rules to rates over time. It has no clock.
type judge struct {
	cfg     Config
	exempts []string // cfg.ExemptNames in wire form
	windows []time.Duration
	sources tracks[admission.Source]
	names   tracks[string]
}

func newJudge(cfg Config) *judge {
	j := &judge{cfg: cfg, windows: cfg.Windows(), sources: tracks[admission.Source]{}, names: tracks[string]{}}
	for _, text := range cfg.ExemptNames {
		if name, err := Wire(text); err == nil { // the configuration has checked it
			j.exempts = append(j.exempts, name)
		}
	}
	return j
}

// look takes in a period of so long and returns everybody who is over a threshold now, the worst first.
func (j *judge) look(s *Second, passed time.Duration) []Finding {
	j.sources.learn(s.sources, j.windows, passed)
	j.names.learn(s.names, j.windows, passed)
	var found []Finding
	for i := range j.cfg.Rules {
		r := &j.cfg.Rules[i]
		if r.Names {
			found = append(found, j.lookAtNames(r)...)
		} else {
			found = append(found, j.lookAtSources(r, s.types)...)
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(b.Value/b.Rule.Threshold, a.Value/a.Rule.Threshold) })
	return found
}

// over decides about one measured value.
func (r *Rule) over(value float64) (found, warn bool) {
	switch {
	case value >= r.Threshold:
		return true, false
	case r.Warn != 0 && value >= r.Warn:
		return true, true
	}
	return false, false
}

func (j *judge) lookAtSources(r *Rule, types []uint16) []Finding {
	window := slices.Index(j.windows, r.Window)
	var found []Finding
	for source, t := range j.sources {
		value, known := t.over[window].measure(r, types)
		over, warn := r.over(value)
		if !known || !over {
			continue
		}
		prefix := j.prefix(source)
		if !slices.ContainsFunc(j.cfg.Exempt, func(p netip.Prefix) bool { return p.Overlaps(prefix) }) {
			found = append(found, Finding{Rule: r, Prefix: prefix, Value: value, Warn: warn})
		}
	}
	return found
}

// prefix is a source as it is blocked.
func (j *judge) prefix(s admission.Source) netip.Prefix {
	bits := j.cfg.IPv4Bits
	if s.V6 {
		bits = j.cfg.IPv6Bits
	}
	return netip.PrefixFrom(s.Prefix().Addr(), bits)
}

func (j *judge) lookAtNames(r *Rule) []Finding {
	window := slices.Index(j.windows, r.Window)
	var found []Finding
	for name, t := range j.names {
		value, known := t.over[window].measure(r, nil)
		if over, warn := r.over(value); known && over && !j.exempt(name) {
			found = append(found, Finding{Rule: r, Name: name, Value: value, Warn: warn})
		}
	}
	return blame(found)
}

// exempt reports whether a name, in wire form, is never blocked.
func (j *judge) exempt(name string) bool {
	return slices.ContainsFunc(j.exempts, func(zone string) bool { return name == zone || isBelow(name, zone) })
}

// blame leaves out names whose rate is mostly that of one name below them, and marks public suffixes.
func blame(found []Finding) []Finding {
	var out []Finding
	for _, f := range found {
		if slices.ContainsFunc(found, func(deep Finding) bool { return isBelow(deep.Name, f.Name) && deep.Value >= sameZone*f.Value }) {
			continue
		}
		text := strings.TrimSuffix(Text(f.Name), ".")
		suffix, _ := publicsuffix.PublicSuffix(text)
		f.Public = suffix == text
		out = append(out, f)
	}
	return out
}

// isBelow reports whether name is a proper descendant of zone; both in wire form.
func isBelow(name, zone string) bool {
	if len(name) <= len(zone) || !strings.HasSuffix(name, zone) {
		return false
	}
	at, end := 0, len(name)-len(zone)
	for at < end {
		at += 1 + int(name[at])
	}
	return at == end
}

// Wire returns a name as people write it in wire form, lower case.
func Wire(text string) (string, error) {
	var buf [255]byte
	n, err := dns.PackDomainName(strings.ToLower(dns.Fqdn(text)), buf[:], 0, nil, false)
	if err != nil || text == "" {
		return "", fmt.Errorf("%q is not a name", text)
	}
	return string(buf[:n]), nil
}

// Text is a name in wire form as people write it.
func Text(name string) string {
	text, _, err := dns.UnpackDomainName([]byte(name), 0)
	if err != nil {
		return "?" // names here were checked when they were parsed
	}
	return text
}
