package control

import (
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"
)

// Access says which callers may do what, by the user and groups of the process that asks, as the kernel knows them. Root and the user that this process runs
// as may do everything. The zero value lets everybody do everything who may connect.
type Access struct {
	Read, Write Accounts // to ask, and to command, which includes asking
}

// Accounts are users and groups by number.
type Accounts struct{ Users, Groups []int }

// Any reports whether there are any.
func (a *Accounts) Any() bool { return len(a.Users)+len(a.Groups) != 0 }

// holds reports whether c is one of them. groups are c's.
func (a *Accounts) holds(c caller, groups []int) bool {
	return slices.Contains(a.Users, int(c.uid)) || slices.ContainsFunc(groups, func(g int) bool { return slices.Contains(a.Groups, g) })
}

// allows reports whether c, whose own user this process's is or not, may ask, or with write command.
func (a *Access) allows(c caller, self bool, write bool) bool {
	if !a.Read.Any() && !a.Write.Any() {
		return true
	}
	if !c.known {
		return false
	}
	if self || c.uid == 0 {
		return true
	}
	groups := c.groups()
	if a.Write.holds(c, groups) {
		return true
	}
	return !write && (!a.Read.Any() || a.Read.holds(c, groups))
}

// groups are that of the process and those that its user is in.
func (c caller) groups() []int {
	list := []int{int(c.gid)}
	u, err := user.LookupId(strconv.FormatInt(c.uid, 10))
	if err != nil {
		return list // a user without a name is in no other group
	}
	ids, err := u.GroupIds()
	if err != nil {
		return list
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// Allow puts a in force. Any goroutine, at any time.
func (s *Server) Allow(a Access) { s.access.Store(&a) }

// admit reports whether a request may go on; else it is answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	access := s.access.Load()
	if access == nil {
		return true
	}
	c, _ := r.Context().Value(callerKey{}).(caller)
	commands := r.Method != http.MethodGet && r.Method != http.MethodHead
	if access.allows(c, c.uid == int64(os.Geteuid()), commands) {
		return true
	}
	s.Counters.Denied.Add(1)
	if n, tell := s.denials.Tell(time.Now()); tell {
		s.log.Warn("control: denied", "command", r.Method+" "+r.URL.Path, "from", c.String(), "also denied since the last line", n)
	}
	text := "you may not ask"
	if commands {
		text = "you may not command"
	}
	write(w, http.StatusForbidden, map[string]string{"error": text + " (" + c.String() + ")"})
	return false
}

// callerKey is what the context of a request has its caller under.
type callerKey struct{}
