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

// File is whose the socket is, who else than root may connect.
type File struct {
	UID, GID int         // -1: those of the process
	Mode     os.FileMode // connecting takes write permission; 0: SocketMode
	Folder   bool        // a folder that has to be made is given to UID and GID, too
}

// Own is the socket of the process itself.
func Own() File { return File{UID: -1, GID: -1} }

// SocketMode lets owner and group connect.
const SocketMode = 0o660

// listen binds path. A socket that nobody serves any more is replaced; one that is served, or another kind of file, is an error. The
// folder is made if it is missing.
func listen(path string, file File) (*net.UnixListener, error) {
	if file.Mode == 0 {
		file.Mode = SocketMode
	}
	if err := makeFolder(filepath.Dir(path), file); err != nil {
		return nil, err
	}
	if err := clearPath(path); err != nil {
		return nil, err
	}
	// The mode is set before bind, so that the file never has a wider one (the kernel takes the socket's own, less the umask), and
	// again after it, because of the umask.
	cfg := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(file.Mode.Perm())) }), err)
	}}
	l, err := cfg.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err = os.Chmod(path, file.Mode.Perm()); err == nil && (file.UID >= 0 || file.GID >= 0) {
		err = os.Chown(path, file.UID, file.GID)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

func makeFolder(folder string, file File) error {
	err := os.Mkdir(folder, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	case file.Folder:
		return os.Chown(folder, file.UID, file.GID)
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
