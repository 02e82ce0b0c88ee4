package wire

import "encoding/binary"

// WriteMessage writes a, which ParseResponse has filled, as a whole response to the question of key to dst and returns its length; 0 if dst has no room
// for it, its rcode is above 15, or it is for nobody else: it is to options of a client, or nobody knows its scope. ParseResponse reads it to the same Answer: of the options of its OPT only those about client subnets and
// extended errors are kept, and there is no OPT without them.
func WriteMessage(dst, key []byte, a *Answer) int {
	question := KeyQuestion(key)
	n := HeaderBytes + len(question) + len(a.Records)
	optBytes := 0
	var options []byte
	if a.Told != nil && len(a.Told.Options) > 0 {
		options = a.Told.Options
		optBytes = OPTBytes + len(options)
	}
	if n+optBytes > len(dst) || a.RCode > RCodeMask || !shareable(key, a) {
		return 0
	}
	copy(dst[HeaderBytes:], question)
	copy(dst[HeaderBytes+len(question):], a.Records)
	ar := a.AR
	if optBytes > 0 {
		if kept := keepOptions(dst[n+OPTBytes:], options); kept > 0 {
			putOPT(dst[n:], 0, 0, false, uint16(kept))
			n += OPTBytes + kept
			ar++
		}
	}
	putHeader(dst, 0, FlagQR|a.Flags&^(OpcodeMask|RCodeMask)|a.RCode, a.AN, a.NS, ar)
	return n
}

// keepOptions copies to dst the options that belong to an answer, not to the hop that it came over, and returns their length.
func keepOptions(dst, options []byte) (kept int) {
	for len(options) >= optionHeaderBytes {
		n := optionHeaderBytes + int(binary.BigEndian.Uint16(options[2:]))
		if code := binary.BigEndian.Uint16(options); code == optionSubnet || code == OptionEDE {
			kept += copy(dst[kept:], options[:n])
		}
		options = options[n:]
	}
	return kept
}

// shareable says whether a, to the question of key, may answer whoever asks with the same key later.
func shareable(key []byte, a *Answer) bool {
	_, sent := KeySubnet(key)
	return len(KeyOptions(key)) == 0 && !(sent && (a.Told == nil || a.Told.Scope == ScopeUnknown))
}
