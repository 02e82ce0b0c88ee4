package transport

// Header of a message, RFC 1035 §4.1.1.
const (
	headerBytes = 12
	typeClass   = 4
)

// QuestionEnd returns where the question section of query ends. query is a whole message with exactly one question and no compressed
// name (a question cannot be compressed: nothing precedes it); false if it is anything else.
func QuestionEnd(query []byte) (int, bool) {
	if len(query) < headerBytes || query[4] != 0 || query[5] != 1 {
		return 0, false
	}
	at := headerBytes
	for at < len(query) && query[at] != 0 {
		if query[at] > 63 {
			return 0, false
		}
		at += 1 + int(query[at])
	}
	end := at + 1 + typeClass
	if end > len(query) || at-headerBytes > 254 {
		return 0, false
	}
	return end, true
}

// Answers reports whether msg is a response to the question at query[12:end]: response bit set, the same opcode, one question, with the
// same type, class and, ignoring ASCII case, name. It does not look at the id, nor beyond the question.
func Answers(query []byte, end int, msg []byte) bool {
	if len(msg) < end || end > len(query) || end < headerBytes+1+typeClass {
		return false
	}
	if msg[2]&0x80 == 0 || (msg[2]^query[2])&0x78 != 0 || msg[4] != 0 || msg[5] != 1 {
		return false
	}
	// The bytes that are length octets are at most 63 and so no letters: the whole name can be compared as if it were text.
	asked, got := query[headerBytes:end], msg[headerBytes:end]
	name := len(asked) - typeClass
	for i := range name {
		if x := asked[i] ^ got[i]; x != 0 && (x != 0x20 || !isLetter(asked[i])) {
			return false
		}
	}
	return [typeClass]byte(asked[name:]) == [typeClass]byte(got[name:])
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
