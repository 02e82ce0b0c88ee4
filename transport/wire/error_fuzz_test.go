package wire

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"
)

// FuzzWriteError: every error that we can be made to tell, to every client, can be read by the oracle, fits, and says what it was told to say.
func FuzzWriteError(f *testing.F) {
	f.Add([]byte(exampleA), uint16(0x0100), uint16(RCodeServFail), uint16(EDENetworkError), true, true)
	f.Add([]byte(longName(255)+typeAIN), uint16(0x2910), uint16(RCodeBadVers), uint16(ReasonVersion), true, false)
	f.Add([]byte("\x00"+typeAIN), uint16(0), uint16(RCodeBadVers), uint16(EDENone), false, false)
	f.Add([]byte{}, uint16(0xFFFF), uint16(RCodeNotImp), uint16(ReasonOpcode), false, false)
	f.Fuzz(func(t *testing.T, question []byte, flags, rcode, ede uint16, hasOPT, do bool) {
		if end := plainNameEnd(question, 0); len(question) > 0 && (end < 0 || end != len(question)-4) {
			return // ParseQuery lets no such question through
		}
		if rcode > 0xFFF {
			return // no rcode
		}
		c := Client{ID: 7, Flags: flags, Question: question, HasOPT: hasOPT, DO: do, Limit: ReplyBytesMin}
		dst := make([]byte, ErrorBytesMax)
		written := dst[:WriteError(dst, &c, rcode, ede, 1232)]
		if len(written) > ReplyBytesMin {
			t.Fatalf("%d bytes", len(written))
		}
		m := mustUnpack(t, written)
		want := int(rcode)
		if !hasOPT && rcode > RCodeMask {
			want = RCodeServFail
		}
		if m.Id != 7 || !m.Response || m.Rcode != want || m.Opcode != int(flags&OpcodeMask>>11) || m.Authoritative || m.Truncated {
			t.Fatalf("header %v for flags %#x, rcode %d", m.MsgHdr, flags, rcode)
		}
		if len(question) > 0 {
			checkQuestion(t, m, question)
		} else if len(m.Question) != 0 {
			t.Fatal("a question from nowhere")
		}
		opt := m.IsEdns0()
		if (opt != nil) != hasOPT || opt != nil && opt.Do() != do {
			t.Fatalf("OPT %v", opt)
		}
		if opt == nil || ede == EDENone {
			return
		}
		code, text := told(ede)
		told, ok := opt.Option[0].(*dns.EDNS0_EDE)
		if !ok || told.InfoCode != code || told.ExtraText != text || len(opt.Option) != 1 {
			t.Fatalf("extended error %v, want %d %q", opt.Option, code, text)
		}
		if !bytes.Contains(written, []byte(text)) {
			t.Fatal("no text")
		}
	})
}
