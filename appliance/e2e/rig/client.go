package rig

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Answer is what dig or kdig printed of one reply.
type Answer struct {
	Status    string   // "NOERROR", ...
	Flags     []string // "qr", "rd", ...
	ID        int
	Question  string   // as echoed, "Www.Zone.Example. IN A"
	Records   []string // the answer section, sorted, white space squeezed, TTL included
	Authority []string
	EDNS      bool
	UDPSize   int    // of the reply's OPT
	Cookie    string // of the last reply's OPT, hexadecimal digits; "": none
	Text      string // all of it
}

// TTL is the time to live of the first answer record, seconds; -1 without one.
func (a Answer) TTL() int { return firstTTL(a.Records) }

// AuthorityTTL is TTL for the authority section.
func (a Answer) AuthorityTTL() int { return firstTTL(a.Authority) }

func firstTTL(records []string) int {
	if len(records) == 0 {
		return -1
	}
	ttl, err := strconv.Atoi(strings.Fields(records[0])[1])
	if err != nil {
		return -1
	}
	return ttl
}

// HasFlag tells whether the header flag is set, in dig's spelling: "tc", "ad".
func (a Answer) HasFlag(flag string) bool { return slices.Contains(a.Flags, flag) }

// Data are the answer and authority records without their TTLs: what two servers must agree on.
func (a Answer) Data() []string {
	var data []string
	for _, record := range slices.Concat(a.Records, a.Authority) {
		fields := strings.Fields(record)
		data = append(data, strings.Join(append([]string{fields[0]}, fields[2:]...), " "))
	}
	return data
}

// Dig asks server with dig; arguments as on its command line, "+tcp", "www.zone.example", "AAAA".
//
// An answer that does not come fails the test: dig is told to try once and wait 10 seconds.
func Dig(tb testing.TB, server netip.AddrPort, arguments ...string) Answer {
	tb.Helper()
	common := []string{"@" + server.Addr().String(), "-p", strconv.Itoa(int(server.Port())), "+tries=1", "+time=10", "+nocookie"}
	return parseAnswer(run(tb, program(tb, "dig"), append(common, arguments...)...))
}

// Kdig is Dig by kdig, of another family of DNS code; it speaks DoT, DoH and DoQ by "+tls", "+https" and "+quic".
func Kdig(tb testing.TB, server netip.AddrPort, arguments ...string) Answer {
	tb.Helper()
	return parseAnswer(KdigText(tb, server, arguments...))
}

// KdigText is all that kdig printed, for calls with several questions.
func KdigText(tb testing.TB, server netip.AddrPort, arguments ...string) string {
	tb.Helper()
	common := []string{"@" + server.Addr().String(), "-p", strconv.Itoa(int(server.Port())), "+retry=0", "+timeout=10"}
	return run(tb, program(tb, "kdig"), append(common, arguments...)...)
}

// run runs a program to its end, which must be good, and returns what it printed.
func run(tb testing.TB, name string, arguments ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), errors.Join(err, ctx.Err()), out)
	}
	return string(out)
}

var (
	statusPattern  = regexp.MustCompile(`status: (\w+)`)
	cookiePattern  = regexp.MustCompile(`COOKIE: ([0-9A-Fa-f]+)`)
	idPattern      = regexp.MustCompile(`id: (\d+)`)
	flagsPattern   = regexp.MustCompile(`(?i)flags: ([a-z ]*);`)
	udpSizePattern = regexp.MustCompile(`(?:udp: |UDP size: )(\d+)`)
)

func parseAnswer(text string) Answer {
	a := Answer{Text: text}
	if m := statusPattern.FindStringSubmatch(text); m != nil {
		a.Status = m[1]
	}
	if m := idPattern.FindStringSubmatch(text); m != nil {
		a.ID, _ = strconv.Atoi(m[1])
	}
	if m := flagsPattern.FindStringSubmatch(text); m != nil {
		a.Flags = strings.Fields(m[1])
	}
	if m := udpSizePattern.FindStringSubmatch(text); m != nil {
		a.EDNS = true
		a.UDPSize, _ = strconv.Atoi(m[1])
	}
	for _, m := range cookiePattern.FindAllStringSubmatch(text, -1) {
		a.Cookie = strings.ToLower(m[1])
	}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ";; ") && strings.HasSuffix(line, " SECTION:"):
			section = strings.TrimSuffix(strings.TrimPrefix(line, ";; "), " SECTION:")
		case section == "QUESTION" && strings.HasPrefix(line, ";"):
			a.Question = strings.Join(strings.Fields(strings.TrimLeft(line, "; ")), " ")
		case line == "" || strings.HasPrefix(line, ";"):
		case section == "ANSWER":
			a.Records = append(a.Records, strings.Join(strings.Fields(line), " "))
		case section == "AUTHORITY":
			a.Authority = append(a.Authority, strings.Join(strings.Fields(line), " "))
		}
	}
	slices.Sort(a.Records)
	slices.Sort(a.Authority)
	return a
}

// answers tells whether a DNS server gives any reply over UDP just now.
func answers(server netip.AddrPort) bool {
	_, err := Ask(server, "udp", "www.zone.example.", 200*time.Millisecond)
	return err == nil
}

// Ask sends one A query over "udp" or "tcp" and returns the reply.
func Ask(server netip.AddrPort, network, name string, timeout time.Duration) (*dns.Msg, error) {
	return ask(&net.Dialer{Timeout: timeout}, server, network, name, timeout)
}

// AskFrom is Ask over UDP from an address of its own, below 127.0.0.0/8.
func AskFrom(source netip.Addr, server netip.AddrPort, name string, timeout time.Duration) (*dns.Msg, error) {
	return ask(&net.Dialer{Timeout: timeout, LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}, server, "udp", name, timeout)
}

func ask(dialer *net.Dialer, server netip.AddrPort, network, name string, timeout time.Duration) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	reply, _, err := (&dns.Client{Net: network, Timeout: timeout, Dialer: dialer}).Exchange(query, server.String())
	return reply, err
}
