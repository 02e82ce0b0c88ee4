// Package doh drives lanes over DNS over HTTPS (RFC 8484), with HTTP/2 or HTTP/3 (RFC 9114): each query, with message id 0, is a request on
// a stream of its own, the body of a POST or the variable of a GET's URI template. HTTP/1.1 is refused: it cannot carry outstanding
// queries side by side.
//
//	doh.go race.go             which version a connection has; probe.go, alternative.go: whether HTTP/3 works (Alt-Svc, RFC 7838)
//	http2.go http3.go          a connection of each, and what its errors mean for a query
//	origin.go                  one exchange, the same over both: request, response, answer
//	status.go fresh.go         what a status means (RFC 9110 §15), how long an answer is good (RFC 8484 §5.1, RFC 9111 §4.2)
//
// The host of the URL goes into the request and the certificate check only; connections go to the endpoint's addresses, and nothing
// here asks the system's resolver or its proxy settings. Redirects are not followed, cookies not kept, no User-Agent sent. Choice of
// connection, back-off, deadlines and limits are transport/pool's. An answer's TTLs are lowered by its Age, and to its freshness lifetime.
//
// A status that is about the upstream as it is configured (redirect, 401, 404, ...) is reported once with Lane.Down, until there is a good
// answer again; a pause asked for with Retry-After is kept, up to a limit, per lane.
package doh
