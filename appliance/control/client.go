package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Client talks to a Server. Several goroutines may use it.
type Client struct{ http *http.Client }

// NewClient returns a client of the socket; it connects with the first request.
func NewClient(path string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request, path with its parameters, with arguments (nil: none) as the body, and fills in result. What the server refused is an
// *Error with its words.
func (c *Client) Do(ctx context.Context, method, path string, arguments, result any) error {
	var body io.Reader
	if arguments != nil {
		text, err := json.Marshal(arguments)
		if err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://control"+path, body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer: %w", err)
	case len(text) > answerBytesMax:
		return fmt.Errorf("an answer of more than %d bytes", answerBytesMax)
	case response.StatusCode != http.StatusOK:
		var refusal struct{ Error string }
		if json.Unmarshal(text, &refusal) != nil || refusal.Error == "" {
			refusal.Error = response.Status
		}
		return &Error{response.StatusCode, refusal.Error}
	}
	return json.Unmarshal(text, result)
}
