package probe

import (
	"errors"
	"fmt"
	"strings"

	"secure-dns-proxy/ring/sys"
)

// needed are the operations the engine submits.
var needed = [...]struct {
	name string
	op   uint8
}{
	{"sendmsg", sys.OpSendmsg},
	{"recvmsg", sys.OpRecvmsg},
	{"timeout", sys.OpTimeout},
	{"accept", sys.OpAccept},
	{"async_cancel", sys.OpAsyncCancel},
	{"read", sys.OpRead},
	{"send", sys.OpSend},
	{"recv", sys.OpRecv},
}

// optional are setup flags that only make it faster, with the kernel that brought them.
var optional = [...]struct {
	name string
	flag uint32
}{{"TASKRUN_FLAG", sys.SetupTaskrunFlag}, {"NO_SQARRAY", sys.SetupNoSQArray}}

// look opens a ring of its own, notes what the kernel took, and checks that every needed operation is there: restricted
// kernels and sandboxes know fewer than their version says.
func (r *Report) look() (err error) {
	u, err := sys.OpenUring(8, 16)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.Close()) }()
	r.Features = u.Features
	for _, o := range optional {
		if u.Setup&o.flag == 0 {
			r.Without = append(r.Without, o.name)
		}
	}
	_, err = u.BusyPoll(0)
	r.BusyPoll = err == nil
	supported, err := u.Opcodes()
	if err != nil {
		return err
	}
	var missing []string
	for _, n := range needed {
		if int(n.op) >= len(supported) || !supported[n.op] {
			missing = append(missing, n.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the kernel lacks the operations %s", strings.Join(missing, ", "))
	}
	return nil
}
