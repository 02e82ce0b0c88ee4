package worker

import (
	"net/netip"
	"strings"
	"testing"

	"secure-dns-proxy/worker/synth"
)

// configureScrubs applies a setting of a conversation that is about what is changed in answers:
//
//	dns64=PREFIX[,PREFIX ...]         the prefix for translation, those of AAAA records that do not count
//	rebinding=refused|nodata[,NAME ...]   what becomes of addresses in 10/8, 127/8 and fd00::/8; names that may have them
//	nxdomain_cut=on                       names below one that does not exist are not asked for
func configureScrubs(t *testing.T, s *Snapshot, key, value string) bool {
	first, rest, _ := strings.Cut(value, ",")
	var err error
	switch key {
	case "dns64":
		s.DNS64, err = synth.NewDNS64(netip.MustParsePrefix(first), prefixList(rest))
	case "rebinding":
		var names [][]byte
		for _, name := range strings.FieldsFunc(rest, isComma) {
			names = append(names, wireName(name))
		}
		s.Rebinding, err = synth.NewRebinding(first == "refused", prefixList("10.0.0.0/8,127.0.0.0/8,fd00::/8"), names)
	case "nxdomain_cut":
		s.NXDomainCut = value == "on"
	default:
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func prefixList(text string) (list []netip.Prefix) {
	for _, p := range strings.FieldsFunc(text, isComma) {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func isComma(r rune) bool { return r == ',' }
