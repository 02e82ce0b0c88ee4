package config

import (
	"path/filepath"
	"strings"

	"secure-dns-proxy/appliance/control"
)

// Control is the socket for operators. An empty Socket means off.
type Control struct{ Socket string }

// controlKeys are the keys of [control].
var controlKeys = []key[Control]{{
	name: "socket", standard: `""`, bounds: `an absolute path, or "" for off`,
	read: readSocket, get: func(t *Control) any { return &t.Socket },
}}

func readSocket(c *checker, t *Control, v value) {
	s, ok := c.text(v)
	switch {
	case !ok:
	case s == "":
		t.Socket = ""
	case !filepath.IsAbs(s) || strings.HasSuffix(s, "/"):
		c.fault(v, "%q is not an absolute path of a file", s)
	case len(s) > control.PathBytesMax:
		c.fault(v, "%d bytes long: the path of a socket has at most %d", len(s), control.PathBytesMax)
	default:
		t.Socket = filepath.Clean(s)
	}
}
