package config

import "os"

// secretFile reads a file that holds a secret, and warns if it is open to everybody; why says what they could do. False: v is no path, empty, or the file
// cannot be read or is too large.
func (c *checker) secretFile(v value, why string) (file string, text []byte, ok bool) {
	if file, ok = c.text(v); !ok || file == "" {
		return "", nil, false
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		c.fault(v, "%q: %s", file, fileFault(err))
		return "", nil, false
	case info.Size() > secretFileBytesMax:
		c.fault(v, "%q has %d bytes: at most %d are allowed", file, info.Size(), secretFileBytesMax)
		return "", nil, false
	case info.Mode().Perm()&0o007 != 0:
		c.warn(v, "everybody on this machine may read %q: %s (chmod o= %s)", file, why, file)
	}
	if text, err = os.ReadFile(file); err != nil {
		c.fault(v, "%q: %s", file, fileFault(err))
		return "", nil, false
	}
	return file, text, true
}
