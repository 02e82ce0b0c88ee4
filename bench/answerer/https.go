package answerer

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
)

const mediaType = "application/dns-message"

// serveHTTPS serves /dns-query (RFC 8484) over HTTP/2 and HTTP/1.1 until Close.
func (s *Server) serveHTTPS(l net.Listener, certificate tls.Certificate) {
	mux := http.NewServeMux()
	mux.HandleFunc("/dns-query", s.handle)
	s.web = &http.Server{
		Handler: mux, IdleTimeout: idleTimeout, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, DynamicRecordSizingDisabled: true},
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
	}
	go func() {
		// Its error says that the listener was closed, or that the process has bigger problems: the run then fails with
		// answers that do not come.
		_ = s.web.ServeTLS(l, "", "")
	}()
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	query, err := readQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, ok := appendAnswer(make([]byte, 0, len(query)+answerBytesMax), query)
	if !ok {
		http.Error(w, "not a query", http.StatusBadRequest)
		return
	}
	s.https.Add(1)
	w.Header().Set("Content-Type", mediaType)
	// A client that has gone needs no answer.
	_, _ = w.Write(answer)
}

func readQuery(r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet {
		return base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
	}
	return io.ReadAll(io.LimitReader(r.Body, queryBytesMax))
}
