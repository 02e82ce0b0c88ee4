package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BIND is a real named, authoritative only, that takes NOTIFY, UPDATE and transfers:
//
//	keyed.test   all that changes it, and its transfers, must be signed with Key
//	open.test    anybody from loopback may
//	second.test  a secondary of a primary that a test names
type BIND struct {
	Do53, TLS, HTTPS netip.AddrPort // HTTPS at /dns-query
	Key              TSIG
	tb               testing.TB
	config           string
	process          *Process
}

// NewBIND starts one, with records beside a small zone's own in both zones; primary invalid: there is no second.test.
func NewBIND(tb testing.TB, certificate Certificate, records string, primary netip.AddrPort) *BIND {
	tb.Helper()
	b := &BIND{
		Do53: FreeAddr(tb), TLS: FreeAddr(tb), HTTPS: FreeAddr(tb), tb: tb,
		Key: TSIG{Name: "update-key", Secret: "c2VjcmV0LW9mLXRoZS10ZXN0cw=="},
	}
	dir := SharedDir(tb)
	b.config = filepath.Join(dir, "named.conf")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	for _, zone := range []string{"keyed.test", "open.test"} {
		write(zone, "$ORIGIN "+zone+".\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"+records)
	}
	var text strings.Builder
	fmt.Fprintf(&text, `options {
  directory %[1]q;
  pid-file none;
  session-keyfile none;
  recursion no;
  notify no;
  dnssec-validation no;
  empty-zones-enable no;
  allow-query { any; };
  listen-on-v6 { none; };
  listen-on port %[2]d { 127.0.0.1; };
  listen-on port %[3]d tls served { 127.0.0.1; };
  listen-on port %[4]d tls served http served { 127.0.0.1; };
};
tls served { cert-file %[5]q; key-file %[6]q; };
http served { endpoints { "/dns-query"; }; };
controls { };
key %[7]q { algorithm hmac-sha256; secret %[8]q; };
zone "keyed.test" { type primary; file "keyed.test"; allow-update { key %[7]q; }; allow-transfer { key %[7]q; }; };
zone "open.test" { type primary; file "open.test"; allow-update { 127.0.0.0/8; }; allow-transfer { 127.0.0.0/8; }; };
`, dir, b.Do53.Port(), b.TLS.Port(), b.HTTPS.Port(), certificate.ChainFile, certificate.KeyFile, b.Key.Name, b.Key.Secret)
	if primary.IsValid() {
		fmt.Fprintf(&text, "zone \"second.test\" { type secondary; file \"second.test\"; primaries { %s port %d; }; allow-notify { 127.0.0.0/8; }; };\n", primary.Addr(), primary.Port())
	}
	write("named.conf", text.String())
	b.Start()
	return b
}

// Start starts named, after Kill at the same addresses again, and waits until it answers.
func (b *BIND) Start() {
	b.tb.Helper()
	b.process = startProcess(b.tb, "named", exec.Command(program(b.tb, "named"), "-g", "-n", "1", "-c", b.config))
	Eventually(b.tb, startTimeout, "named answers", func() bool {
		if !b.process.Running() {
			b.tb.Fatalf("named ended:\n%s", b.process.Log())
		}
		return answers(b.Do53)
	})
}

// Kill ends named at once.
func (b *BIND) Kill() {
	b.tb.Helper()
	b.process.Kill()
}

// Nsupdate has nsupdate send what its language says in lines to server, signed unless key is empty; over TCP if tcp is true. It returns what went wrong, in
// its words.
func Nsupdate(tb testing.TB, server netip.AddrPort, key TSIG, tcp bool, lines ...string) error {
	tb.Helper()
	arguments := []string{"-t", "20", "-r", "0"}
	if key.Name != "" {
		arguments = append(arguments, "-y", "hmac-sha256:"+key.Name+":"+key.Secret)
	}
	if tcp {
		arguments = append(arguments, "-v")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program(tb, "nsupdate"), arguments...)
	server53 := fmt.Sprintf("server %s %d\n", server.Addr(), server.Port())
	command.Stdin = strings.NewReader(server53 + strings.Join(lines, "\n") + "\nsend\nquit\n")
	out, err := command.CombinedOutput()
	if err != nil {
		return errors.Join(err, ctx.Err(), errors.New(strings.TrimSpace(string(out))))
	}
	return nil
}

// Transfer is what dig prints of a transfer, kind being "AXFR" or "IXFR=N": the records in order. dig checks signatures; what is wrong is in the text.
func Transfer(tb testing.TB, server netip.AddrPort, key TSIG, zone, kind string) string {
	tb.Helper()
	arguments := []string{"@" + server.Addr().String(), "-p", strconv.Itoa(int(server.Port())), "+tries=1", "+time=20", "+nocookie", "+nostats", "+nocmd", "+noall", "+answer", zone, kind}
	if key.Name != "" {
		arguments = append(arguments, "-y", "hmac-sha256:"+key.Name+":"+key.Secret)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, _ := exec.CommandContext(ctx, program(tb, "dig"), arguments...).CombinedOutput() // what went wrong is printed
	return string(out)
}
