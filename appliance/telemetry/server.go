package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/net/netutil"

	"secure-dns-proxy/appliance/control"
	"secure-dns-proxy/worker/policy/acl"
)

// Server serves /metrics over HTTP until Close.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan struct{}
	log      *slog.Logger
	access   atomic.Pointer[acl.List] // nil: everybody
	denied   atomic.Uint64
	denials  control.Pace
}

// Listen binds the address; nothing is answered before Serve. Port 0 lets the kernel choose.
func Listen(addr netip.AddrPort) (*Server, error) {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Server{listener: l}, nil
}

// Addr is the bound address.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Serve starts to answer scrapes of set.
func (s *Server) Serve(set *metrics.Set, log *slog.Logger) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		set.WritePrometheus(w)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/metrics", http.StatusFound) })
	s.http = &http.Server{
		Handler: mux, MaxHeaderBytes: headerBytesMax,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.log = log
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.http.Serve(netutil.LimitListener(gate{s.listener, s}, httpConnsMax)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served", "address", s.Addr(), "error", err)
		}
	}()
}

// Close stops at once; a scrape under way is cut.
func (s *Server) Close() error {
	if s.http == nil {
		return s.listener.Close()
	}
	err := s.http.Close()
	<-s.done
	return err
}
