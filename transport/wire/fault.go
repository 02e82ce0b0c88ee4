package wire

// Fault says what is wrong with a message. The zero value means nothing is.
type Fault uint8

const (
	FaultNone     Fault = iota
	FaultShort          // under 12 bytes: no header to answer with
	FaultResponse       // a response where a query was expected (QR=1)
	FaultQuery          // a query where a response was expected (QR=0)
	FaultOpcode         // anything but QUERY
	FaultCount          // QDCOUNT is not 1 (RFC 9619), or a query that carries answers or authority
	FaultName           // the question's name: compressed, reserved label type, over 255 bytes, or cut short
	FaultType           // a question no cache can relay: OPT, TKEY, TSIG, IXFR, AXFR
	FaultRecord         // a record: bad name, bad pointer, RDLENGTH that does not fit, or cut short
	FaultOPT            // two OPTs, an owner other than the root, outside the additional section, or options that overrun (RFC 6891 §6.1.1)
	FaultVersion        // EDNS version above 0
	FaultSigned         // TSIG
	FaultQuestion       // a response to another question
	FaultCookie         // a COOKIE option of impossible length (RFC 7873 §5.2.2); found by Query.Asked
	FaultSubnet         // an ECS option that is malformed, or of a response whose query had another one (RFC 7871 §6, §7.3)

	// FaultsMax is the number of faults, for counters indexed by Fault.
	FaultsMax
)

var faultNames = [FaultsMax]string{
	FaultNone:     "none",
	FaultShort:    "short",
	FaultResponse: "response",
	FaultQuery:    "query",
	FaultOpcode:   "opcode",
	FaultCount:    "count",
	FaultName:     "name",
	FaultType:     "type",
	FaultRecord:   "record",
	FaultOPT:      "opt",
	FaultVersion:  "version",
	FaultSigned:   "signed",
	FaultQuestion: "question",
	FaultCookie:   "cookie",
	FaultSubnet:   "subnet",
}

// String is the fault as one lower-case word, fit for a metric label.
func (f Fault) String() string {
	if f >= FaultsMax {
		return "unknown"
	}
	return faultNames[f]
}

// EDE is the extended error beside RCode: a Reason, or EDENone where RCode is not to be told.
func (f Fault) EDE() uint16 {
	if f >= FaultsMax || faultReasons[f] == 0 {
		return EDENone
	}
	return faultReasons[f]
}

var faultReasons = [FaultsMax]uint16{
	FaultOpcode:  ReasonOpcode,
	FaultCount:   ReasonCount,
	FaultName:    ReasonName,
	FaultType:    ReasonType,
	FaultRecord:  ReasonRecord,
	FaultOPT:     ReasonOPT,
	FaultVersion: ReasonVersion,
	FaultSigned:  ReasonSigned,
	FaultCookie:  ReasonCookie,
	FaultSubnet:  ReasonSubnet,
}

// RCode is how a client's faulty query is answered; answer is false where silence is right: nothing usable came (FaultShort), or an
// answer could start a loop between two servers (FaultResponse). FaultNone and the faults that only a response can have are false too.
func (f Fault) RCode() (rcode uint16, answer bool) {
	switch f {
	case FaultCount, FaultName, FaultRecord, FaultOPT, FaultCookie, FaultSubnet:
		return RCodeFormErr, true
	case FaultOpcode, FaultType:
		return RCodeNotImp, true
	case FaultVersion:
		return RCodeBadVers, true
	case FaultSigned:
		return RCodeNotAuth, true
	}
	return RCodeNoError, false
}
