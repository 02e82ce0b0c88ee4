package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Request is what a handler is asked.
type Request struct {
	http *http.Request
	body []byte
}

// Query returns a parameter of the URL, "" if there is none.
func (r *Request) Query(name string) string { return r.http.URL.Query().Get(name) }

// Decode fills in v from the body. A field that v does not have is an error: a command that is not understood as a whole must not be
// carried out in part.
func (r *Request) Decode(v any) error {
	if len(r.body) == 0 {
		return Mistake("the command takes a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Mistake("arguments: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Mistake("arguments: more than one JSON value")
	}
	return nil
}

// Error is a failure with its HTTP status. Other errors of handlers are answered 500.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// Mistake is an error of the caller's making.
func Mistake(format string, args ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}
