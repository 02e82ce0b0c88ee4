package doh

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// freshness returns what the header of a response says about its use in seconds (RFC 8484 §5.1): age is how long it was in caches, which
// the TTLs do not know of, and lifetime is for how long from now it may be used at most.
//
// Cache-Control comes before Expires, and s-maxage before max-age, for this cache serves many (RFC 9111 §4.2.1). What is unreadable
// makes the response stale. Neither "private" nor the lack of a freshness lifetime keeps an answer out of a DNS cache: the TTLs decide.
func freshness(header http.Header, now time.Time) (age, lifetime uint32) {
	age, _ = seconds(header.Get("Age"))
	shared, own := cacheControl(header["Cache-Control"])
	switch {
	case shared != unset:
		lifetime = shared
	case own != unset:
		lifetime = own
	case header["Expires"] != nil:
		lifetime = expires(header, now)
	default:
		return age, math.MaxUint32
	}
	return age, lifetime - min(lifetime, age)
}

const unset = math.MaxUint32

// cacheControl returns the freshness lifetimes that the field's values give to shared caches and to all, in seconds; unset if they do not.
func cacheControl(values []string) (shared, own uint32) {
	shared, own = unset, unset
	for _, value := range values {
		for value != "" {
			var directive string
			directive, value = cutList(value)
			name, argument, given := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "no-store":
				return 0, 0
			case "no-cache":
				if !given { // with an argument it is about single fields of the header
					return 0, 0
				}
			case "s-maxage":
				shared = min(shared, stale(argument))
			case "max-age":
				own = min(own, stale(argument))
			}
		}
	}
	return shared, own
}

// stale reads delta-seconds; what is unreadable counts as 0.
func stale(text string) uint32 {
	n, _ := seconds(strings.Trim(strings.TrimSpace(text), `"`))
	return n
}

// seconds reads delta-seconds (RFC 9111 §1.2.2). A number that is too large counts as 2^31.
func seconds(text string) (uint32, bool) {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 1 << 31, true
	}
	return uint32(n), true
}

// expires returns the lifetime by Expires and Date (RFC 9111 §5.3).
func expires(header http.Header, now time.Time) uint32 {
	end, err := http.ParseTime(header.Get("Expires"))
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return uint32(min(max(end.Sub(now)/time.Second, 0), 1<<31))
}

// cutList returns the first element of a comma-separated list and the rest. Commas in quoted strings do not count (RFC 9110 §5.6).
func cutList(list string) (first, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}
