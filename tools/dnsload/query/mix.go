package query

import (
	"fmt"
	"strconv"
	"strings"
)

// Mix is how queries differ besides the name. Shares are 0..1 of all queries.
type Mix struct {
	EDNS, DO, Case float64
	// Fresh is the share that ask for a name of the pattern that this corpus asks once: misses, however much a server has cached.
	Fresh   float64
	UDPSize uint16      // announced in the OPT record, 512..65535
	Types   []TypeShare // empty: all ask for A; a list's own types come first
}

// TypeShare is one type and its weight, above 0, against the other weights.
type TypeShare struct {
	Type   uint16
	Weight float64
}

// ParseTypes reads a mix such as "A=80,AAAA=20"; a type without a weight has 1.
func ParseTypes(text string) ([]TypeShare, error) {
	var types []TypeShare
	for field := range strings.SplitSeq(text, ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(field), "=")
		qtype, err := ParseType(name)
		if err != nil {
			return nil, err
		}
		share := TypeShare{Type: qtype, Weight: 1}
		if weighted {
			if share.Weight, err = strconv.ParseFloat(weight, 64); err != nil || !(share.Weight > 0) {
				return nil, fmt.Errorf("%q: want a weight above 0", field)
			}
		}
		types = append(types, share)
	}
	if len(types) > TypesMax {
		return nil, fmt.Errorf("%d types, at most %d", len(types), TypesMax)
	}
	return types, nil
}

// threshold of a 16-bit random number that is below it in the given share of cases; 1<<16 means always.
func threshold(share float64) uint32 { return uint32(share*(1<<16) + 0.5) }

func (m *Mix) validate() error {
	for _, s := range []struct {
		name  string
		share float64
	}{{"EDNS", m.EDNS}, {"DO", m.DO}, {"0x20 case", m.Case}, {"fresh names", m.Fresh}} {
		if !(s.share >= 0 && s.share <= 1) {
			return fmt.Errorf("share of %s is %v, want 0 to 1", s.name, s.share)
		}
	}
	if m.DO > m.EDNS {
		return fmt.Errorf("share of DO %v is above the share of EDNS %v that carries it", m.DO, m.EDNS)
	}
	if m.EDNS > 0 && m.UDPSize < 512 {
		return fmt.Errorf("EDNS size %d, want at least 512 (RFC 6891 §6.2.3)", m.UDPSize)
	}
	return nil
}
