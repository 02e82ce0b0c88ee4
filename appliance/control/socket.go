package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Owner is who else than root may use the socket. The zero value leaves it to whoever the process is.
type Owner struct {
	Set      bool
	UID, GID int
}

// socketMode lets owner and group connect, which takes write permission.
const socketMode = 0o660

// listen binds path. A socket that nobody serves any more is replaced; one that is served, or another kind of file, is an error. The
// folder is made if it is missing.
func listen(path string, owner Owner) (*net.UnixListener, error) {
	if err := makeFolder(filepath.Dir(path), owner); err != nil {
		return nil, err
	}
	if err := clearPath(path); err != nil {
		return nil, err
	}
	// The mode is set before bind, so that the file never has a wider one (the kernel takes the socket's own, less the umask), and
	// again after it, because of the umask.
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) }), err)
	}}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(path, socketMode); err == nil && owner.Set {
		err = os.Chown(path, owner.UID, owner.GID)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

func makeFolder(folder string, owner Owner) error {
	err := os.Mkdir(folder, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	case owner.Set:
		return os.Chown(folder, owner.UID, owner.GID)
	}
	return nil
}

// clearPath removes what a dead process left behind.
func clearPath(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is in use by another process", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
