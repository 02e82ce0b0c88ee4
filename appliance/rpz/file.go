package rpz

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"secure-dns-proxy/appliance/pace"
	"secure-dns-proxy/worker/rpz"
)

// wireName packs a name that was checked.
func wireName(name string) []byte {
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		panic(fmt.Sprintf("rpz: name %q was checked: %v", name, err))
	}
	return buf[:n]
}

// packer takes records apart as a rpz.Builder wants them.
type packer struct{ buf []byte }

// fields are valid until the next call.
func (p *packer) fields(rr dns.RR) (owner []byte, ttl uint32, data []byte, err error) {
	if p.buf == nil {
		p.buf = make([]byte, 2*dns.MaxMsgSize)
	}
	h := rr.Header()
	end, err := dns.PackRR(rr, p.buf, 0, nil, false)
	if err != nil {
		return nil, 0, nil, err
	}
	n := 0
	for p.buf[n] != 0 {
		n += 1 + int(p.buf[n])
	}
	n++
	if data = p.buf[n+10 : end]; len(data) == 0 || nameless(rr) {
		return nil, 0, nil, errors.New("has no data")
	}
	return p.buf[:n], h.Ttl, data, nil
}

// nameless reports whether a record lacks the name that it is about: the parser takes an empty one, which would be packed as the root, and a CNAME to the root
// means NXDOMAIN.
func nameless(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.CNAME:
		return rr.Target == ""
	case *dns.MX:
		return rr.Mx == ""
	case *dns.PTR:
		return rr.Ptr == ""
	case *dns.SRV:
		return rr.Target == ""
	}
	return false
}

// lineReader counts the lines that a parser has read: it reads no further than it must.
type lineReader struct {
	in   *bufio.Reader
	line int
}

// ReadByte makes the parser read from here byte by byte.
func (r *lineReader) ReadByte() (byte, error) {
	c, err := r.in.ReadByte()
	if c == '\n' {
		r.line++
	}
	return c, err
}

func (r *lineReader) Read([]byte) (int, error) { panic("rpz: the parser reads byte by byte") }

// readZone reads the zone file at path, at the given pace. Any record that is wrong is an error, with the file and the line on which the record ends.
func readZone(path, name string, gently *pace.Pace) (*rpz.Zone, error) {
	f, err := pace.Open(path)
	if err != nil {
		return nil, fmt.Errorf("response policy zone %s: %w", name, err)
	}
	defer f.Close()
	return parseZone(gently.Reader(f), path, name)
}

// CheckFiles reads the zone files of a configuration and returns what is wrong with each.
func (c *Config) CheckFiles() (errs []error) {
	for i := range c.Zones {
		if z := &c.Zones[i]; z.File != "" {
			if _, err := readZone(z.File, z.Name, nil); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

func parseZone(text io.Reader, path, name string) (*rpz.Zone, error) {
	lines := &lineReader{in: bufio.NewReaderSize(text, 1<<16)}
	b := rpz.NewBuilder(wireName(name))
	p := dns.NewZoneParser(lines, name, path)
	var pack packer
	n := 0
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		n++
		owner, ttl, data, err := pack.fields(rr)
		if err == nil && rr.Header().Class != dns.ClassINET {
			err = errors.New("has another class than IN")
		}
		if err == nil {
			err = b.Add(owner, rr.Header().Rrtype, ttl, data)
		}
		if err == nil && n > triggersMax {
			err = fmt.Errorf("more than %d records", triggersMax)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", path, lines.line, rr.Header().Name, err)
		}
	}
	if err := p.Err(); err != nil { // it has file, line and column
		return nil, errors.New(strings.Replace(err.Error(), "dns: ", "", 1))
	}
	z, err := b.Zone()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return z, nil
}

// copyPath is where the last good copy of a zone is; "": none is kept.
func copyPath(directory, name string) string {
	if directory == "" {
		return ""
	}
	return filepath.Join(directory, strings.ReplaceAll(strings.TrimSuffix(name, "."), "/", "%2f")+".zone")
}

// writeZone writes a zone file to path, whole or not at all.
func writeZone(path, name string, z *rpz.Zone) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".rpz-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := printZone(f, name, z); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return f.Close()
}

// printZone writes a zone as text.
func printZone(to io.Writer, name string, z *rpz.Zone) error {
	w := bufio.NewWriterSize(to, 1<<16)
	buf := make([]byte, 0, 2*dns.MaxMsgSize)
	line := func(owner []byte, rrtype uint16, ttl uint32, data []byte) error {
		buf = append(buf[:0], owner...)
		buf = append(buf, byte(rrtype>>8), byte(rrtype), 0, dns.ClassINET, byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl))
		buf = append(append(buf, byte(len(data)>>8), byte(len(data))), data...)
		rr, _, err := dns.UnpackRR(buf, 0)
		if err != nil {
			return fmt.Errorf("a record of %s that cannot be written: %w", name, err)
		}
		_, err = w.WriteString(rr.String() + "\n")
		return err
	}
	soa := z.SOA()
	if err := line(z.Origin(), dns.TypeSOA, soa.TTL, soa.Data); err != nil {
		return err
	}
	var failed error
	z.All(func(owner []byte, rrtype uint16, ttl uint32, data []byte) bool {
		failed = line(owner, rrtype, ttl, data)
		return failed == nil
	})
	return errors.Join(failed, w.Flush())
}

// stamp is what tells one state of a file from another.
type stamp struct {
	size  int64
	time  time.Time
	inode uint64
}
