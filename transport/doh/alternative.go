package doh

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// alternative is what a lane knows about HTTP/3 at its upstream. Until the server says something else by Alt-Svc (RFC 7838), it is looked
// for at the port of the URL (RFC 9114 §3.1). It has no clock: now is a time since Base. The zero value with standard set is ready.
type alternative struct {
	standard uint16        // the port of the URL
	port     uint16        // that Alt-Svc names; 0: none
	until    time.Duration // port is good until then
	denied   bool          // Alt-Svc says that there is none

	works     bool
	rest      time.Duration // after the last failure; 0: none since it was last proven
	restUntil time.Duration
}

// target returns the port to try; false if it is not to be tried now.
func (a *alternative) target(now time.Duration) (port uint16, ok bool) {
	if a.denied || now < a.restUntil {
		return 0, false
	}
	return a.known(now), true
}

// known returns the port to try, whether or not it may be tried now.
func (a *alternative) known(now time.Duration) uint16 {
	if a.port != 0 && now < a.until {
		return a.port
	}
	return a.standard
}

// failed notes that HTTP/3 could not be used, and how long it rests; false if it was resting already.
func (a *alternative) failed(now time.Duration) bool {
	a.works = false
	if now < a.restUntil {
		return false
	}
	a.rest = min(max(2*a.rest, restMin), restMax)
	a.restUntil = now + a.rest
	return true
}

// left notes that the server closes its connections in good order: the next one is over HTTP/2, for a server that shuts down may take
// new connections over HTTP/3 only to close them too. That is no failure.
func (a *alternative) left(now time.Duration) {
	a.works = false
	a.restUntil = max(a.restUntil, now+restLeft)
}

// learn takes in an Alt-Svc field of the server at host. It replaces what earlier ones said (RFC 7838 §3).
func (a *alternative) learn(field, host string, now time.Duration) {
	port, age, ok := parseAltSvc(field, host)
	a.denied = !ok
	if !ok {
		a.works, a.port = false, 0
		return
	}
	if port != a.known(now) {
		a.rest, a.restUntil = 0, 0 // what failed was somewhere else
	}
	a.port, a.until = port, now+age
}

// parseAltSvc returns the port of the first alternative for HTTP/3 on host itself, and for how long it is good (RFC 7838 §3). An alternative
// on another host is passed over: its addresses are not known here.
func parseAltSvc(field, host string) (port uint16, age time.Duration, ok bool) {
	for field != "" {
		var value string
		value, field = cutList(field)
		service, parameters, _ := strings.Cut(value, ";")
		id, authority, _ := strings.Cut(strings.TrimSpace(service), "=")
		if id != "h3" {
			continue
		}
		name, number, err := net.SplitHostPort(strings.Trim(strings.TrimSpace(authority), `"`))
		if err != nil || name != "" && !strings.EqualFold(strings.TrimSuffix(name, "."), host) {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			continue
		}
		return uint16(n), altSvcAge(parameters), true
	}
	return 0, 0, false
}

// altSvcAge returns the parameter "ma".
func altSvcAge(parameters string) time.Duration {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "ma") {
			if n, ok := seconds(strings.Trim(value, `"`)); ok {
				return min(time.Duration(n)*time.Second, altSvcAgeMax)
			}
		}
	}
	return altSvcAgeDefault
}
