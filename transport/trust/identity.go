package trust

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Identity is a client certificate with its key, from two PEM files, which may be one and the same. Whoever renews them need tell nobody:
// before each handshake the files are looked at (two calls of stat), and read again if they have changed. While new files cannot be used,
// the certificate before stays in use, and Problem says why.
type Identity struct {
	certFile, keyFile string

	mu          sync.Mutex
	seen        [2]os.FileInfo // as of the last reading, good or bad
	certificate *tls.Certificate
	leaf        *Leaf
	generation  uint64 // grows with each new certificate
	problem     error
}

// LoadIdentity reads the two files. Its errors name the file and what to do, and never hold anything of the key.
func LoadIdentity(certFile, keyFile string) (*Identity, error) {
	i := &Identity{certFile: certFile, keyFile: keyFile}
	i.refresh()
	if i.problem != nil {
		return nil, i.problem
	}
	return i, nil
}

// Problem says why the files as they are now cannot be used; nil if they are in use.
func (i *Identity) Problem() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refresh()
	return i.problem
}

// Leaf returns the certificate in use.
func (i *Identity) Leaf() *Leaf {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.leaf
}

// current returns the certificate for a handshake, and a number that changes with it.
func (i *Identity) current() (*tls.Certificate, uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refresh()
	return i.certificate, i.generation
}

// refresh reads the files if they have changed. mu is held, or i is nobody else's yet.
func (i *Identity) refresh() {
	var now [2]os.FileInfo
	for n, file := range []string{i.certFile, i.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			i.problem, i.seen = fileProblem(file, err), [2]os.FileInfo{} // read when they are back, though they look as before
			return
		}
		now[n] = info
	}
	if sameFile(now[0], i.seen[0]) && sameFile(now[1], i.seen[1]) {
		return
	}
	i.seen = now
	certificate, err := readKeyPair(i.certFile, i.keyFile)
	i.problem = err
	if err != nil {
		return
	}
	leaf := leafOf(certificate.Leaf)
	if i.leaf == nil || i.leaf.Fingerprint != leaf.Fingerprint {
		i.generation++
	}
	i.certificate, i.leaf = certificate, leaf
}

func sameFile(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func readKeyPair(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := readLimited(certFile)
	if err != nil {
		return nil, fileProblem(certFile, err)
	}
	key, err := readLimited(keyFile)
	if err != nil {
		return nil, fileProblem(keyFile, err)
	}
	if encrypted(key) {
		return nil, fmt.Errorf("%q: the key is protected by a passphrase, which nobody could type: store it without one, readable by the proxy's user alone", keyFile)
	}
	pair, err := tls.X509KeyPair(chain, key) // its errors tell of kinds and mismatch, not of contents
	if err != nil {
		return nil, fmt.Errorf("%q with key %q: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keyFileBytesMax+1))
	if err == nil && len(text) > keyFileBytesMax {
		err = fmt.Errorf("larger than %d bytes, is this the right file?", keyFileBytesMax)
	}
	return text, err
}

func fileProblem(file string, err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%q: cannot read: %w: the user that the proxy runs as must be able to", file, err)
	}
	return fmt.Errorf("%q: cannot read: %w", file, err)
}

// encrypted finds both forms of passphrases: PKCS #8, and the header of older ones (RFC 1421).
func encrypted(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}
