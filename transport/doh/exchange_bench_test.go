package doh

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
)

// exchanges returns our own part of an exchange by POST or GET, without the HTTP library and the network: run asks once.
func exchanges(tb testing.TB, get bool) (run func()) {
	authority := lanetest.NewAuthority(tb)
	e := lanetest.Endpoint(transport.HTTPS, netip.MustParseAddrPort("127.0.0.1:9"), authority.Client(lanetest.ServerName), nil)
	e.Get = get
	lane, err := transport.NewLane(e, func() {}, transport.LaneLimits{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { lane.Close(context.Background()) })
	o, err := newOrigin(lane)
	if err != nil {
		tb.Fatal(err)
	}
	query := lanetest.Query("www.example.")
	answer := lanetest.Answer(query)
	body := bytes.NewReader(answer)
	response := &http.Response{
		StatusCode: http.StatusOK, ContentLength: int64(len(answer)), Body: io.NopCloser(body),
		Header: http.Header{"Content-Type": {mediaType}, "Cache-Control": {"max-age=300"}, "Content-Length": {strconv.Itoa(len(answer))}},
	}
	trip := func(*http.Request) (*http.Response, error) {
		body.Reset(answer)
		return response, nil
	}
	ctx, buf := context.Background(), make([]byte, 0, 2048)
	return func() {
		if result, _, err := o.exchange(ctx, query, buf, trip); err != nil || len(result.Answer) != len(answer) {
			tb.Fatalf("%+v, %v", result, err)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, get := range []bool{false, true} {
		b.Run(map[bool]string{false: "POST", true: "GET"}[get], func(b *testing.B) {
			run := exchanges(b, get)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
