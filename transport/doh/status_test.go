package doh

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/pool"
)

// TestJudge: what each status means for its query (RFC 8484 §4.2.1), and whether the operator has to know.
func TestJudge(t *testing.T) {
	const protocol, full = transport.FaultProtocol, transport.FaultFull
	for _, test := range []struct {
		status  int
		section string
		outcome pool.Outcome
		fault   transport.Fault
		wrong   bool
	}{
		{204, "RFC 9110 §15.3.5", pool.Declined, protocol, true},
		{206, "RFC 9110 §15.3.7", pool.Declined, protocol, true},
		{301, "RFC 9110 §15.4.2", pool.Declined, protocol, true},
		{302, "RFC 9110 §15.4.3", pool.Declined, protocol, true},
		{304, "RFC 9110 §15.4.5", pool.Declined, protocol, true},
		{307, "RFC 9110 §15.4.8", pool.Declined, protocol, true},
		{308, "RFC 9110 §15.4.9", pool.Declined, protocol, true},
		{400, "RFC 9110 §15.5.1", pool.Declined, protocol, false},
		{401, "RFC 9110 §15.5.2", pool.Declined, protocol, true},
		{403, "RFC 9110 §15.5.4", pool.Declined, protocol, true},
		{404, "RFC 9110 §15.5.5", pool.Declined, protocol, true},
		{405, "RFC 9110 §15.5.6", pool.Declined, protocol, true},
		{406, "RFC 9110 §15.5.7", pool.Declined, protocol, true},
		{408, "RFC 9110 §15.5.9", pool.Closing, 0, false},
		{410, "RFC 9110 §15.5.11", pool.Declined, protocol, true},
		{413, "RFC 9110 §15.5.14", pool.Declined, protocol, false},
		{414, "RFC 9110 §15.5.15", pool.Declined, protocol, false},
		{415, "RFC 9110 §15.5.16", pool.Declined, protocol, true},
		{421, "RFC 9110 §15.5.20", pool.Closing, 0, true},
		{425, "RFC 8470 §5.2", pool.Refused, 0, false},
		{429, "RFC 6585 §4", pool.Declined, full, false},
		{431, "RFC 6585 §5", pool.Declined, protocol, false},
		{451, "RFC 7725 §3", pool.Declined, protocol, true},
		{500, "RFC 9110 §15.6.1", pool.Declined, protocol, false},
		{502, "RFC 9110 §15.6.3", pool.Declined, protocol, false},
		{503, "RFC 9110 §15.6.4", pool.Declined, full, false},
		{504, "RFC 9110 §15.6.5", pool.Declined, protocol, false},
		{999, "RFC 9110 §15", pool.Declined, protocol, false},
	} {
		v := judge(test.status)
		if v.result.Outcome != test.outcome || v.result.Fault != test.fault || v.wrong != test.wrong {
			t.Errorf("%d (%s): %+v; want outcome %d, fault %v, wrong %v", test.status, test.section, v, test.outcome, test.fault, test.wrong)
		}
	}
}

// TestReset2: RFC 9113 §7. TestReset3 is its like for HTTP/3.
func TestReset2(t *testing.T) {
	for code, want := range map[http2.ErrCode]pool.Result{
		http2.ErrCodeNo:                 declined(transport.FaultProtocol),
		http2.ErrCodeProtocol:           declined(transport.FaultProtocol),
		http2.ErrCodeInternal:           declined(transport.FaultProtocol),
		http2.ErrCodeFlowControl:        declined(transport.FaultProtocol),
		http2.ErrCodeRefusedStream:      {Outcome: pool.Refused},
		http2.ErrCodeCancel:             declined(transport.FaultProtocol),
		http2.ErrCodeEnhanceYourCalm:    declined(transport.FaultFull),
		http2.ErrCodeInadequateSecurity: declined(transport.FaultProtocol),
		http2.ErrCodeHTTP11Required:     declined(transport.FaultProtocol),
	} {
		if got := reset2(code); got.Outcome != want.Outcome || got.Fault != want.Fault {
			t.Errorf("%v: %+v, want %+v", code, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":     0,
		"0":    0,
		"7":    7 * time.Second,
		"3600": retryAfterMax,
		"soon": 0,
		now.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second,
		now.Add(time.Hour).Format(http.TimeFormat):       retryAfterMax,
		now.Add(-time.Hour).Format(http.TimeFormat):      0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("Retry-After: %s: %v, want %v", value, got, want)
		}
	}
}

// TestStatusIsReportedOnce has a server with another mind for each query: the operator is told what is wrong with the URL once, and once
// more when it is something else or has been right in between.
func TestStatusIsReportedOnce(t *testing.T) {
	lanetest.NoLeaks(t)
	var status atomic.Int32
	_, e, health := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch s := int(status.Load()); s {
		case 200:
			honest(w, r)
		case 0:
			_, _ = w.Write([]byte("<html>"))
		default:
			w.Header().Set("Location", "https://elsewhere.example/dns-query")
			w.WriteHeader(s)
		}
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	var want []string
	for _, step := range []struct {
		status int32
		told   string // "" = nothing new
	}{
		{404, "404 Not Found"},
		{404, ""},
		{404, ""},
		{302, `302 Found: redirects are not followed, this one leads to "https://elsewhere.example/dns-query"`},
		{302, ""},
		{200, ""},
		{302, "302 Found"},
		{400, ""},
		{500, ""},
		{0, "content type"},
		{0, ""},
		{403, "403 Forbidden"},
	} {
		status.Store(step.status)
		if r := w.Ask("example.", plenty); (r.Fault == transport.FaultNone) != (step.status == 200) {
			t.Errorf("status %d: fault %v", step.status, r.Fault)
		}
		if step.told != "" {
			want = append(want, step.told)
		}
	}
	got := health.Downs()
	if len(got) != len(want) {
		t.Fatalf("reports: %v\nwant %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i].Error(), want[i]) || !strings.Contains(got[i].Error(), e.Name) {
			t.Errorf("report %d: %v, want %s and the upstream", i, got[i], want[i])
		}
	}
	counted := w.Lane.Stats().HTTPStatus
	if want := [transport.HTTPClasses]uint64{2: 3, 3: 3, 4: 5, 5: 1}; counted != want {
		t.Errorf("responses by class %v, want %v", counted, want)
	}
}

// TestRFC9110Section10_2_3 has a server ask for a pause: it is not asked during it, queries fail at once so that the worker goes
// elsewhere, and the operator is told once.
func TestRFC9110Section10_2_3(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			lanetest.NoLeaks(t)
			var asked atomic.Int32
			_, e, health := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(status)
					return
				}
				honest(w, r)
			})
			w := lanetest.Open(t, e, Run, transport.LaneLimits{})
			begin := time.Now()
			refused := 0
			lanetest.Eventually(t, "an answer after the pause", func() bool {
				r := w.Ask("example.", plenty)
				if r.Fault == transport.FaultFull {
					refused++
				}
				return r.Fault == transport.FaultNone
			})
			if since := time.Since(begin); since < time.Second || asked.Load() != 2 || refused < 2 {
				t.Errorf("answer after %v, %d requests, %d queries refused; want 1 s or more, 2 requests, several refused", since, asked.Load(), refused)
			}
			if downs := health.Downs(); len(downs) != 1 || !strings.Contains(downs[0].Error(), "asks for a pause, kept for 1s") {
				t.Errorf("reports %v, want one about the pause", downs)
			}
		})
	}
}

// TestRFC9110Section15_5_15 has a server that takes no long URLs: the query is sent again as the body of a POST.
func TestRFC9110Section15_5_15(t *testing.T) {
	for _, status := range []int{http.StatusRequestURITooLong, http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge} {
		lanetest.NoLeaks(t)
		var methods atomic.Value
		methods.Store("")
		_, e, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
			methods.Store(methods.Load().(string) + r.Method + " ")
			if r.Method == http.MethodGet {
				w.WriteHeader(status)
				return
			}
			honest(w, r)
		})
		e.Get = true
		w := lanetest.Open(t, e, Run, transport.LaneLimits{})
		if r := w.Ask("example.", plenty); r.Fault != transport.FaultNone || methods.Load() != "GET POST " {
			t.Errorf("%d: fault %v after %s; want an answer after GET POST", status, r.Fault, methods.Load())
		}
	}
}

// TestRFC8484Section5_1 has answers that were in a cache, or may not stay in one for long: their TTLs are lowered by as much.
func TestRFC8484Section5_1(t *testing.T) {
	lanetest.NoLeaks(t)
	var header atomic.Value
	header.Store(http.Header{})
	_, e, _ := start(t, nil, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range header.Load().(http.Header) {
			w.Header()[name] = values
		}
		honest(w, r)
	})
	w := lanetest.Open(t, e, Run, transport.LaneLimits{})
	for _, test := range []struct {
		header http.Header
		want   uint32 // of 300
	}{
		{http.Header{}, 300},
		{http.Header{"Age": {"40"}}, 260},
		{http.Header{"Age": {"400"}}, 0},
		{http.Header{"Cache-Control": {"max-age=300"}}, 300},
		{http.Header{"Cache-Control": {"max-age=120"}}, 120},
		{http.Header{"Cache-Control": {"max-age=300"}, "Age": {"250"}}, 50},
		{http.Header{"Cache-Control": {"no-store"}}, 0},
	} {
		header.Store(test.header)
		r := w.Ask("example.", plenty)
		if r.Fault != transport.FaultNone || r.Msg.Answer[0].Header().Ttl != test.want {
			t.Errorf("%v: fault %v, answer %v; want TTL %d", test.header, r.Fault, r.Msg, test.want)
		}
	}
}

// TestReset3: RFC 9114 §8.1, by a server that resets streams.
func TestReset3(t *testing.T) {
	for code, want := range map[http3.ErrCode]transport.Fault{
		http3.ErrCodeRequestRejected: transport.FaultClosed, // sent again on another connection, and again rejected
		http3.ErrCodeExcessiveLoad:   transport.FaultFull,
		http3.ErrCodeInternalError:   transport.FaultProtocol,
		http3.ErrCodeRequestCanceled: transport.FaultProtocol,
		http3.ErrCodeVersionFallback: transport.FaultProtocol, // with http3 = "only" there is nothing to fall back to
	} {
		t.Run(code.String(), func(t *testing.T) {
			lanetest.NoLeaks(t)
			s := start3(t, func(w http.ResponseWriter, _ *http.Request) {
				stream, err := w.(http3.HTTPStreamer).HTTPStream()
				if err != nil {
					t.Error(err)
					return
				}
				stream.CancelRead(quicCode(code))
				stream.CancelWrite(quicCode(code))
			})
			w := lanetest.Open(t, s.end, Run, transport.LaneLimits{})
			if r := w.Ask("example.", plenty); r.Fault != want {
				t.Errorf("fault %v, want %v", r.Fault, want)
			}
		})
	}
}
