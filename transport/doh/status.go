package doh

import (
	"fmt"
	"mime"
	"net/http"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

// verdict is what a response without an answer means.
type verdict struct {
	result pool.Result
	wrong  bool // the upstream, as it is configured, will not do: the operator has to know
}

func declined(fault transport.Fault) pool.Result {
	return pool.Result{Outcome: pool.Declined, Fault: fault}
}

// judge looks at the status of a response other than 200 (RFC 8484 §4.2.1, RFC 9110 §15). Redirects are not followed: they lead to another
// server than the operator chose.
func judge(status int) verdict {
	switch status {
	case http.StatusRequestTimeout: // RFC 9110 §15.5.9: may be sent again on a new connection
		return verdict{result: pool.Result{Outcome: pool.Closing}}
	case http.StatusMisdirectedRequest: // RFC 9110 §15.5.20: the same
		return verdict{result: pool.Result{Outcome: pool.Closing}, wrong: true}
	case http.StatusTooEarly: // RFC 8470 §5.2: not processed, may be sent again
		return verdict{result: pool.Result{Outcome: pool.Refused}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return verdict{result: declined(transport.FaultFull)}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return verdict{result: declined(transport.FaultProtocol)} // about this query
	}
	return verdict{result: declined(transport.FaultProtocol), wrong: status < 500}
}

// isMessage reports whether the body of a response with status 200 is a DNS message.
func isMessage(header http.Header) bool {
	value := header.Get("Content-Type")
	if value == mediaType {
		return true
	}
	kind, _, err := mime.ParseMediaType(value)
	return err == nil && kind == mediaType
}

// retryAfter returns the pause that a server asks for (RFC 9110 §10.2.3), up to retryAfterMax; 0: none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if n, ok := seconds(value); ok {
		return min(time.Duration(n)*time.Second, retryAfterMax)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), retryAfterMax)
	}
	return 0
}

// refuse turns a response without an answer into a result. Of what concerns the upstream as a whole it tells whoever watches, once until
// there is a good answer again.
func (o *origin) refuse(response *http.Response) pool.Result {
	if response.StatusCode == http.StatusOK {
		o.complain(response.StatusCode, fmt.Errorf("%s: response with content type %q, not %s: is the path right?",
			o.end.Name, response.Header.Get("Content-Type"), mediaType))
		return declined(transport.FaultProtocol)
	}
	v := judge(response.StatusCode)
	if v.result.Fault == transport.FaultFull {
		if pause := retryAfter(response.Header, time.Now()); pause > 0 {
			o.pause(response.StatusCode, pause)
		}
	}
	if v.wrong {
		why := "is the upstream's URL right?"
		if to := response.Header.Get("Location"); to != "" {
			why = fmt.Sprintf("redirects are not followed, this one leads to %.200q", to)
		}
		o.complain(response.StatusCode, fmt.Errorf("%s: HTTP status %s: %s", o.end.Name, statusText(response.StatusCode), why))
	}
	return v.result
}

func statusText(status int) string { return fmt.Sprintf("%d %s", status, http.StatusText(status)) }

// complain reports a reason that is about status, unless the last one was about the same.
func (o *origin) complain(status int, reason error) {
	if o.complaint.Swap(int32(status)) != int32(status) {
		o.lane.Down(reason)
	}
}

// pause keeps queries from the server for as long as it asked for.
func (o *origin) pause(status int, pause time.Duration) {
	now := transport.Now()
	until, next := o.pausedUntil.Load(), int64(now+pause)
	if next <= until || !o.pausedUntil.CompareAndSwap(until, next) {
		return
	}
	if until <= int64(now) { // not a pause made longer
		o.lane.Down(fmt.Errorf("%s: HTTP status %s: asks for a pause, kept for %v", o.end.Name, statusText(status), pause))
	}
}

// paused reports whether the server asked not to be asked now.
func (o *origin) paused() bool {
	until := o.pausedUntil.Load()
	return until != 0 && int64(transport.Now()) < until
}
