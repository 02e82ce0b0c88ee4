package doh

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
	"secure-dns-proxy/transport/wire"
)

const mediaType = "application/dns-message" // RFC 8484 §6

// origin is the server of a lane as HTTP sees it: what all connections to it share.
type origin struct {
	lane     *transport.Lane
	end      *transport.Endpoint
	resource transport.Resource
	host     string
	target   *url.URL    // of requests by POST: this and the headers are shared and never modified
	post     http.Header // of requests by POST, and by GET
	get      http.Header

	complaint   atomic.Int32 // the status of the last report; 0 after a good answer
	pausedUntil atomic.Int64 // since Base; 0: never paused
}

func newOrigin(lane *transport.Lane) (*origin, error) {
	o, err := originOf(lane.Endpoint())
	if err != nil {
		return nil, err
	}
	o.lane = lane
	return o, nil
}

// originOf returns one without a lane, for requests and their bodies only.
func originOf(end *transport.Endpoint) (*origin, error) {
	resource, err := transport.ParseResource(end.Path)
	if err != nil {
		return nil, err
	}
	host := end.Host
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		host = "[" + host + "]"
	}
	if end.Port != 443 {
		host += ":" + strconv.Itoa(int(end.Port))
	}
	accept, agent := []string{mediaType}, []string{""} // "" keeps net/http and http3 from sending a User-Agent
	o := &origin{
		end: end, resource: resource, host: host,
		post: http.Header{"Content-Type": {mediaType}, "Accept": accept, "User-Agent": agent},
		get:  http.Header{"Accept": accept, "User-Agent": agent},
	}
	o.target = o.url(resource.Post)
	return o, nil
}

// request returns a request for message, with id 0, by POST or GET (RFC 8484 §4.1).
func (o *origin) request(ctx context.Context, message []byte, get bool) *http.Request {
	r := http.Request{Method: http.MethodPost, Host: o.host, Header: o.post, URL: o.target, Proto: "HTTP/2.0", ProtoMajor: 2}
	if get {
		var encoded [(transport.QueryBytesMax*4 + 2) / 3]byte
		n := base64.RawURLEncoding.EncodedLen(len(message))
		base64.RawURLEncoding.Encode(encoded[:n], message)
		r.Method, r.Header, r.URL = http.MethodGet, o.get, o.url(o.resource.Get(encoded[:n]))
	} else {
		b := new(body)
		r.Body, r.ContentLength = b, int64(len(message))
		b.Reset(append(b.room[:0], message...))
	}
	return r.WithContext(ctx)
}

// url returns the URL of a request target. Opaque is sent as it is: nothing is escaped twice, and nothing is parsed for each query.
func (o *origin) url(target string) *url.URL {
	return &url.URL{Scheme: "https", Host: o.host, Opaque: target}
}

// body is the body of a POST, in one allocation if it fits. It has the message in a copy of its own: the libraries may read on after the
// round trip, when the caller's is for the next query.
type body struct {
	bytes.Reader
	room [bodyBytes]byte
}

// Close does nothing.
func (b *body) Close() error { return nil }

// exchange asks for message by roundTrip, which belongs to one connection. An error is the connection's to explain; header is of the
// response, if there was one.
func (o *origin) exchange(
	ctx context.Context, message, buf []byte, roundTrip func(*http.Request) (*http.Response, error),
) (result pool.Result, header http.Header, err error) {
	if o.paused() {
		return declined(transport.FaultFull), nil, nil
	}
	response, err := roundTrip(o.request(ctx, message, o.end.Get))
	if err == nil && o.end.Get && tooLong(response.StatusCode) {
		o.count(response.StatusCode)
		response.Body.Close()
		response, err = roundTrip(o.request(ctx, message, false))
	}
	if err != nil {
		return pool.Result{}, nil, err
	}
	defer response.Body.Close() // resets the stream if it has not ended
	o.count(response.StatusCode)
	if response.StatusCode != http.StatusOK || !isMessage(response.Header) {
		return o.refuse(response), response.Header, nil
	}
	if response.ContentLength > transport.MessageBytesMax {
		return declined(transport.FaultProtocol), response.Header, nil
	}
	buf, err = readBody(response, buf)
	if errors.Is(err, errTooLong) {
		return declined(transport.FaultProtocol), response.Header, nil
	}
	if err != nil {
		return pool.Result{}, response.Header, err
	}
	if o.complaint.Load() != 0 {
		o.complaint.Store(0)
	}
	age, lifetime := freshness(response.Header, time.Now())
	if (age != 0 || lifetime != math.MaxUint32) && !wire.AgeTTLs(buf, age, lifetime) {
		return declined(transport.FaultProtocol), response.Header, nil
	}
	return pool.Result{Outcome: pool.Answered, Answer: buf}, response.Header, nil
}

// tooLong reports whether a server would rather have a query as a body.
func tooLong(status int) bool {
	return status == http.StatusRequestURITooLong || status == http.StatusRequestEntityTooLarge || status == http.StatusRequestHeaderFieldsTooLarge
}

// count counts a response by the class of its status.
func (o *origin) count(status int) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	o.lane.Counters().HTTPStatus[class].Add(1)
}

var errTooLong = errors.New("body longer than a DNS message")

// readBody appends the body to buf, up to the largest message.
func readBody(response *http.Response, buf []byte) ([]byte, error) {
	buf = slices.Grow(buf[:0], max(int(response.ContentLength), 0)+1) // one more, to see the end without growing
	for {
		if len(buf) > transport.MessageBytesMax {
			return nil, errTooLong
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, readChunk)
		}
		n, err := response.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF && len(buf) <= transport.MessageBytesMax {
			return buf, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
}
