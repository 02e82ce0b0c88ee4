package control

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// book collects the log.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve runs a server with a few commands and returns a client of it.
func serve(t *testing.T) (*Server, *Client, *book) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	s, err := Listen(path, Own())
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("GET /v1/echo", func(_ context.Context, r *Request) (any, error) { return r.Query("word"), nil })
	s.Handle("POST /v1/add", func(_ context.Context, r *Request) (any, error) {
		var sum struct{ A, B int }
		if err := r.Decode(&sum); err != nil {
			return nil, err
		}
		if sum.B < 0 {
			return nil, errors.New("our own fault")
		}
		return sum.A + sum.B, nil
	})
	log := new(book)
	s.Serve(slog.New(slog.NewTextHandler(log, nil)))
	c := NewClient(path)
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return s, c, log
}

func TestCommands(t *testing.T) {
	s, c, log := serve(t)
	ctx := context.Background()
	var word string
	if err := c.Do(ctx, "GET", "/v1/echo?word=hello", nil, &word); err != nil || word != "hello" {
		t.Errorf("got %q, %v", word, err)
	}
	if log.String() != "" {
		t.Errorf("a question was logged: %s", log)
	}
	var sum int
	if err := c.Do(ctx, "POST", "/v1/add", map[string]int{"A": 2, "B": 3}, &sum); err != nil || sum != 5 {
		t.Errorf("got %d, %v", sum, err)
	}
	want := `level=INFO msg="control: command" command="POST /v1/add" from="uid ` + strconv.Itoa(os.Getuid()) + `, gid ` + strconv.Itoa(os.Getgid()) +
		`, pid ` + strconv.Itoa(os.Getpid()) + `" arguments="{\"A\":2,\"B\":3}"`
	if !strings.Contains(log.String(), want) {
		t.Errorf("log:\n%swant %s", log, want)
	}
	for _, test := range []struct {
		name, method, path string
		arguments          any
		status             int
		text               string
	}{
		{"no such command", "GET", "/v1/none", nil, 404, "GET /v1/none: no such command"},
		{"wrong method", "GET", "/v1/add", nil, 404, "GET /v1/add: no such command"},
		{"no arguments", "POST", "/v1/add", nil, 400, "the command takes a JSON object"},
		{"unknown argument", "POST", "/v1/add", map[string]int{"C": 1}, 400, `arguments: json: unknown field "C"`},
		{"wrong type", "POST", "/v1/add", []int{1}, 400, "arguments: json: cannot unmarshal array into Go value of type struct { A int; B int }"},
		{"too long", "POST", "/v1/add", strings.Repeat("x", BodyBytesMax), 413, "arguments of more than 1048576 bytes"},
		{"our fault", "POST", "/v1/add", map[string]int{"B": -1}, 500, "our own fault"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var refusal *Error
			if err := c.Do(ctx, test.method, test.path, test.arguments, new(any)); !errors.As(err, &refusal) || refusal.Status != test.status || refusal.Text != test.text {
				t.Errorf("got %v, want %d %s", err, test.status, test.text)
			}
		})
	}
	if !strings.Contains(log.String(), `level=WARN msg="control: command refused" command="POST /v1/add"`) {
		t.Errorf("no refusal in the log:\n%s", log)
	}
	if got, refused := s.Counters.Requests.Load(), s.Counters.Refused.Load(); got != 9 || refused != 7 {
		t.Errorf("counted %d, refused %d; want 9 and 7", got, refused)
	}
}

// TestTwoJSONValues: what follows the arguments is not ignored.
func TestTwoJSONValues(t *testing.T) {
	_, c, _ := serve(t)
	response, err := c.http.Post("http://x/v1/add", "application/json", strings.NewReader(`{"A":1}{"B":2}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", response.StatusCode)
	}
}

func TestSocketMode(t *testing.T) {
	for _, mask := range []int{0, 0o77} {
		before := syscall.Umask(mask)
		path := filepath.Join(t.TempDir(), "control.sock")
		s, err := Listen(path, Own())
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o660 {
			t.Errorf("umask %o: mode %v, %v", mask, info.Mode(), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSocketInTheWay: what a dead process left is replaced, a live one and other files are errors and stay.
func TestSocketInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if _, err := Listen(path, Own()); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("live socket: %v", err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(path, Own())
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, Own()); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file was touched: %q, %v", text, err)
	}
	if _, err := Listen(filepath.Join(path, "below", "x.sock"), Own()); err == nil {
		t.Error("a folder that cannot be made: no error")
	}
}
