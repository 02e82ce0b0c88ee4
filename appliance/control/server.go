package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/net/netutil"
)

// Handler answers one kind of request. It runs on a goroutine of its own, several at a time; what it returns is written as JSON.
type Handler func(ctx context.Context, r *Request) (any, error)

// Counters are the figures of a Server. Any goroutine may read them.
type Counters struct {
	Requests, Refused atomic.Uint64 // Refused of them ended in an error
	Denied            atomic.Uint64 // more, of callers that may not ask or command
}

// Server answers on the socket until Close.
type Server struct {
	Counters Counters

	listener *net.UnixListener
	mux      *http.ServeMux
	http     *http.Server
	log      *slog.Logger
	done     chan struct{}
	access   atomic.Pointer[Access] // nil: whoever may connect
	denials  Pace
}

// Listen binds the socket; nothing is answered before Serve.
func Listen(path string, file File) (*Server, error) {
	l, err := listen(path, file)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Server{listener: l, mux: http.NewServeMux()}, nil
}

// Handle adds what is answered to a pattern "METHOD /v1/path" (net/http's ServeMux). Everything but GET is a command: it is logged. Call it
// before Serve.
func (s *Server) Handle(pattern string, h Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, h) })
}

// Serve starts to answer.
func (s *Server) Serve(log *slog.Logger) {
	s.log = log
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, unknown) })
	s.http = &http.Server{
		Handler: s.mux, MaxHeaderBytes: headerBytesMax,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: CommandTimeout + writeGrace, IdleTimeout: idleTimeout,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			from, _ := c.RemoteAddr().(caller)
			return context.WithValue(ctx, callerKey{}, from)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.http.Serve(netutil.LimitListener(callers{s.listener}, connsMax)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("commands are no longer taken", "socket", s.listener.Addr(), "error", err)
		}
	}()
}

func unknown(_ context.Context, r *Request) (any, error) {
	return nil, &Error{http.StatusNotFound, r.http.Method + " " + r.http.URL.Path + ": no such command"}
}

// Close stops at once and removes the socket; commands under way are cut.
func (s *Server) Close() error {
	if s.http == nil {
		return s.listener.Close()
	}
	err := s.http.Close()
	<-s.done
	return err
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, h Handler) {
	if !s.admit(w, r) {
		return
	}
	s.Counters.Requests.Add(1)
	ctx, cancel := context.WithTimeout(r.Context(), CommandTimeout)
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, BodyBytesMax))
	var result any
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		err = &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("arguments of more than %d bytes", BodyBytesMax)}
	} else if err != nil {
		err = Mistake("reading the arguments: %v", err)
	} else {
		result, err = h(ctx, &Request{r, body})
	}
	if r.Method != http.MethodGet {
		s.audit(r, body, err)
	}
	if err != nil {
		s.Counters.Refused.Add(1)
		status := http.StatusInternalServerError
		if known := new(Error); errors.As(err, &known) {
			status = known.Status
		}
		write(w, status, map[string]string{"error": err.Error()})
		return
	}
	write(w, http.StatusOK, result)
}

// audit is the line in the log about a command, carried out or not.
func (s *Server) audit(r *http.Request, body []byte, err error) {
	fields := []any{"command", r.Method + " " + r.URL.RequestURI(), "from", r.RemoteAddr}
	if len(body) > 0 {
		fields = append(fields, "arguments", strings.ToValidUTF8(string(body[:min(len(body), auditBytesMax)]), "?"))
	}
	if err != nil {
		s.log.Warn("control: command refused", append(fields, "error", err)...)
		return
	}
	s.log.Info("control: command", fields...)
}

func write(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"the answer is no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a caller that is gone wants no answer
}
