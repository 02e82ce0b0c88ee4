package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// passwordIn writes a file that holds a password.
func passwordIn(t *testing.T, text string) string {
	t.Helper()
	return writeSecrets(t, text, 0o600)
}

func TestRemoteCacheProblems(t *testing.T) {
	const redis = "[cache.remote]\nkind = \"redis\"\naddresses = \"192.0.2.1:6379\"\n"
	const memcached = "[cache.remote]\nkind = \"memcached\"\naddresses = \"192.0.2.1:11211\"\n"
	for _, tt := range []struct{ name, text, key, want string }{
		{"no server", "[cache.remote]\nkind = \"redis\"\n", "cache.remote.kind", "needs cache.remote.addresses"},
		{"unknown kind", "[cache.remote]\nkind = \"sql\"\n", "cache.remote.kind", "is not one of"},
		{"two for one", "[cache.remote]\nkind = \"redis\"\naddresses = [\"192.0.2.1:1\", \"192.0.2.2:1\"]\n", "cache.remote.addresses", "only one can be asked"},
		{"a server twice", "[cache.remote]\naddresses = [\"192.0.2.1:1\", \"192.0.2.1:1\"]\n", "cache.remote.addresses[1]", "listed twice"},
		{"a name", "[cache.remote]\naddresses = \"redis.example:6379\"\n", "cache.remote.addresses", "names are not allowed"},
		{"port 0", "[cache.remote]\naddresses = \"192.0.2.1:0\"\n", "cache.remote.addresses", "out of range"},
		{"no first cache", "cache.enabled = false\n" + strings.Replace(redis, "[cache.remote]\n", "", 1), "cache.remote.kind", "needs cache.enabled"},
		{"no master", redis + "mode = \"sentinel\"\n", "cache.remote.master_name", "need the name"},
		{"a master of nothing", redis + "master_name = \"x\"\n", "cache.remote.master_name", "nothing else has one"},
		{"cluster's database", redis + "mode = \"cluster\"\ndb = 1\n", "cache.remote.db", "only database 0"},
		{"two passwords", redis + "password = \"hush\"\npassword_file = \"" + passwordIn(t, "hush") + "\"\n", "cache.remote.password_file", "one of them"},
		{"user without password", redis + "username = \"x\"\n", "cache.remote.username", "needs a password"},
		{"two sentinel passwords", redis + "mode = \"sentinel\"\nmaster_name = \"x\"\nsentinel_password = \"hush\"\nsentinel_password_file = \"" + passwordIn(t, "hush") + "\"\n", "cache.remote.sentinel_password_file", "one of them"},
		{"sentinel user without password", redis + "mode = \"sentinel\"\nmaster_name = \"x\"\nsentinel_username = \"x\"\n", "cache.remote.sentinel_username", "needs a password"},
		{"password for no sentinels", redis + "sentinel_password = \"hush\"\n", "cache.remote.sentinel_password", "needs mode"},
		{"memcached's sentinels", memcached + "sentinel_password = \"hush\"\n", "cache.remote.sentinel_password", "no such thing"},
		{"no password file", redis + "password_file = \"/nonexistent\"\n", "cache.remote.password_file", "no such file"},
		{"empty password file", redis + "password_file = \"" + passwordIn(t, "\n") + "\"\n", "cache.remote.password_file", "is empty"},
		{"long password file", redis + "password_file = \"" + passwordIn(t, strings.Repeat("x", 5000)) + "\"\n", "cache.remote.password_file", "at most 4096"},
		{"memcached mode", memcached + "mode = \"cluster\"\n", "cache.remote.mode", "no such thing"},
		{"memcached password", memcached + "password = \"hush\"\n", "cache.remote.password", "no such thing"},
		{"memcached database", memcached + "db = 1\n", "cache.remote.db", "no such thing"},
		{"name without TLS", redis + "tls_name = \"x\"\n", "cache.remote.tls_name", "needs tls"},
		{"certificate without TLS", redis + "client_cert_file = \"x\"\n", "cache.remote.client_cert_file", "needs tls"},
		{"certificate without key", redis + "tls = true\nclient_cert_file = \"x\"\n", "cache.remote.client_cert_file", "client_key_file"},
		{"key without certificate", redis + "tls = true\nclient_key_file = \"x\"\n", "cache.remote.client_key_file", "client_cert_file"},
		{"no certificate", redis + "tls = true\nclient_cert_file = \"/nonexistent\"\nclient_key_file = \"/nonexistent\"\n", "cache.remote.client_cert_file", "no such file"},
		{"prefix", redis + "prefix = \"a b\"\n", "cache.remote.prefix", "without spaces"},
		{"budget", redis + "budget = \"1s\"\n", "cache.remote.budget", "out of range"},
		{"rests", redis + "breaker_rest = \"2m\"\n", "cache.remote.breaker_max_rest", "less than breaker_rest"},
		{"a key that there is not", redis + "adresses = \"x\"\n", "cache.remote.adresses", "cache.remote.addresses"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := good + tt.text
			if strings.HasPrefix(tt.text, "cache.enabled") {
				text = good + "[cache]\nenabled = false\n" + redis
			}
			checked, problems := checkText(text)
			if checked != nil || len(problems) != 1 {
				t.Fatalf("problems %v, want one error", problems)
			}
			if p := problems[0]; p.Key != tt.key || !strings.Contains(p.Text, tt.want) {
				t.Errorf("got %v, want %s: ...%s...", p, tt.key, tt.want)
			}
			if strings.Contains(fmt.Sprint(problems), "hush") {
				t.Errorf("the password is shown: %v", problems)
			}
		})
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	checked, problems := checkText(good + "[cache.remote]\nkind = \"redis\"\naddresses = \"192.0.2.1:1\"\npassword = \"hush\"\n")
	if checked == nil {
		t.Fatal(problems)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(format, checked.Cache), "hush") {
			t.Errorf("%s shows the password", format)
		}
	}
	if checked.Cache.Remote.Servers.Secret() != "hush" {
		t.Error("and it is lost")
	}
	file := passwordIn(t, "hush")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, problems = checkText(good + "cache.remote.password_file = \"" + file + "\"\n"); len(problems) != 1 || !problems[0].Warning {
		t.Errorf("a password that everybody may read: %v, want a warning", problems)
	}
}

// Whatever says where and how the servers are reached makes other servers; budget and breaker do not.
func TestSameServers(t *testing.T) {
	caFile, _ := testCA(t)
	read := func(more string) *Remote {
		t.Helper()
		checked, problems := checkText(good + "[cache.remote]\nkind = \"redis\"\naddresses = \"192.0.2.1:1\"\npassword = \"x\"\n" + more)
		if checked == nil {
			t.Fatal(problems)
		}
		return &checked.Cache.Remote
	}
	pair := testPair(t)
	base := read("")
	for more, same := range map[string]bool{
		"": true, "budget = \"9ms\"\nbreaker_percent = 9\nbreaker_rest = \"2s\"\n": true,
		"db = 1\n": false, "username = \"x\"\n": false, "tls = true\n": false, "prefix = \"x\"\n": false, "timeout = \"2s\"\n": false,
		"max_value = 512\n": false, "write_queue = \"64KiB\"\n": false, "mode = \"cluster\"\n": false, "mode = \"sentinel\"\nmaster_name = \"x\"\n": false,
	} {
		if got := base.SameServers(read(more)); got != same {
			t.Errorf("%q: same servers: %t, want %t", more, got, same)
		}
	}
	sentinels := read("mode = \"sentinel\"\nmaster_name = \"x\"\n")
	for _, more := range []string{"sentinel_password = \"x\"\n", "sentinel_password = \"x\"\nsentinel_username = \"y\"\n"} {
		if other := read("mode = \"sentinel\"\nmaster_name = \"x\"\n" + more); sentinels.SameServers(other) {
			t.Errorf("%q makes no difference", more)
		} else {
			sentinels = other
		}
	}
	overTLS := read("tls = true\n")
	for _, more := range []string{
		"ca_file = \"" + caFile + "\"\n", "tls_name = \"x\"\n", "client_cert_file = \"" + pair + "\"\nclient_key_file = \"" + pair + "\"\n",
	} {
		if overTLS.SameServers(read("tls = true\n" + more)) {
			t.Errorf("%q makes no difference", more)
		}
	}
	if other := read("tls = true\nca_file = \"" + caFile + "\"\n"); !other.SameServers(read("tls = true\nca_file = \"" + caFile + "\"\n")) {
		t.Error("the same file, read twice, makes other servers")
	}
	if moved, _ := checkText(good + "[cache.remote]\nkind = \"redis\"\naddresses = \"192.0.2.2:1\"\npassword = \"x\"\n"); base.SameServers(&moved.Cache.Remote) {
		t.Error("another address makes no difference")
	}
}
