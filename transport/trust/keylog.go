package trust

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
)

// KeyLog is a file that gets the secrets of TLS connections, as Wireshark reads them (RFC 9850, "SSLKEYLOGFILE"). crypto/tls writes to it
// with one call per line, one at a time.
type KeyLog struct {
	Path string

	file    *os.File
	problem atomic.Pointer[error]
}

// OpenKeyLog opens the file to append to it, and makes sure that nobody but its owner may read it. It follows no symbolic link, and takes
// nothing but a plain file: a pipe would stop handshakes, and a device is not ours to close to others.
func OpenKeyLog(path string) (*KeyLog, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tls key log: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a plain file", path)
	}
	if err == nil {
		err = file.Chmod(0o600) // it may have been there, open to others
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("tls key log: %w", err)
	}
	return &KeyLog{Path: path, file: file}, nil
}

// Write appends one line. It always succeeds for the caller, whose handshake would fail with it: a full disk must not end the service.
func (k *KeyLog) Write(line []byte) (int, error) {
	if _, err := k.file.Write(line); err != nil {
		k.problem.CompareAndSwap(nil, &err)
	}
	return len(line), nil
}

// Problem returns why a line is missing in the file, nil if none is.
func (k *KeyLog) Problem() error {
	if err := k.problem.Load(); err != nil {
		return *err
	}
	return nil
}

// Close closes the file. Connections that still hold k write to nowhere.
func (k *KeyLog) Close() error { return k.file.Close() }
