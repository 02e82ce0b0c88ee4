// Package sys is the door to the kernel for the data plane: memory, threads, sockets, eventfd, batched datagram calls,
// epoll, and the io_uring ABI on top of github.com/iceber/iouring-go/syscall. Nothing else in ring or worker imports
// golang.org/x/sys/unix.
//
// Functions used at setup return errors wrapped with the call's name. Functions used on the hot path return syscall.Errno,
// allocate nothing, and say whether they keep the Go scheduler's P (raw) or release it.
package sys
