package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// transferQuery is an AXFR, or an IXFR of a client with a serial.
func transferQuery(t testing.TB, serial int) []byte {
	m := new(dns.Msg).SetAxfr("example.")
	if serial >= 0 {
		m = new(dns.Msg).SetIxfr("example.", uint32(serial), "ns.example.", "admin.example.")
	}
	return mustPack(t, m)
}

// transferMessages makes messages of records in short: "S7" is the SOA with that serial, "a" an address; "|" begins another message, "!" one with an RCODE.
func transferMessages(t testing.TB, qtype uint16, text string) (list [][]byte) {
	for i, part := range strings.Split(text, "|") {
		m := new(dns.Msg)
		m.SetQuestion("example.", qtype)
		m.Response, m.Compress = true, true
		if i > 0 { // RFC 5936 §2.2.1: further ones may have no question
			m.Question = nil
		}
		for word := range strings.FieldsSeq(part) {
			var serial int
			record := word + ".example. 60 A 192.0.2.1"
			if n, _ := fmt.Sscanf(word, "S%d", &serial); n == 1 {
				record = fmt.Sprintf("example. 60 SOA ns.example. admin.example. %d 1 2 3 4", serial)
			}
			if word == "!" {
				m.Rcode = dns.RcodeServerFailure
				continue
			}
			rr, err := dns.NewRR(record)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		list = append(list, mustPack(t, m))
	}
	return list
}

// TestTransfer: which message is the last one.
func TestTransfer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		serial   int // of an IXFR; -1: AXFR
		messages string
		last     int // the number of the last one; -1: it goes on
		fault    Fault
	}{
		{"whole", -1, "S7 a b S7", 0, FaultNone},
		{"whole in many", -1, "S7|a|b c|d S7", 3, FaultNone},
		{"whole, an SOA in a message of its own", -1, "S7 a|S7", 1, FaultNone},
		{"whole, an empty zone", -1, "S7 S7", 0, FaultNone},
		{"whole, cut off", -1, "S7 a|b", -1, FaultNone},
		{"whole, only an SOA so far", -1, "S7", -1, FaultNone},
		{"refused", -1, "!", 0, FaultNone},
		{"fails in the middle", -1, "S7 a|!", 1, FaultNone},
		{"no transfer", -1, "a", 0, FaultNone},
		{"nothing", -1, "", 0, FaultNone},
		{"an empty one in the middle", -1, "S7 a|", 1, FaultCount},
		{"up to date", 7, "S7", 0, FaultNone},
		{"the server is older", 9, "S7", 0, FaultNone},
		{"serials wrap", 4294967290, "S7|S4294967290 a S7|S7", 2, FaultNone},
		{"a first SOA alone", 5, "S7|S5 a S7 b|S7", 2, FaultNone},
		{"differences", 5, "S7 S5 a S6 b S6 c S7 d S7", 0, FaultNone},
		{"differences in many", 5, "S7 S5|a|S6 b S6|c S7|d|S7", 5, FaultNone},
		{"differences that add nothing", 6, "S7 S6 a S7 S7", 0, FaultNone},
		{"differences, cut off", 5, "S7 S5 a S6 b S6 c S7 d", -1, FaultNone},
		{"the whole zone instead", 5, "S7 a b|c S7", 1, FaultNone},
		{"an empty zone instead", 5, "S7 S7", 0, FaultNone},
	} {
		qtype := dns.TypeAXFR
		if tt.serial >= 0 {
			qtype = dns.TypeIXFR
		}
		var q Query
		query := transferQuery(t, tt.serial)
		if fault := ParseQuery(query, &q); fault != FaultType || q.Type != qtype || string(q.Question[:q.NameLen]) != "\x07example\x00" {
			t.Fatalf("%s: the query has %v, %+v", tt.name, fault, q)
		}
		transfer := NewTransfer(query, &q)
		got, fault := -1, FaultNone
		for i, msg := range transferMessages(t, qtype, tt.messages) {
			last, f := transfer.Take(msg)
			if last || f != FaultNone {
				got, fault = i, f
				break
			}
		}
		if got != tt.last || fault != tt.fault {
			t.Errorf("%s: last is %d, %v; want %d, %v", tt.name, got, fault, tt.last, tt.fault)
		}
	}
}

// TestTransferQueries: what else an IXFR may have, and what is none.
func TestTransferQueries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(m *dns.Msg)
		fault Fault
	}{
		{"plain", func(*dns.Msg) {}, FaultType},
		{"EDNS", func(m *dns.Msg) { m.SetEdns0(1232, true) }, FaultType},
		{"a later EDNS", func(m *dns.Msg) { m.SetEdns0(1232, true).IsEdns0().SetVersion(1) }, FaultVersion},
		{"TSIG", func(m *dns.Msg) { m.SetTsig("key.", dns.HmacSHA256, 300, 1); m.Extra[0].(*dns.TSIG).MAC = "" }, FaultSigned},
		{"an answer", func(m *dns.Msg) { m.Answer = m.Ns }, FaultCount},
		{"two records", func(m *dns.Msg) { m.Ns = append(m.Ns, m.Ns[0]) }, FaultCount},
		{"of another type", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, FaultCount},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, FaultCount},
	} {
		m := new(dns.Msg).SetIxfr("example.", 1, "ns.example.", "admin.example.")
		tt.edit(m)
		var q Query
		fault := ParseQuery(mustPack(t, m), &q)
		if fault != tt.fault {
			t.Errorf("%s: %v, want %v", tt.name, fault, tt.fault)
		}
		if fault == FaultCount && len(q.Question) != 0 {
			t.Errorf("%s: question %q is kept", tt.name, q.Question)
		}
		if edns := m.IsEdns0() != nil; q.HasOPT != edns {
			t.Errorf("%s: OPT %v", tt.name, q.HasOPT)
		}
	}
	cut := transferQuery(t, 1)
	for n := range len(cut) {
		var q Query
		if fault := ParseQuery(cut[:n], &q); fault == FaultNone || fault == FaultType {
			t.Errorf("%d bytes of it: %v", n, fault)
		}
	}
}

// FuzzTransfer: no message does more than be refused, and one that miekg/dns reads with a closing SOA is the last one.
func FuzzTransfer(f *testing.F) {
	for _, text := range []string{"S7 a b S7", "S7|a|S7", "!", "S7 S5 a S6 b S6 c S7 d S7", ""} {
		f.Add(bytes.Join(transferMessages(f, dns.TypeIXFR, text), nil), 5)
	}
	f.Fuzz(func(t *testing.T, msg []byte, serial int) {
		query := transferQuery(t, serial&0x7FFFFFFF)
		var q Query
		ParseQuery(query, &q)
		transfer := NewTransfer(query, &q)
		last, fault := transfer.Take(msg)
		var m dns.Msg
		if m.Unpack(msg) != nil || fault != FaultNone {
			return
		}
		switch n := len(m.Answer); {
		case m.Rcode&0xF != 0, n == 0, m.Answer[0].Header().Rrtype != dns.TypeSOA:
			if !last {
				t.Errorf("not the last one: %v", &m)
			}
		case n > 1 && last && m.Answer[1].Header().Rrtype != dns.TypeSOA:
			again := false
			for _, rr := range m.Answer[1:] {
				again = again || rr.Header().Rrtype == dns.TypeSOA
			}
			if !again {
				t.Errorf("the last one: %v", &m)
			}
		}
	})
}
