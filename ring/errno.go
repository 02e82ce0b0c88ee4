package ring

import "syscall"

// PeerCaused reports whether an error of a datagram socket was reported by the network about one datagram: it is consumed
// by being read, so the socket can be armed again at once.
func PeerCaused(errno syscall.Errno) bool {
	switch errno {
	case syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.ENONET, syscall.ENOPROTOOPT, syscall.EPROTO, syscall.EMSGSIZE, syscall.EOPNOTSUPP, syscall.EACCES,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPERM:
		return true
	}
	return false
}

// Shortage reports whether accepting failed for want of something that trying again at once cannot bring: descriptors or memory.
func Shortage(errno syscall.Errno) bool {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return true
	}
	return false
}

// NoRoom reports whether sending failed for want of buffer space on this machine: it says nothing of the peer.
func NoRoom(errno syscall.Errno) bool {
	return errno == syscall.EAGAIN || errno == syscall.ENOBUFS || errno == syscall.ENOMEM
}

// again reports whether an operation ended without a result and is simply submitted once more. ECANCELED comes from our own
// cancellations while recovering from lost completions.
func again(errno syscall.Errno) bool {
	return errno == syscall.EAGAIN || errno == syscall.EINTR || errno == syscall.ECANCELED
}
