package doh

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFreshness: RFC 8484 §5.1 and the sections of RFC 9111 that it leads to.
func TestFreshness(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		name, header  string // lines
		age, lifetime uint32
	}{
		{"nothing said: the TTLs decide", "", 0, unset},
		{"RFC 9111 §5.1: Age", "Age: 30", 30, unset},
		{"RFC 9111 §5.1: Age that is no number is ignored", "Age: -1", 0, unset},
		{"RFC 9111 §1.2.2: Age beyond 2^31", "Age: 99999999999999999999", 1 << 31, unset},
		{"RFC 9111 §5.2.2.1: max-age", "Cache-Control: max-age=60", 0, 60},
		{"RFC 9111 §4.2.3: less its age", "Cache-Control: max-age=60\nAge: 20", 20, 40},
		{"RFC 9111 §4.2.4: stale", "Cache-Control: max-age=60\nAge: 70", 70, 0},
		{"RFC 9111 §5.2.2.10: s-maxage before max-age", "Cache-Control: max-age=60, s-maxage=10", 0, 10},
		{"RFC 9111 §5.2.2.10: also when it is longer", "Cache-Control: s-maxage=100, max-age=60", 0, 100},
		{"RFC 9111 §5.2.2.5: no-store", "Cache-Control: max-age=60, no-store", 0, 0},
		{"RFC 9111 §5.2.2.4: no-cache", "Cache-Control: No-Cache", 0, 0},
		{"RFC 9111 §5.2.2.4: no-cache of one field", `Cache-Control: no-cache="Set-Cookie, max-age=5", max-age=60`, 0, 60},
		{"RFC 9111 §5.2.2.7: private is no matter of DNS", "Cache-Control: private, max-age=118", 0, 118},
		{"RFC 9111 §5.2: unknown directives", "Cache-Control: must-revalidate,, max-age=60 ,x=\"a\\\",b\"", 0, 60},
		{"RFC 9111 §5.2: a quoted number", `Cache-Control: max-age="60"`, 0, 60},
		{"RFC 9111 §4.2.1: unreadable is stale", "Cache-Control: max-age=soon", 0, 0},
		{"RFC 9111 §4.2.1: twice: the lesser", "Cache-Control: max-age=60\nCache-Control: max-age=30", 0, 30},
		{"RFC 9111 §5.3: Expires", "Expires: " + at(time.Minute), 0, 60},
		{"RFC 9111 §5.3: by the server's clock", "Expires: " + at(time.Hour) + "\nDate: " + at(time.Hour-time.Minute), 0, 60},
		{"RFC 9111 §5.3: Expires that is no date is in the past", "Expires: 0", 0, 0},
		{"RFC 9111 §5.3: in the past", "Expires: " + at(-time.Minute), 0, 0},
		{"RFC 9111 §5.3: Cache-Control comes first", "Expires: 0\nCache-Control: max-age=60", 0, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			for line := range strings.Lines(test.header) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				header.Add(name, value)
			}
			if age, lifetime := freshness(header, now); age != test.age || lifetime != test.lifetime {
				t.Errorf("age %d, lifetime %d; want %d, %d", age, lifetime, test.age, test.lifetime)
			}
		})
	}
}

// FuzzHeaders: whatever a server writes, nothing panics, and the numbers stay in their ranges.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{`max-age=60, no-cache="a,b"`, `h3=":443"; ma=86400, h3-29=":443"`, "clear", `"\"`, "99999999999999999999", "Fri, 02 Jan 2026 03:04:05 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		header := http.Header{"Age": {value}, "Cache-Control": {value}, "Expires": {value}, "Date": {value}, "Retry-After": {value}}
		if age, lifetime := freshness(header, now); age > 1<<31 || lifetime != unset && lifetime > 1<<31 {
			t.Errorf("age %d, lifetime %d", age, lifetime)
		}
		if pause := retryAfter(header, now); pause < 0 || pause > retryAfterMax {
			t.Errorf("pause %v", pause)
		}
		if port, age, ok := parseAltSvc(value, "dns.example"); ok && (port == 0 || age < 0 || age > altSvcAgeMax) {
			t.Errorf("port %d, age %v", port, age)
		}
		isMessage(header)
	})
}
