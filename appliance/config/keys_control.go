package config

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"secure-dns-proxy/appliance/control"
)

// Control is the socket for operators. An empty Socket means off.
type Control struct {
	Socket       string
	Owner, Group *Account // of the file; nil: those of the user that the proxy runs as
	Mode         os.FileMode

	ReadUsers, ReadGroups, WriteUsers, WriteGroups []Account
}

// Account is a user or a group of this machine, as it was written, and its number.
type Account struct {
	Name string
	ID   int
}

// controlKeys are the keys of [control].
var controlKeys = []key[Control]{
	{
		name: "socket", standard: `""`, bounds: `an absolute path, or "" for off`,
		read: readSocket, get: func(t *Control) any { return &t.Socket },
	},
	ownerKey("owner", "user", userID, func(t *Control) **Account { return &t.Owner }),
	ownerKey("group", "group", groupID, func(t *Control) **Account { return &t.Group }),
	{
		name: "mode", standard: `"0660"`, bounds: `"0600" to "0777" in octal`, get: func(t *Control) any { return &t.Mode },
		read: func(c *checker, t *Control, v value) {
			text, ok := c.text(v)
			if !ok {
				return
			}
			n, err := strconv.ParseUint(text, 8, 32)
			if err != nil || n > 0o777 || n&0o600 != 0o600 {
				c.fault(v, "%q is no mode that lets the owner connect: \"0600\" to \"0777\" in octal", text)
				return
			}
			t.Mode = os.FileMode(n)
		},
	},
	accountsKey("read_users", "users", userID, func(t *Control) *[]Account { return &t.ReadUsers }),
	accountsKey("read_groups", "groups", groupID, func(t *Control) *[]Account { return &t.ReadGroups }),
	accountsKey("write_users", "users", userID, func(t *Control) *[]Account { return &t.WriteUsers }),
	accountsKey("write_groups", "groups", groupID, func(t *Control) *[]Account { return &t.WriteGroups }),
}

// Access is who may do what over the socket.
func (t *Control) Access() control.Access {
	ids := func(list []Account) (out []int) {
		for _, a := range list {
			out = append(out, a.ID)
		}
		return out
	}
	return control.Access{
		Read:  control.Accounts{Users: ids(t.ReadUsers), Groups: ids(t.ReadGroups)},
		Write: control.Accounts{Users: ids(t.WriteUsers), Groups: ids(t.WriteGroups)},
	}
}

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

// ownerKey is a user or a group of the file.
func ownerKey(name, kind string, find func(string) (int, error), at func(*Control) **Account) key[Control] {
	return key[Control]{
		name: name, standard: `""`, bounds: "a " + kind + " of this machine, by name or number, or \"\" for the proxy's own",
		get: func(t *Control) any { return at(t) },
		read: func(c *checker, t *Control, v value) {
			if text, ok := c.text(v); ok && text != "" {
				*at(t) = c.account(v, text, find)
			}
		},
	}
}

// accountsKey is a list of users or groups.
func accountsKey(name, kind string, find func(string) (int, error), at func(*Control) *[]Account) key[Control] {
	return key[Control]{
		name: name, standard: "[]", bounds: fmt.Sprintf("0 to %d %s of this machine, by name or number", accountsMax, kind),
		get: func(t *Control) any { return at(t) },
		read: func(c *checker, t *Control, v value) {
			items, ok := c.oneOrMany(v, accountsMax)
			if !ok {
				return
			}
			*at(t) = nil
			for _, item := range items {
				if text, ok := c.text(item); ok {
					if a := c.account(item, text, find); a != nil {
						*at(t) = append(*at(t), *a)
					}
				}
			}
		},
	}.reload()
}

// accountsMax bounds a list of users or groups.
const accountsMax = 256

func (c *checker) account(v value, text string, find func(string) (int, error)) *Account {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return &Account{text, int(n)}
	}
	n, err := find(text)
	if err != nil {
		c.fault(v, "%v", err)
		return nil
	}
	return &Account{text, n}
}

func userID(name string) (int, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("user %q does not exist on this machine", name)
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q does not exist on this machine", name)
	}
	return strconv.Atoi(g.Gid)
}
