package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// codesMax bounds a list of types, classes, codes.
const codesMax = 256

// classCodes, opcodeCodes: names that IANA has registered.
var (
	classCodes  = map[string]uint16{"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
	opcodeCodes = map[string]uint16{"QUERY": 0, "IQUERY": 1, "STATUS": 2, "NOTIFY": 4, "UPDATE": 5, "DSO": 6}
	rcodeCodes  = func() map[string]uint16 {
		out := map[string]uint16{}
		for name, n := range dns.StringToRcode {
			out[name] = uint16(n)
		}
		delete(out, "BADSIG")
		return out
	}()
	optionCodes = map[string]uint16{
		"NSID": 3, "DAU": 5, "DHU": 6, "N3U": 7, "ECS": 8, "EXPIRE": 9, "COOKIE": 10, "KEEPALIVE": 11, "PADDING": 12, "CHAIN": 13, "KEY-TAG": 14, "EDE": 15,
	}
	edeCodes = func() map[string]uint16 {
		out := map[string]uint16{}
		for n, name := range dns.ExtendedErrorCodeToString {
			out[strings.ReplaceAll(strings.ToUpper(name), " ", "-")] = n
		}
		return out
	}()
)

// code reads a name or a number up to most. A name may also be other and a number, such as "TYPE65".
func (c *checker) code(v value, names map[string]uint16, other string, most int64) (uint16, bool) {
	s, isText := v.data.(string)
	if !isText {
		n, ok := c.integer(v, 0, most)
		return uint16(n), ok
	}
	upper := strings.ToUpper(s)
	if n, known := names[upper]; known {
		return n, true
	}
	if digits, ok := strings.CutPrefix(upper, other); ok && other != "" {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && int64(n) <= most {
			return uint16(n), true
		}
	}
	var known []string
	for name := range names {
		known = append(known, name)
	}
	slices.Sort(known)
	if meant, close := near(upper, known); close {
		c.fault(v, "%q is not known; the nearest that is is %q", s, meant)
	} else {
		c.fault(v, "%q is not known; a number from 0 to %d will do as well", s, most)
	}
	return 0, false
}

// span reads a range: a number, "3-5", "3-" or "-5".
func (c *checker) span(v value, most int64) (low, high uint32) {
	if s, isText := v.data.(string); isText {
		from, to, wide := strings.Cut(s, "-")
		if from == "" {
			from = "0"
		}
		if to == "" {
			to = fmt.Sprint(most)
		}
		a, errA := strconv.ParseUint(from, 10, 32)
		b, errB := strconv.ParseUint(to, 10, 32)
		if !wide || errA != nil || errB != nil || a > b || int64(b) > most {
			c.fault(v, `%q is no range within 0 and %d: write a number, "3-5", "3-" or "-5"`, s, most)
		}
		return uint32(a), uint32(b)
	}
	if n, isInt := v.data.(int64); !isInt {
		c.fault(v, `must be a number or a range such as "3-5", "3-" or "-5", not %s`, v.kind())
	} else if n < 0 || n > most {
		c.fault(v, "%d is out of range (0 to %d)", n, most)
	} else {
		return uint32(n), uint32(n)
	}
	return 0, 0
}

// number reads an integer or a float.
func (c *checker) number(v value, low, high float64) float64 {
	var n float64
	switch data := v.data.(type) {
	case int64:
		n = float64(data)
	case float64:
		n = data
	default:
		c.fault(v, "must be a number, not %s", v.kind())
		return low
	}
	if !(n >= low && n <= high) {
		c.fault(v, "%v is out of range (%v to %v)", v.data, low, high)
	}
	return n
}
