package wire

// Header flags, RFC 1035 §4.1.1 and RFC 4035 §3.
const (
	FlagQR     = 1 << 15
	FlagAA     = 1 << 10
	FlagTC     = 1 << 9
	FlagRD     = 1 << 8
	FlagRA     = 1 << 7
	FlagAD     = 1 << 5
	FlagCD     = 1 << 4
	OpcodeMask = 0xF << 11
	RCodeMask  = 0xF
)

// Response codes. Values above 15 need an OPT record to travel (RFC 6891 §6.1.3).
const (
	RCodeNoError   = 0
	RCodeFormErr   = 1
	RCodeServFail  = 2
	RCodeNXDomain  = 3
	RCodeNotImp    = 4
	RCodeRefused   = 5
	RCodeYXDomain  = 6
	RCodeNotAuth   = 9
	RCodeBadVers   = 16
	RCodeBadCookie = 23 // RFC 7873 §8
)

// Extended DNS error codes, RFC 8914 §4. EDENone asks for no such option.
const (
	EDEOther                = 0
	EDEStaleAnswer          = 3
	EDEForged               = 4
	EDECachedError          = 13
	EDENotReady             = 14
	EDEBlocked              = 15
	EDEProhibited           = 18
	EDEStaleNXDomain        = 19
	EDENotSupported         = 21
	EDENoReachableAuthority = 22
	EDENetworkError         = 23
	EDESynthesized          = 29 // registered by IANA, without an RFC
	EDENone                 = 0xFFFF

	edePrivate = 49152 // from here on they mean something to their server alone (RFC 8914 §5.2)
)

// Record types that this package or its users must know by number.
const (
	TypeA     = 1
	TypeCNAME = 5
	TypeSOA   = 6
	TypePTR   = 12
	TypeHINFO = 13
	TypeTXT   = 16
	TypeAAAA  = 28
	TypeDNAME = 39
	TypeOPT   = 41
	TypeDS    = 43
	TypeRRSIG = 46
	TypeSVCB  = 64
	TypeHTTPS = 65
	TypeTKEY  = 249
	TypeTSIG  = 250
	TypeIXFR  = 251
	TypeAXFR  = 252
	TypeMAILB = 253
	TypeMAILA = 254
	TypeANY   = 255
)

// Classes.
const (
	ClassINET  = 1
	ClassCHAOS = 3
)

const (
	optionNSID      = 3      // RFC 5001 §2.3
	optionCookie    = 10     // RFC 7873 §4
	optionSubnet    = 8      // RFC 7871 §6
	optionKeepalive = 11     // RFC 7828 §3.1
	optionPadding   = 12     // RFC 7830 §3
	OptionEDE       = 15     // RFC 8914 §2
	optDO           = 0x8000 // in the low 16 bits of an OPT's TTL field, RFC 6891 §6.1.4
)

// OwnOption says whether an EDNS option has a meaning between two neighbours, or one of its own here, so that it is never passed on as it is:
// NSID (RFC 5001 §2.1: not transitive), client subnet, cookie, keepalive, padding and extended error.
func OwnOption(code uint16) bool {
	switch code {
	case optionNSID, optionSubnet, optionCookie, optionKeepalive, optionPadding, OptionEDE:
		return true
	}
	return false
}
