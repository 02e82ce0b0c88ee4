package rig

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SignedZone is a zone that ldns-signzone has signed with one ECDSA key.
type SignedZone struct {
	Text   string // in presentation format, with its signatures and DNSKEY
	Anchor string // the DS record of its key
}

// SignZone signs text, in presentation format, as the zone of name, without a final dot; nsec3: absence is proved by NSEC3 without salt and further
// iterations (RFC 9276), else by NSEC. Signatures are good from yesterday on.
func SignZone(tb testing.TB, name, text string, nsec3 bool) SignedZone {
	tb.Helper()
	dir := tb.TempDir()
	do := func(command string, arguments ...string) string {
		tb.Helper()
		c := exec.Command(program(tb, command), arguments...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			tb.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	read := func(file string) string {
		tb.Helper()
		out, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			tb.Fatal(err)
		}
		return string(out)
	}
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	key := do("ldns-keygen", "-a", "ECDSAP256SHA256", "-r", "/dev/urandom", "-k", name)
	arguments := []string{"-o", name + ".", "-i", time.Now().Add(-24 * time.Hour).UTC().Format("20060102150405"), "-f", "signed"}
	if nsec3 {
		arguments = append(arguments, "-n", "-t", "0")
	}
	do("ldns-signzone", append(arguments, "zone", key)...)
	return SignedZone{Text: read("signed"), Anchor: strings.TrimSpace(read(key + ".ds"))}
}
