package doh

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/pool"
)

const mediaType = "application/dns-message" // RFC 8484 §6

// protocol makes connections.
type protocol struct {
	end      *transport.Endpoint
	template *http.Request // what all requests have in common; shared and never modified
	settings *http.Transport
}

// Run drives a lane to an https endpoint until ctx ends. On return every goroutine and descriptor it had is gone and every query it
// took has a reply.
func Run(ctx context.Context, lane *transport.Lane) {
	pool.Run(ctx, lane, newProtocol(lane.Endpoint()))
}

func newProtocol(end *transport.Endpoint) *protocol {
	p := &protocol{end: end, template: template(end)}
	p.settings = &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: headerBytesMax,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			// Notices a connection that died while nobody used it; one with queries outstanding is pool's to notice.
			SendPingTimeout:  end.IdleTimeout / 2,
			PingTimeout:      end.DeadAfter,
			WriteByteTimeout: end.DeadAfter,
		},
	}
	p.settings.Protocols.SetHTTP2(true)
	return p
}

// template returns the request without its body.
func template(end *transport.Endpoint) *http.Request {
	host := end.Host
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		host = "[" + host + "]"
	}
	if end.Port != 443 {
		host += ":" + strconv.Itoa(int(end.Port))
	}
	path, query, _ := strings.Cut(end.Path, "?")
	return &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: "https", Host: host, Path: path, RawQuery: query},
		Host:   host,
		Header: http.Header{"Content-Type": {mediaType}, "Accept": {mediaType}, "User-Agent": {""}}, // "" keeps net/http from sending one
		Proto:  "HTTP/2.0", ProtoMajor: 2,
	}
}

// Dial connects to address and makes an HTTP/2 connection of it.
func (p *protocol) Dial(ctx context.Context, address netip.AddrPort) (pool.Conn, error) {
	c := &conn{template: p.template, ended: make(chan struct{})}
	settings := p.settings.Clone()
	settings.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		stream, err := transport.DialStream(ctx, p.end, address, "h2", true)
		if err != nil {
			return nil, err
		}
		c.stream = stream.(*tls.Conn)
		return stream, nil
	}
	client, err := settings.NewClientConn(ctx, "https", net.JoinHostPort(p.end.Host, strconv.Itoa(int(p.end.Port))))
	if err != nil {
		return nil, fmt.Errorf("http/2: %w", err)
	}
	c.client = client
	client.SetStateHook(c.changed)
	return c, nil
}

// Close has nothing to do: each connection is its own.
func (p *protocol) Close() {}
