package tiertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is one process.
type Server struct {
	tb      testing.TB
	program string
	args    []string
	cli     []string // for redis-cli, beside host and port
	dir     string
	command *exec.Cmd
	ended   chan struct{}

	Port int
	Addr string // 127.0.0.1 and the port
}

const startTimeout = time.Minute

// Redis starts a server with more arguments of redis-server.
func Redis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return redis(tb, freePort(tb), nil, args...)
}

// RedisTLS starts a server that speaks TLS only, and wants a client certificate of the same authority. Files are PEM.
func RedisTLS(tb testing.TB, cert, key, ca string, args ...string) *Server {
	tb.Helper()
	port := freePort(tb)
	cli := []string{"--tls", "--cert", cert, "--key", key, "--cacert", ca}
	args = append([]string{"--port", "0", "--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca}, args...)
	return redis(tb, port, cli, args...)
}

// redis starts a server and waits until it answers.
func redis(tb testing.TB, port int, cli []string, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, program: find(tb, "redis-server"), cli: cli, dir: tb.TempDir(), Port: port}
	s.args = append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--enable-debug-command", "local",
		"--dir", s.dir, "--loglevel", "warning",
	}, args...)
	s.begin()
	return s
}

// Memcached starts a server with more arguments of memcached.
func Memcached(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, program: find(tb, "memcached"), dir: tb.TempDir(), Port: freePort(tb)}
	s.args = append([]string{"-l", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "0"}, args...)
	if os.Geteuid() == 0 {
		s.args = append(s.args, "-u", "nobody")
	}
	s.begin()
	return s
}

func find(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatalf("%v: run tools/install-test-packages.sh", err)
	}
	return path
}

// freePort returns a port that nobody listens on.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *Server) begin() {
	s.tb.Helper()
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
	s.Start()
	s.tb.Cleanup(s.Kill)
}

// Start starts the server, again if it has been stopped, and waits until it can be connected to.
func (s *Server) Start() {
	s.tb.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	s.command = exec.Command(s.program, s.args...)
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command, started, ended := s.command, make(chan error), make(chan struct{})
	s.ended = ended
	go func() {
		// Pdeathsig is sent when the thread ends that started the process, and workers of other tests end with their threads: this one is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			command.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		s.tb.Fatal(err)
	}
	s.await("it can be connected to", func() bool {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// await waits until done.
func (s *Server) await(what string, done func() bool) {
	s.tb.Helper()
	for deadline := time.Now().Add(startTimeout); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.tb.Fatalf("%s %v: not in %v: %s\n%s", s.program, s.args, startTimeout, what, log)
		}
	}
}

// Kill ends the server at once. One that has ended is no error.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in an orderly way.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(by syscall.Signal) {
	s.command.Process.Signal(syscall.SIGCONT)
	s.command.Process.Signal(by)
	<-s.ended
}

// Pause stops the process where it stands, and Resume lets it go on.
func (s *Server) Pause()  { s.command.Process.Signal(syscall.SIGSTOP) }
func (s *Server) Resume() { s.command.Process.Signal(syscall.SIGCONT) }

// CLI runs redis-cli and returns what it prints.
func (s *Server) CLI(args ...string) string {
	s.tb.Helper()
	out, err := s.tryCLI("", args...)
	if err != nil {
		s.tb.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return out
}

// Set stores any bytes under a name.
func (s *Server) Set(name, value string) {
	s.tb.Helper()
	if out, err := s.tryCLI(value, "-x", "set", name); err != nil || out != "OK" {
		s.tb.Fatalf("set %s: %v: %s", name, err, out)
	}
}

func (s *Server) tryCLI(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	all := append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(s.Port)}, s.cli...)
	command := exec.CommandContext(ctx, find(s.tb, "redis-cli"), append(all, args...)...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Cluster starts three masters and waits until they serve all slots.
func Cluster(tb testing.TB) []*Server {
	tb.Helper()
	var nodes []*Server
	create := []string{"--cluster", "create"}
	for range 3 {
		s := redis(tb, freePort(tb), nil, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(tb)), "--cluster-node-timeout", "2000")
		nodes = append(nodes, s)
		create = append(create, s.Addr)
	}
	nodes[0].CLI(append(create, "--cluster-yes")...)
	for _, s := range nodes {
		s.await("the cluster is ready", func() bool {
			return strings.Contains(s.CLI("cluster", "info"), "cluster_state:ok")
		})
	}
	return nodes
}

// MasterName is the one that sentinels know their master by.
const MasterName = "answers"

// Sentinel starts a master, a replica and one sentinel that watches them. None of them asks who one is.
func Sentinel(tb testing.TB) (master, replica, sentinel *Server) {
	tb.Helper()
	return watched(tb, nil, nil, "")
}

// What GuardedSentinel's servers and sentinel let in, beside an administrator: users and passwords.
const (
	ProxyUser, ProxyPassword     = "proxy", "let-me-in-please"
	WatcherUser, WatcherPassword = "watcher", "tell-me-please"
)

// GuardedSentinel is Sentinel with users: ProxyUser may do on the servers what proxy.toml.example says, with names that begin with sdp:, and WatcherUser on
// the sentinel.
func GuardedSentinel(tb testing.TB) (master, replica, sentinel *Server) {
	tb.Helper()
	const admin, password = "admin", "nobody-else"
	all := fmt.Sprintf("user default off\nuser %s on >%s ~* &* +@all\n", admin, password)
	users := filepath.Join(tb.TempDir(), "users.acl")
	text := all + fmt.Sprintf("user %s on >%s ~sdp:* -@all +getrange +set +ping +hello +role\n", ProxyUser, ProxyPassword)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return watched(tb, []string{"--user", admin, "--pass", password, "--no-auth-warning"},
		[]string{"--aclfile", users, "--masteruser", admin, "--masterauth", password},
		fmt.Sprintf("sentinel auth-user %s %s\nsentinel auth-pass %s %s\n", MasterName, admin, MasterName, password)+all+
			fmt.Sprintf("user %s on >%s -@all +sentinel +subscribe +psubscribe +ping +hello &*\n", WatcherUser, WatcherPassword))
}

// watched starts a master, a replica and a sentinel. cli is for redis-cli, args for the servers, config for the sentinel.
func watched(tb testing.TB, cli, args []string, config string) (master, replica, sentinel *Server) {
	tb.Helper()
	master = redis(tb, freePort(tb), cli, args...)
	replica = redis(tb, freePort(tb), cli, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(master.Port)}, args...)...)
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	port := freePort(tb)
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor %s 127.0.0.1 %d 1\nsentinel down-after-milliseconds %s 1000\nsentinel failover-timeout %s 5000\n%s",
		port, MasterName, master.Port, MasterName, MasterName, config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	sentinel = &Server{tb: tb, program: find(tb, "redis-server"), cli: cli, dir: tb.TempDir(), Port: port, args: []string{file, "--sentinel"}}
	sentinel.begin()
	sentinel.await("the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.CLI("sentinel", "replicas", MasterName), strconv.Itoa(replica.Port))
	})
	replica.await("the replica follows", func() bool {
		return strings.Contains(replica.CLI("info", "replication"), "master_link_status:up")
	})
	return master, replica, sentinel
}
