package answerer

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"secure-dns-proxy/bench/trust"
)

func query(t *testing.T, name string, qtype uint16, edns bool) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	if edns {
		m.SetEdns0(1232, true)
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// A library that was not written here finds the answers well formed.
func TestAppendAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		qtype   uint16
		edns    bool
		answers int
	}{
		{"n1.bench.example.", dns.TypeA, false, 1},
		{"N1.Bench.Example.", dns.TypeAAAA, true, 1},
		{".", dns.TypeNS, true, 0},
		{"x.example.", dns.TypeTXT, false, 1},
	} {
		q := query(t, c.name, c.qtype, c.edns)
		out, ok := appendAnswer([]byte("kept"), q)
		if !ok || !bytes.HasPrefix(out, []byte("kept")) || len(out) > 4+len(q)+answerBytesMax {
			t.Fatalf("%s: got %t, %d bytes for a query of %d", c.name, ok, len(out), len(q))
		}
		var m dns.Msg
		if err := m.Unpack(out[4:]); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !m.Response || m.Id != binary.BigEndian.Uint16(q) || m.Question[0].Name != c.name || len(m.Answer) != c.answers || m.Rcode != 0 {
			t.Errorf("%s: got %v", c.name, m.String())
		}
		if c.answers > 0 && (m.Answer[0].Header().Rrtype != c.qtype || m.Answer[0].Header().Ttl != ttlSeconds || m.Answer[0].Header().Name != c.name) {
			t.Errorf("%s: got %v", c.name, m.Answer[0])
		}
		if opt := m.IsEdns0(); (opt != nil) != c.edns || opt != nil && !opt.Do() {
			t.Errorf("%s: got OPT %v, want one: %t", c.name, opt, c.edns)
		}
	}
}

// Texts of names of one length have every length, so that a server finds few answers in a row that are alike.
func TestTextsHaveAllLengths(t *testing.T) {
	seen := map[int]int{}
	for i := range 10000 {
		out, ok := appendAnswer(nil, query(t, fmt.Sprintf("n%08d.bench.example.", i), dns.TypeTXT, false))
		if !ok {
			t.Fatalf("name %d: no answer", i)
		}
		seen[len(out)]++
	}
	if len(seen) != textBytesMax+1 {
		t.Errorf("%d lengths, want %d", len(seen), textBytesMax+1)
	}
	for length, n := range seen {
		if n > 3*10000/(textBytesMax+1) {
			t.Errorf("%d of 10,000 answers have %d bytes", n, length)
		}
	}
}

func TestAppendAnswerRefuses(t *testing.T) {
	good := query(t, "n1.bench.example.", dns.TypeA, false)
	response := bytes.Clone(good)
	response[2] |= flagQR
	for name, bad := range map[string][]byte{
		"empty": nil, "short header": good[:11], "no question bytes": good[:12], "cut name": good[:20], "cut type": good[:len(good)-1],
		"response": response, "pointer": append(bytes.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1),
	} {
		if out, ok := appendAnswer(nil, bad); ok || len(out) > 0 {
			t.Errorf("%s: got an answer of %d bytes", name, len(out))
		}
	}
}

func TestServer(t *testing.T) {
	files, err := trust.Issue(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(certificate)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	anyone := &tls.Config{InsecureSkipVerify: true} // the certificate is tested by the programs that are measured
	check := func(name string, answer []byte, err error) {
		t.Helper()
		var m dns.Msg
		if err == nil {
			err = m.Unpack(answer)
		}
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: got %v, %v, want one record", name, &m, err)
		}
	}
	for network, at := range map[string]string{"udp": s.Addresses.Do53.String(), "tcp": s.Addresses.Do53.String(), "tcp-tls": s.Addresses.TLS.String()} {
		c := dns.Client{Net: network, TLSConfig: anyone, Timeout: 5 * time.Second}
		m, _, err := c.Exchange(new(dns.Msg).SetQuestion("n1.bench.example.", dns.TypeA), at)
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: got %v, %v, want one record", network, m, err)
		}
	}
	answer, err := askQUIC(t, s.Addresses.QUIC.String(), anyone)
	check("quic", answer, err)
	answer, err = askHTTPS(t, "https://"+s.Addresses.HTTPS.String()+"/dns-query", anyone)
	check("https", answer, err)
	if got, want := s.Counts(), (Counts{1, 1, 1, 1, 1}); got != want || got.Total() != 5 {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}

func askQUIC(t *testing.T, at string, config *tls.Config) ([]byte, error) {
	config = config.Clone()
	config.NextProtos = []string{"doq"}
	conn, err := quic.DialAddr(t.Context(), at, config, nil)
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0, "") // the test is over
	stream, err := conn.OpenStream()
	if err != nil {
		return nil, err
	}
	q := query(t, "n1.bench.example.", dns.TypeA, false)
	if _, err := stream.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(stream)
	if err != nil || len(answer) < 2 {
		return nil, err
	}
	return answer[2:], nil
}

func askHTTPS(t *testing.T, url string, config *tls.Config) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	response, err := client.Post(url, mediaType, bytes.NewReader(query(t, "n1.bench.example.", dns.TypeA, false)))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() // read to its end
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("https: got %s %s, want HTTP/2 and 200", response.Proto, response.Status)
	}
	return io.ReadAll(response.Body)
}
