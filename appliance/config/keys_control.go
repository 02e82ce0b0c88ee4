package config

import "secure-dns-proxy/appliance/control"

// Control is the socket for operators. An empty Socket means off.
type Control struct{ Socket string }

// controlKeys are the keys of [control].
var controlKeys = []key[Control]{{
	name: "socket", standard: `""`, bounds: `an absolute path, or "" for off`,
	read: readSocket, get: func(t *Control) any { return &t.Socket },
}}

func readSocket(c *checker, t *Control, v value) {
	path, ok := c.absolutePath(v)
	switch {
	case !ok:
	case len(path) > control.PathBytesMax:
		c.fault(v, "%d bytes long: the path of a socket has at most %d", len(path), control.PathBytesMax)
	default:
		t.Socket = path
	}
}
