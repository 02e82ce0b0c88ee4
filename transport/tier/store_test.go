package tier

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/tier/tiertest"
)

// patience is how long anything may take that has to come to pass in the end.
const patience = time.Minute

func redisConfig(addresses ...string) Config {
	return Config{Kind: Redis, Addresses: addresses, Prefix: "sdp", Timeout: time.Second, MessageBytesMax: 1024, FillBytes: FillBytesMin}
}

// instance is one worker of one instance, played by the test, with its store.
type instance struct {
	t     testing.TB
	store *Store
	line  *Line
	wake  chan struct{}
	next  uint32
}

func newInstance(t testing.TB, cfg Config) *instance {
	t.Helper()
	i := &instance{t: t, wake: make(chan struct{}, 1)}
	store, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	i.store = store
	if i.line, err = NewLine(func() {
		select {
		case i.wake <- struct{}{}:
		default:
		}
	}, store.Limits()); err != nil {
		t.Fatal(err)
	}
	store.Serve(i.line)
	t.Cleanup(func() {
		if err := i.line.Close(context.Background()); err != nil {
			t.Error(err)
		}
		store.Close()
	})
	return i
}

// receive waits for a reply.
func (i *instance) receive() Reply {
	i.t.Helper()
	for deadline := time.After(patience); ; {
		if r, ok := i.line.Receive(); ok {
			r.Msg = bytes.Clone(r.Msg)
			return r
		}
		select {
		case <-i.wake:
		case <-deadline:
			i.t.Fatal("no reply")
		}
	}
}

// ask asks once and waits for the reply.
func (i *instance) ask(pool string, key []byte) Reply {
	i.t.Helper()
	i.next++
	if !i.line.Ask(i.next, i.next, transport.Now()+patience, pool, key) {
		i.t.Fatal("not asked")
	}
	i.line.Flush()
	r := i.receive()
	if r.Slot != i.next || r.Gen != i.next {
		i.t.Fatalf("reply to %d, want %d", r.Slot, i.next)
	}
	return r
}

// connected waits until questions are answered.
func (i *instance) connected() {
	i.t.Helper()
	i.eventually("questions are answered", func() bool { return i.ask("default", []byte("\x00\x00\x01\x00\x01\x00")).Fault == transport.FaultNone })
}

func (i *instance) eventually(what string, done func() bool) {
	i.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.t.Fatalf("not in %v: %s; last failure: %s", patience, what, i.store.Reason())
		}
	}
}

// fill stores an answer and waits until the server has it, or has not taken it.
func (i *instance) fill(pool string, key, msg []byte) {
	i.t.Helper()
	before := i.store.Stats()
	if !fill(i.line, transport.Now(), pool, key, answerOf(i.t, msg)) {
		i.t.Fatal("fill not taken")
	}
	i.line.Flush()
	i.eventually("the answer is stored or not", func() bool {
		s := i.store.Stats()
		return s.Stored+s.SetErrors > before.Stored+before.SetErrors
	})
}

// checkShared: what one instance stores, another finds.
func checkShared(t *testing.T, cfg Config) {
	t.Helper()
	a, b := newInstance(t, cfg), newInstance(t, cfg)
	a.connected()
	b.connected()
	if r := b.ask("default", testKey); r.Fault != transport.FaultNone || len(r.Msg) != 0 {
		t.Fatalf("before it is stored: %+v, want nothing found", r)
	}
	a.fill("default", testKey, response(t, 600))
	r := b.ask("default", testKey)
	if r.Fault != transport.FaultNone || len(r.Msg) == 0 {
		t.Fatalf("reply %+v, want the answer; last failure: %s", r, b.store.Reason())
	}
	if got := answerOf(t, r.Msg); got.TTL == 0 || got.TTL > 600 || got.AN != 1 {
		t.Errorf("answer with TTL %d and %d records", got.TTL, got.AN)
	}
	if r := b.ask("corp", testKey); len(r.Msg) != 0 {
		t.Error("another pool got the answer")
	}
	if s := a.store.Stats(); s.SetErrors != 0 {
		t.Errorf("figures %+v; last failure: %s", s, a.store.Reason())
	}
}

func TestRedisIsShared(t *testing.T) {
	lanetest.NoLeaks(t)
	checkShared(t, redisConfig(tiertest.Redis(t).Addr))
}

func TestMemcachedIsShared(t *testing.T) {
	lanetest.NoLeaks(t)
	one, two := tiertest.Memcached(t), tiertest.Memcached(t)
	cfg := redisConfig(one.Addr, two.Addr)
	cfg.Kind = Memcached
	checkShared(t, cfg)
}

func TestClusterIsShared(t *testing.T) {
	nodes := tiertest.Cluster(t)
	cfg := redisConfig(nodes[0].Addr)
	cfg.Mode = Cluster
	checkShared(t, cfg)

	// Names are spread over the nodes, whoever is asked.
	i := newInstance(t, cfg)
	i.connected()
	for n := range 60 {
		i.fill("pool-"+strconv.Itoa(n), testKey, response(t, 600))
	}
	for _, node := range nodes {
		if size := node.CLI("dbsize"); size == "0" {
			t.Errorf("node %s holds nothing", node.Addr)
		}
	}
	for n := range 60 {
		if r := i.ask("pool-"+strconv.Itoa(n), testKey); len(r.Msg) == 0 {
			t.Errorf("pool %d: %+v, want the answer", n, r)
		}
	}
}

func TestSentinelIsShared(t *testing.T) {
	master, replica, sentinel := tiertest.Sentinel(t)
	cfg := redisConfig(sentinel.Addr)
	cfg.Mode, cfg.Master = Sentinel, tiertest.MasterName
	checkFailover(t, cfg, master, replica)
}

// Servers and sentinels have users and passwords of their own: what proxy.toml.example says that a user needs is enough, over a failover too, and
// what is wrong with them is told, without the passwords.
func TestSentinelWithPasswords(t *testing.T) {
	master, replica, sentinel := tiertest.GuardedSentinel(t)
	cfg := redisConfig(sentinel.Addr)
	cfg.Mode, cfg.Master = Sentinel, tiertest.MasterName
	cfg.Username, cfg.Password = tiertest.ProxyUser, tiertest.ProxyPassword
	cfg.SentinelUsername, cfg.SentinelPassword = tiertest.WatcherUser, tiertest.WatcherPassword
	for what, edit := range map[string]func(*Config){
		"sentinels: wrong password":      func(c *Config) { c.SentinelPassword = "let-me-out" },
		"sentinels: no password":         func(c *Config) { c.SentinelUsername, c.SentinelPassword = "", "" },
		"sentinels: that of the servers": func(c *Config) { c.SentinelUsername, c.SentinelPassword = c.Username, c.Password },
		"servers: that of the sentinels": func(c *Config) { c.Username, c.Password = c.SentinelUsername, c.SentinelPassword },
		"servers: no password":           func(c *Config) { c.Username, c.Password = "", "" },
		"servers: a password for nobody": func(c *Config) { c.Username = "" },
	} {
		t.Run(what, func(t *testing.T) {
			bad := cfg
			edit(&bad)
			i := newInstance(t, bad)
			i.eventually("a failure is told", func() bool { return i.store.Reason() != "" })
			if r := i.ask("default", testKey); r.Fault == transport.FaultNone {
				t.Errorf("reply %+v, want a fault", r)
			}
			for _, password := range []string{bad.Password, bad.SentinelPassword} {
				if password != "" && strings.Contains(i.store.Reason(), password) {
					t.Errorf("the reason holds the password: %s", i.store.Reason())
				}
			}
			t.Log(i.store.Reason())
		})
	}
	checkFailover(t, cfg, master, replica)
}

// checkFailover: instances share; when the master is gone they go on with the replica in its place.
func checkFailover(t *testing.T, cfg Config, master, replica *tiertest.Server) {
	t.Helper()
	checkShared(t, cfg)

	i := newInstance(t, cfg)
	i.connected()
	i.fill("default", testKey, response(t, 600))
	i.eventually("the replica has the answer", func() bool { return replica.CLI("dbsize") != "0" })
	master.Kill()
	i.eventually("the new master is asked", func() bool { return len(i.ask("default", testKey).Msg) != 0 })
	i.eventually("the new master takes answers", func() bool {
		before := i.store.Stats().Stored
		i.fill("other", testKey, response(t, 600))
		return i.store.Stats().Stored > before
	})
}

// files writes a certificate, its key and the authority's certificate as PEM.
func files(t *testing.T, a *lanetest.Authority, name string) (cert, key, ca string, pool *x509.CertPool, pair tls.Certificate) {
	t.Helper()
	server := a.Server(name, time.Hour)
	pair = server.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := a.Certificate()
	pool = x509.NewCertPool()
	pool.AddCert(root)
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", der), write("ca.pem", "CERTIFICATE", root.Raw), pool, pair
}

func TestRedisOverTLSWithPassword(t *testing.T) {
	const name = "redis.example"
	cert, key, ca, pool, _ := files(t, lanetest.NewAuthority(t), name)
	users := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(users, []byte("user default off\nuser proxy on >let-me-in ~sdp:* -@all +getrange +set +ping +hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := tiertest.RedisTLS(t, cert, key, ca, "--tls-auth-clients", "no", "--aclfile", users)
	cfg := redisConfig(server.Addr)
	cfg.TLS = &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}
	cfg.Username, cfg.Password = "proxy", "let-me-in"
	checkShared(t, cfg)

	for what, edit := range map[string]func(*Config){
		"wrong password":    func(c *Config) { c.Password = "let-me-out" },
		"no password":       func(c *Config) { c.Username, c.Password = "", "" },
		"another name":      func(c *Config) { c.TLS = &tls.Config{RootCAs: pool, ServerName: "other.example"} },
		"unknown authority": func(c *Config) { c.TLS = &tls.Config{ServerName: name} },
		"no TLS":            func(c *Config) { c.TLS = nil },
	} {
		t.Run(what, func(t *testing.T) {
			bad := cfg
			edit(&bad)
			i := newInstance(t, bad)
			i.eventually("a failure is told", func() bool { return i.store.Reason() != "" })
			if r := i.ask("default", testKey); r.Fault == transport.FaultNone {
				t.Errorf("reply %+v, want a fault", r)
			}
			if bad.Password != "" && strings.Contains(i.store.Reason(), bad.Password) {
				t.Errorf("the reason holds the password: %s", i.store.Reason())
			}
			t.Log(i.store.Reason())
		})
	}
}

// Databases and prefixes keep instances apart that use one server.
func TestInstancesApart(t *testing.T) {
	server := tiertest.Redis(t)
	cfg := redisConfig(server.Addr)
	a := newInstance(t, cfg)
	a.connected()
	a.fill("default", testKey, response(t, 600))
	for what, edit := range map[string]func(*Config){"database": func(c *Config) { c.DB = 3 }, "prefix": func(c *Config) { c.Prefix = "test" }} {
		other := cfg
		edit(&other)
		b := newInstance(t, other)
		b.connected()
		if r := b.ask("default", testKey); len(r.Msg) != 0 {
			t.Errorf("another %s, and the answer is found", what)
		}
	}
}

// The server forgets an answer when its TTL is over, and an instance does not take it earlier either.
func TestStoredTTL(t *testing.T) {
	server := tiertest.Redis(t)
	i := newInstance(t, redisConfig(server.Addr))
	i.connected()
	i.fill("default", testKey, response(t, 600))
	name := nameOf("sdp", appendID(nil, "default", testKey))
	if ttl, err := strconv.Atoi(server.CLI("ttl", name)); err != nil || ttl < 1 || ttl > 600 {
		t.Errorf("the server keeps it for %d s, %v", ttl, err)
	}
	// An answer that came 590 s ago and waited: only what is left of it is told.
	late := answerOf(t, response(t, 600))
	if !fill(i.line, transport.Now()-590*time.Second, "old", testKey, late) {
		t.Fatal("not taken")
	}
	i.line.Flush()
	i.eventually("it is stored", func() bool { return i.store.Stats().Stored == 2 })
	if r := i.ask("old", testKey); len(r.Msg) != 0 {
		if got := answerOf(t, r.Msg).TTL; got > 10 {
			t.Errorf("TTL %d of an answer that is 590 of 600 s old", got)
		}
	} else if i.store.Stats().Expired == 0 {
		t.Error("not found, and not because it expired")
	}
}

// Whatever others store under our names is no answer and no failure.
func TestForeignValues(t *testing.T) {
	server := tiertest.Redis(t)
	i := newInstance(t, redisConfig(server.Addr))
	i.connected()
	name := nameOf("sdp", appendID(nil, "default", testKey))
	value := string(AppendValue(nil, time.Now().UnixMilli(), 600, appendID(nil, "default", testKey), response(t, 600)))
	for n, spoil := range []func(){
		func() { server.Set(name, "hello") },
		func() { server.CLI("setrange", name, "1048576", "far") },
		func() { server.Set(name, value[:len(value)-1]+"x") },
	} {
		spoil()
		if r := i.ask("default", testKey); r.Fault != transport.FaultNone || len(r.Msg) != 0 {
			t.Errorf("spoilt %d: reply %+v, want nothing found", n, r)
		}
		if got := i.store.Stats().Broken; got != uint64(n+1) {
			t.Errorf("spoilt %d: %d broken values counted", n, got)
		}
	}
	server.Set(name, value)
	if r := i.ask("default", testKey); len(r.Msg) == 0 {
		t.Error("the value that the others were made of is not found either")
	}
	server.CLI("del", name)
	server.CLI("lpush", name, "a list")
	if r := i.ask("default", testKey); r.Fault != transport.FaultNone || len(r.Msg) != 0 {
		t.Errorf("a list: reply %+v, want nothing found", r)
	}
	i.fill("default", testKey, response(t, 600)) // SET replaces it
	if r := i.ask("default", testKey); len(r.Msg) == 0 {
		t.Errorf("reply %+v, want the answer", r)
	}
}

// A server without memory refuses answers and still gives what it has.
func TestServerIsFull(t *testing.T) {
	server := tiertest.Redis(t, "--maxmemory-policy", "noeviction")
	i := newInstance(t, redisConfig(server.Addr))
	i.connected()
	i.fill("default", testKey, response(t, 600))
	server.CLI("config", "set", "maxmemory", "1")
	for n := range fillFailuresMax {
		i.fill("more-"+strconv.Itoa(n), testKey, response(t, 600))
	}
	if !i.store.Refuses() || !strings.Contains(i.store.Reason(), "OOM") {
		t.Errorf("refuses: %t, because of %q", i.store.Refuses(), i.store.Reason())
	}
	if r := i.ask("default", testKey); len(r.Msg) == 0 {
		t.Errorf("reply %+v, want the answer", r)
	}
	server.CLI("config", "set", "maxmemory", "0")
	i.fill("again", testKey, response(t, 600))
	if i.store.Refuses() {
		t.Error("a fill was taken, and the store still says that none is")
	}
}

// A store without a server starts all the same, and connects when there is one; it connects again when the server was gone.
func TestServerComesAndGoes(t *testing.T) {
	lanetest.NoLeaks(t)
	server := tiertest.Redis(t)
	server.Kill()
	i := newInstance(t, redisConfig(server.Addr))
	if r := i.ask("default", testKey); r.Fault != transport.FaultDial {
		t.Errorf("without a server: %+v, want a dial fault", r)
	}
	server.Start()
	i.connected()
	i.fill("default", testKey, response(t, 600))
	server.Kill()
	i.eventually("questions fail", func() bool { return i.ask("default", testKey).Fault != transport.FaultNone })
	server.Start()
	i.connected()
	if s := i.store.Stats(); s.ConnectErrors == 0 || s.Connects != 1 || s.GetErrors == 0 {
		t.Errorf("figures %+v", s)
	}
}

// A server that hangs costs no more than the calls of one line and their answers: every question has its reply, nothing piles up, and what is asked when
// the server goes on is answered.
func TestServerHangs(t *testing.T) {
	lanetest.NoLeaks(t)
	server := tiertest.Redis(t)
	cfg := redisConfig(server.Addr)
	cfg.Timeout = 100 * time.Millisecond
	i := newInstance(t, cfg)
	i.connected()
	before := runtime.NumGoroutine()
	server.Pause()
	defer server.Resume()
	const rounds, each = 8, 300
	most := 0
	for round := range rounds {
		for n := range each {
			i.next++
			if !i.line.Ask(i.next, i.next, transport.Now()+50*time.Millisecond, fmt.Sprint("pool-", round, "-", n), testKey) {
				t.Fatal("not asked")
			}
		}
		i.line.Flush()
		for range each {
			if r := i.receive(); r.Fault == transport.FaultNone {
				t.Fatalf("reply %+v of a server that hangs", r)
			}
		}
		most = max(most, runtime.NumGoroutine()-before)
	}
	// The library keeps a goroutine for a call that was given up, until the connection is.
	if limit := rounds*each/askBatch + 40; most > limit {
		t.Errorf("%d goroutines more than before, want at most %d", most, limit)
	}
	server.Resume()
	i.connected()
}

func TestConfigIsValidated(t *testing.T) {
	good := redisConfig("127.0.0.1:1")
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*Config){
		"kind":                 func(c *Config) { c.Kind = 0 },
		"no address":           func(c *Config) { c.Addresses = nil },
		"two for one server":   func(c *Config) { c.Addresses = []string{"127.0.0.1:1", "127.0.0.1:2"} },
		"sentinel's master":    func(c *Config) { c.Mode = Sentinel },
		"master of one":        func(c *Config) { c.Master = "x" },
		"no sentinels' secret": func(c *Config) { c.SentinelPassword = "x" },
		"memcached cluster":    func(c *Config) { c.Kind, c.Mode = Memcached, Cluster },
		"memcached password":   func(c *Config) { c.Kind, c.Password = Memcached, "x" },
		"database of cluster":  func(c *Config) { c.Mode, c.DB = Cluster, 1 },
		"prefix with a space":  func(c *Config) { c.Prefix = "a b" },
		"prefix that is long":  func(c *Config) { c.Prefix = strings.Repeat("x", PrefixBytesMax+1) },
		"timeout of no length": func(c *Config) { c.Timeout = 0 },
	} {
		c := good
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
