package wire

const (
	// HeaderBytes is the fixed header; anything shorter is dropped (FaultShort).
	HeaderBytes = 12
	// NameBytesMax bounds a name on the wire, root included (RFC 1035 §2.3.4). Longer: FaultName.
	NameBytesMax = 255
	// QuestionBytesMax is a name, type and class.
	QuestionBytesMax = NameBytesMax + 4
	// PlainKeyBytesMax is a question, the flags byte, and a partition; KeyBytesMax has the longest variant behind it.
	PlainKeyBytesMax = QuestionBytesMax + 1 + 2
	KeyBytesMax      = PlainKeyBytesMax + SubnetVariantBytesMax + 1 + PassedOptionsMax
	// SubnetVariantBytesMax is the longest part of a variant that is about a client subnet: an IPv6 address.
	SubnetVariantBytesMax = networkFixedBytes + 16
	// SubnetOptionBytesMax is a whole ECS option with an IPv6 address.
	SubnetOptionBytesMax = optionHeaderBytes + subnetFixedBytes + 16
	// SubnetScopeOffset is where the scope stands in a whole ECS option.
	SubnetScopeOffset = optionHeaderBytes + 3
	// PassedOptionsMax bounds the options of one client that are sent on, in bytes: they travel in keys. More: SelectOptions says so.
	PassedOptionsMax = 64
	// OPTBytes is an OPT record without options: root, type, size, extended flags, RDLENGTH.
	OPTBytes = 1 + 2 + 2 + 4 + 2
	// EDEBytes is an extended error option without text: code, length, INFO-CODE (RFC 8914 §2).
	EDEBytes = 2 + 2 + 2
	// BuiltQueryBytesMax is the room BuildQuery needs for the longest name with the longest variant.
	BuiltQueryBytesMax = HeaderBytes + QuestionBytesMax + OPTBytes + SubnetOptionBytesMax + PassedOptionsMax
	// PaddedQueryBytesMax is the room PadQuery and AskKeepalive need: four blocks of 128 bytes (RFC 8467 §4.1). A longer query is not padded.
	PaddedQueryBytesMax = 512
	// EDETextBytesMax bounds the texts of reasons (reason.go) and of operators.
	EDETextBytesMax = 64
	// TextsMax bounds the different texts that operators give to extended errors in the life of a process. Full: ReasonOf says so, and a configuration
	// with another one is refused.
	TextsMax = 512
	// ReplyOptionsMax bounds Client.Options: a cookie, an NSID, and what an option of 40 bytes needs beside them.
	ReplyOptionsMax = CookieOptionBytes + optionHeaderBytes + NSIDBytesMax + 44
	// NSIDBytesMax bounds the text of AppendNSID.
	NSIDBytesMax = 64
	// ErrorBytesMax is the room WriteError needs for the longest name. It fits every UDP client (512 bytes).
	ErrorBytesMax = HeaderBytes + QuestionBytesMax + OPTBytes + EDEBytes + EDETextBytesMax + ReplyOptionsMax
	// ReplyBytesMin is the smallest reply size a client can ask for (RFC 6891 §6.2.3); smaller announcements count as this.
	ReplyBytesMin = 512
	// MessageBytesMax is the largest message a 2-byte stream length can frame.
	MessageBytesMax = 65535

	// optionHeaderBytes: code and length of an EDNS option (RFC 6891 §6.1.2).
	optionHeaderBytes = 2 + 2
	// subnetFixedBytes: family and the two prefix lengths of an ECS option (RFC 7871 §6).
	subnetFixedBytes = 2 + 1 + 1

	labelBytesMax = 63 // RFC 1035 §2.3.4; also what separates a length from a pointer

	// recordBytesMin: root owner, type, class, TTL, RDLENGTH, no RDATA.
	recordBytesMin = 1 + 2 + 2 + 4 + 2
	// RecordsMax is how many records an Answer may have in the section counts of its sum: what fits into a message.
	RecordsMax = recordsMax

	// recordsMax is how many records can fit in a message with the shortest question, so the TTL list can never overflow: counts in the
	// header that promise more run out of message first (FaultRecord).
	recordsMax = (MessageBytesMax - HeaderBytes - 5) / recordBytesMin

	// chainNamesMax is how many names a chain of CNAMEs can have, the first one included; resolvers follow 8 to 16. Records of names further on
	// count as strangers.
	chainNamesMax = 17

	// responseOptionsMax bounds what is kept of the options of an OPT that is not the last record of a response: more than servers send but for
	// padding. The rest, from the option on that does not fit, is lost.
	responseOptionsMax = 1024

	// pointerReach is the range of a compression pointer: 14 bits. Names further on cannot be pointed at and are not remembered.
	pointerReach = 1 << 14
	// pointerHopsMax bounds a chain of pointers. A name has at most 127 labels, so an honest chain is never longer; miekg/dns has the
	// same limit, which keeps what we accept readable to it. Longer: FaultRecord.
	pointerHopsMax = 126
)

// Errors and truncated replies must fit the smallest client.
const _ = uint(ReplyBytesMin - ErrorBytesMax)

// A reply to a client with a cookie, an NSID and its network has room for all three.
const _ = uint(ReplyOptionsMax - CookieOptionBytes - optionHeaderBytes - NSIDBytesMax - SubnetOptionBytesMax)

// The longest query has room for a keepalive option and the header of a padding option.
const _ = uint(PaddedQueryBytesMax - BuiltQueryBytesMax - 2*optionHeaderBytes)
