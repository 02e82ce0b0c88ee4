package wire

import "encoding/binary"

// Reasons are extended errors with a text, for answers that are of our own making. They stand wherever an INFO-CODE may, and are told as one of
// those with a text (RFC 8914 §2). Their numbers are the last ones of the range for private use (§5.2) and never go on the wire.
const (
	ReasonOpcode  = reasonFirst + iota // and from here on: see reasons
	ReasonCount                        // of questions
	ReasonName                         // of the question
	ReasonType                         // of the question
	ReasonRecord                       // that cannot be read
	ReasonOPT                          // that cannot be read
	ReasonVersion                      // of EDNS
	ReasonSigned                       // TSIG
	ReasonCookie                       // of impossible length
	ReasonSubnet                       // an ECS option that cannot be read
	ReasonOptions                      // longer than what is passed on
	ReasonClass                        // of the question
	ReasonFull                         // no room for one more query
	ReasonRate                         // a source asks for more than it may
	ReasonLoop                         // the query is our own
	ReasonLimited                      // upstreams have as much to do as they may
	ReasonHeavy                        // the same, and others ask less
	ReasonQuota                        // the client's view has as much under way as it may
	reasonEnd

	reasonFirst = 0xFF00
)

// reasons are what is told, by reason. Texts are for operators who look at a client's log.
var reasons = [reasonEnd - reasonFirst]struct {
	code uint16
	text string
}{
	ReasonOpcode - reasonFirst:  {EDENotSupported, "opcode"},
	ReasonCount - reasonFirst:   {EDEOther, "not exactly one question"},
	ReasonName - reasonFirst:    {EDEOther, "malformed name in the question"},
	ReasonType - reasonFirst:    {EDENotSupported, "query type"},
	ReasonRecord - reasonFirst:  {EDEOther, "malformed record"},
	ReasonOPT - reasonFirst:     {EDEOther, "malformed OPT record"},
	ReasonVersion - reasonFirst: {EDENotSupported, "EDNS version"},
	ReasonSigned - reasonFirst:  {EDENotSupported, "TSIG"},
	ReasonCookie - reasonFirst:  {EDEOther, "malformed cookie"},
	ReasonSubnet - reasonFirst:  {EDEOther, "malformed client subnet"},
	ReasonOptions - reasonFirst: {EDENotSupported, "EDNS options of this length"},
	ReasonClass - reasonFirst:   {EDENotSupported, "query class"},
	ReasonFull - reasonFirst:    {EDEOther, "too many queries under way"},
	ReasonRate - reasonFirst:    {EDEOther, "rate limit"},
	ReasonLoop - reasonFirst:    {EDEOther, "forwarding loop"},
	ReasonLimited - reasonFirst: {EDEOther, "upstreams at their limit"},
	ReasonHeavy - reasonFirst:   {EDEOther, "too many queries of client or zone"},
	ReasonQuota - reasonFirst:   {EDEOther, "quota of queries under way"},
}

// told returns what an extended error is told as.
func told(ede uint16) (code uint16, text string) {
	switch {
	case ede < textFirst || ede >= reasonEnd:
		return ede, ""
	case ede < reasonFirst:
		return toldText(ede)
	}
	r := &reasons[ede-reasonFirst]
	return r.code, r.text
}

// edeBytes is what putEDE writes.
func edeBytes(ede uint16) int {
	_, text := told(ede)
	return EDEBytes + len(text)
}

// putEDE writes an extended error option (RFC 8914 §2) and returns its length, at most EDEBytes+EDETextBytesMax.
func putEDE(dst []byte, ede uint16) int {
	code, text := told(ede)
	binary.BigEndian.PutUint32(dst, OptionEDE<<16|uint32(2+len(text)))
	binary.BigEndian.PutUint16(dst[4:], code)
	return EDEBytes + copy(dst[EDEBytes:], text)
}
