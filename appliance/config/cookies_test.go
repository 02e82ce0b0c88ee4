package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"secure-dns-proxy/worker/cookie"
)

// testSecrets are those of the tests in keys_test.go.
func testSecrets() []cookie.Secret {
	var a, b cookie.Secret
	for i := range a {
		a[i], b[i] = byte(i), 0xff
	}
	return []cookie.Secret{a, b}
}

// secretFile writes testSecrets.
func secretFile(t *testing.T) string {
	t.Helper()
	return writeSecrets(t, "# the one in use\n000102030405060708090a0b0c0d0e0f\n\n ffffffffffffffffffffffffffffffff # the next\n", 0o600)
}

func writeSecrets(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // umask
		t.Fatal(err)
	}
	return file
}

func TestCookieProblems(t *testing.T) {
	const secret = "000102030405060708090a0b0c0d0e0f"
	for _, tt := range []struct {
		name, text, want string
		good             bool
	}{
		{"short", `edns.cookie_secrets = ["0001"]`, "32 hexadecimal digits", false},
		{"no digits", `edns.cookie_secrets = ["` + strings.Repeat("g", 32) + `"]`, "32 hexadecimal digits", false},
		{"a number", `edns.cookie_secrets = [1]`, "must be a string", false},
		{"twice", `edns.cookie_secrets = ["` + secret + `", "` + secret + `"]`, "stands twice", false},
		{"no file", `edns.cookie_secret_file = "/nonexistent"`, "no such file", false},
		{"empty file", `edns.cookie_secret_file = "` + writeSecrets(t, "# none yet\n", 0o600) + `"`, "holds no secret", false},
		{"bad line", `edns.cookie_secret_file = "` + writeSecrets(t, secret+"\nx\n", 0o600) + `"`, "line 2", false},
		{"five", `edns.cookie_secret_file = "` + writeSecrets(t, strings.Repeat(secret+"\n", 5), 0o600) + `"`, "want 1 to 4", false},
		{"long file", `edns.cookie_secret_file = "` + writeSecrets(t, strings.Repeat("#\n", 4096), 0o600) + `"`, "at most 4096", false},
		{"open file", `edns.cookie_secret_file = "` + writeSecrets(t, secret, 0o644) + `"`, "everybody on this machine may read", true},
		{"both", `edns.cookie_secrets = "` + secret + "\"\nedns.cookie_secret_file = \"" + secretFile(t) + `"`, "in one of the two", false},
		{"without effect", "edns.cookies = false\nedns.cookie_secrets = \"" + secret + `"`, "has no effect", true},
		{"long NSID", `edns.nsid = "` + strings.Repeat("x", 65) + `"`, "at most 64", false},
	} {
		checked, problems := checkText(good + tt.text)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if !strings.Contains(text, tt.want) || (checked != nil) != tt.good {
			t.Errorf("%s: accepted %v, problems:\n%s", tt.name, checked != nil, text)
		}
		if strings.Contains(text, secret) {
			t.Errorf("%s: a secret is shown:\n%s", tt.name, text)
		}
	}
}
