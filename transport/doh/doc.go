// Package doh drives lanes over DNS over HTTPS (RFC 8484): each query is the body of a POST on an HTTP/2 stream of its own, with
// message id 0. HTTP/1.1 is refused: it cannot carry outstanding queries side by side.
//
// The host of the URL goes into the request and the certificate check only; connections go to the endpoint's addresses, and nothing
// here asks the system's resolver or its proxy settings. Redirects are not followed. Choice of connection, back-off, deadlines and
// limits are transport/pool's. How long an answer may be cached (Age, Cache-Control, §5.1) is not looked at.
package doh
