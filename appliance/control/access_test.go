package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stranger is a user and a group that the tests' processes do not have.
const stranger = 4200

func TestAccess(t *testing.T) {
	someone, nobody := caller{true, stranger, stranger + 1, 1}, caller{}
	users := func(ids ...int) Accounts { return Accounts{Users: ids} }
	groups := func(ids ...int) Accounts { return Accounts{Groups: ids} }
	for _, tt := range []struct {
		name        string
		access      Access
		from        caller
		self        bool
		read, write bool
	}{
		{"no lists", Access{}, someone, false, true, true},
		{"no lists, unknown", Access{}, nobody, false, true, true},
		{"a writer", Access{Write: users(1, stranger)}, someone, false, true, true},
		{"a writer by group", Access{Write: groups(stranger + 1)}, someone, false, true, true},
		{"not a writer", Access{Write: users(1)}, someone, false, true, false},
		{"a uid is no gid", Access{Write: groups(stranger)}, someone, false, true, false},
		{"a reader", Access{Read: users(stranger)}, someone, false, true, false},
		{"a reader by group", Access{Read: groups(stranger + 1), Write: users(1)}, someone, false, true, false},
		{"neither", Access{Read: users(1), Write: users(2)}, someone, false, false, false},
		{"writers may read", Access{Read: users(1), Write: users(stranger)}, someone, false, true, true},
		{"root", Access{Read: users(1)}, caller{true, 0, 0, 1}, false, true, true},
		{"ourselves", Access{Read: users(1)}, someone, true, true, true},
		{"unknown", Access{Write: users(1)}, nobody, false, false, false},
	} {
		if got := tt.access.allows(tt.from, tt.self, false); got != tt.read {
			t.Errorf("%s: may read: %v", tt.name, got)
		}
		if got := tt.access.allows(tt.from, tt.self, true); got != tt.write {
			t.Errorf("%s: may write: %v", tt.name, got)
		}
	}
}

// TestGroupsOfAUser: root is in a group of its own on every machine, whatever group its process has.
func TestGroupsOfAUser(t *testing.T) {
	if list := (caller{true, 0, stranger, 1}).groups(); len(list) < 2 || list[0] != stranger || list[1] != 0 {
		t.Errorf("groups %v", list)
	}
}

// TestStrangers: another user's process asks over the socket, before and after Access is changed. It takes root to have one.
func TestStrangers(t *testing.T) {
	if path := os.Getenv("CONTROL_TEST_SOCKET"); path != "" {
		askAsStranger(path)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: no other user to be")
	}
	folder, err := os.MkdirTemp("/tmp", "control") // where others may go
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "control.sock")
	s, err := Listen(path, File{UID: -1, GID: stranger, Mode: 0o660})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if owner := info.Sys().(*syscall.Stat_t); err != nil || owner.Uid != 0 || owner.Gid != stranger || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, pattern := range []string{"GET /v1/look", "POST /v1/do"} {
		s.Handle(pattern, func(context.Context, *Request) (any, error) { return "done", nil })
	}
	log := new(book)
	s.Serve(slog.New(slog.NewTextHandler(log, nil)))
	defer s.Close()
	for _, tt := range []struct {
		access Access
		want   string
	}{
		{Access{}, "ok ok"},
		{Access{Write: Accounts{Groups: []int{stranger}}}, "ok ok"},
		{Access{Read: Accounts{Users: []int{stranger}}}, "ok 403"},
		{Access{Read: Accounts{Users: []int{1}}}, "403 403"},
	} {
		s.Allow(tt.access)
		child := exec.Command(os.Args[0], "-test.run", "^TestStrangers$")
		child.Env = append(os.Environ(), "CONTROL_TEST_SOCKET="+path)
		out, err := child.CombinedOutput()
		if got, _, _ := strings.Cut(string(out), "\n"); err != nil || got != tt.want {
			t.Errorf("%+v: %v\n%s\nwant %s", tt.access, err, out, tt.want)
		}
	}
	if got := s.Counters.Denied.Load(); got != 3 || s.Counters.Requests.Load() != 5 {
		t.Errorf("%d denied, %d not", got, s.Counters.Requests.Load())
	}
	if n := strings.Count(log.String(), `msg="control: denied"`); n != 1 || !strings.Contains(log.String(), "uid "+strconv.Itoa(stranger)) {
		t.Errorf("%d lines about 3 at once, want 1:\n%s", n, log.String())
	}
}

// askAsStranger becomes somebody else, and prints how it is received.
func askAsStranger(path string) {
	for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(stranger), syscall.Setuid(stranger)} {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	c := NewClient(path)
	var words []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		command := map[string]string{http.MethodGet: "/v1/look", http.MethodPost: "/v1/do"}[method]
		err := c.Do(context.Background(), method, command, nil, new(string))
		var refusal *Error
		switch {
		case err == nil:
			words = append(words, "ok")
		case errors.As(err, &refusal):
			words = append(words, strconv.Itoa(refusal.Status))
		default:
			words = append(words, err.Error())
		}
	}
	fmt.Println(strings.Join(words, " "))
	c.Close()
	os.Exit(0)
}

func TestPace(t *testing.T) {
	var p Pace
	at := time.Unix(1000, 0)
	var got []string
	for _, after := range []time.Duration{0, 1, 2, LinesEvery - 1, LinesEvery, LinesEvery + 1, 3 * LinesEvery} {
		if n, line := p.Tell(at.Add(after)); line {
			got = append(got, fmt.Sprint(after, " ", n))
		}
	}
	if want := "[0s 0 10s 3 30s 1]"; fmt.Sprint(got) != want {
		t.Errorf("lines %v, want %s", got, want)
	}
}
