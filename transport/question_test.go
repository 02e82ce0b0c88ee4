package transport_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/lanetest"
	"secure-dns-proxy/transport/wire"
)

func TestQuestionEnd(t *testing.T) {
	good := lanetest.Query("example.com.")
	end := len(good) - wire.OPTBytes
	longest := lanetest.Query(strings.Repeat(strings.Repeat("a", 62)+".", 4) + "b.")
	for _, test := range []struct {
		name  string
		query []byte
		end   int
		ok    bool
	}{
		{"plain", good[:end], end, true},
		{"with more after it", good, end, true},
		{"root", lanetest.Query("."), 17, true},
		{"longest name", longest, len(longest) - wire.OPTBytes, true},
		{"nothing", nil, 0, false},
		{"header only", good[:12], 0, false},
		{"class cut off", good[:end-1], 0, false},
		{"name without end", append(bytes.Clone(good[:12]), 3, 'a', 'b', 'c'), 0, false},
		{"label beyond the message", append(bytes.Clone(good[:12]), 63, 'a'), 0, false},
		{"compressed", append(bytes.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1), 0, false},
		{"name too long", append(append(bytes.Clone(good[:12]), bytes.Repeat([]byte{1, 'a'}, 128)...), 0, 0, 1, 0, 1), 0, false},
		{"two questions", append(append(bytes.Clone(good[:4]), 0, 2), good[6:]...), 0, false},
	} {
		if got, ok := transport.QuestionEnd(test.query); got != test.end || ok != test.ok {
			t.Errorf("%s: %d %t, want %d %t", test.name, got, ok, test.end, test.ok)
		}
	}
}

// FuzzAnswers compares with miekg/dns what it can read: same question or not.
func FuzzAnswers(f *testing.F) {
	query := lanetest.Query("Example.COM.")
	f.Add(query, lanetest.Answer(query))
	f.Add(query, lanetest.Answer(lanetest.Query("example.com.")))
	f.Add(query, lanetest.Answer(lanetest.Query("example.net.")))
	f.Add(query, query)
	f.Fuzz(func(t *testing.T, query, msg []byte) {
		end, ok := transport.QuestionEnd(query)
		if !ok {
			return
		}
		got := transport.Answers(query, end, msg)
		var asked, answered dns.Msg
		if asked.Unpack(query) != nil || answered.Unpack(msg) != nil {
			return // it reads more than the question
		}
		if got && (len(answered.Question) != 1 || !answered.Response || answered.Opcode != asked.Opcode) {
			t.Fatalf("%x taken for an answer to %x", msg, query)
		}
		if len(answered.Question) != 1 || len(asked.Question) != 1 {
			return
		}
		a, b := asked.Question[0], answered.Question[0]
		same := strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
		if got && !same {
			t.Fatalf("%v taken for an answer to %v", b, a)
		}
	})
}
