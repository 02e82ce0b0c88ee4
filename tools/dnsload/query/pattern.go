package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// pattern is a name in wire form with a number in one of its labels.
type pattern struct {
	head   []byte // up to the number; head[length] is the length byte of the number's label
	length int
	fixed  byte // bytes of that label besides the number
	tail   []byte
	width  int // digits at least, padded with zeros
}

// parsePattern reads a name with exactly one %d or %0Nd in it, such as "n%d.bench.example".
func parsePattern(text string) (*pattern, error) {
	before, rest, ok := strings.Cut(text, "%")
	if !ok {
		return nil, fmt.Errorf("pattern %q has no %%d", text)
	}
	verb, after, ok := strings.Cut(rest, "d")
	if !ok || strings.Contains(after, "%") {
		return nil, fmt.Errorf("pattern %q: want exactly one %%d or %%0Nd", text)
	}
	p := &pattern{}
	if verb != "" {
		if _, err := fmt.Sscanf(verb, "0%d", &p.width); err != nil || p.width < 1 || p.width > digitsMax || fmt.Sprintf("0%d", p.width) != verb {
			return nil, fmt.Errorf("pattern %q: %%%sd is not %%d or %%0Nd with N up to %d", text, verb, digitsMax)
		}
	}
	// Pack the name with the longest number, so that what is too long is refused now, and cut it apart round the number.
	const digits = "9999999999999999999"
	packed, err := packName(before + digits + after)
	if err != nil {
		return nil, fmt.Errorf("pattern %q with a number of %d digits: %w", text, digitsMax, err)
	}
	at := strings.Index(string(packed), digits)
	if at < 0 {
		return nil, fmt.Errorf("pattern %q: the number crosses labels", text)
	}
	p.head, p.tail = packed[:at:at], packed[at+digitsMax:]
	for i := 0; i < at; i += int(packed[i]) + 1 {
		p.length = i
	}
	p.fixed = packed[p.length] - digitsMax
	return p, nil
}

// compose writes the name with number n to dst, which has room for nameBytesMax, and returns its length.
func (p *pattern) compose(dst []byte, n uint64) int {
	var digits [digitsMax + 1]byte
	i := len(digits)
	for ; n >= 10; n /= 10 {
		i--
		digits[i] = '0' + byte(n%10)
	}
	i--
	digits[i] = '0' + byte(n)
	for len(digits)-i < p.width {
		i--
		digits[i] = '0'
	}
	at := copy(dst, p.head)
	at += copy(dst[at:], digits[i:])
	dst[p.length] = p.fixed + byte(len(digits)-i)
	return at + copy(dst[at:], p.tail)
}

// packName returns a name from its text form, with the escapes of RFC 1035 §5.1.
func packName(text string) ([]byte, error) {
	packed := make([]byte, nameBytesMax+1)
	n, err := dns.PackDomainName(dns.Fqdn(text), packed, 0, nil, false)
	if err != nil {
		return nil, err
	}
	if n > nameBytesMax {
		return nil, errors.New("name over 255 bytes")
	}
	return packed[:n:n], nil
}
