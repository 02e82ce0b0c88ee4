package sys

import (
	"unsafe"

	iouring "github.com/iceber/iouring-go/syscall"
)

// Concrete types from iouring-go. Its interfaces are not used: a dynamic call per entry, and Clone allocates. Call Reset
// before PrepOperation, which does not clear flags.
type (
	SQE    = iouring.SubmissionQueueEntry64
	CQE    = iouring.CompletionQueueEvent16
	Params = iouring.IOURingParams
)

// Setup flags (include/uapi/linux/io_uring.h). The first two are iouring-go's own.
const (
	SetupCQSize       = iouring.IORING_SETUP_CQSIZE
	SetupSubmitAll    = iouring.IORING_SETUP_SUBMIT_ALL
	SetupTaskrunFlag  = iouring.IORING_SETUP_TASKRUN_FLAG
	SetupSingleIssuer = uint32(1 << 12) // 6.0
	SetupDeferTaskrun = uint32(1 << 13) // 6.1
	SetupNoSQArray    = uint32(1 << 16) // 6.6
)

// Features reported by setup.
const (
	FeatureSingleMmap = iouring.IORING_FEAT_SINGLE_MMAP
	FeatureNoDrop     = iouring.IORING_FEAT_NODROP
	FeatureFastPoll   = iouring.IORING_FEAT_FAST_POLL
	FeatureExtArg     = uint32(1 << 8)
	FeatureCQESkip    = uint32(1 << 11)
)

// Enter flags.
const (
	enterGetEvents      = iouring.IORING_ENTER_FLAGS_GETEVENTS
	enterExtArg         = uint32(1 << 3)
	enterRegisteredRing = uint32(1 << 4)
)

// Bits of the submission queue's flag word, the only one that other CPUs write.
const (
	sqOverflow = iouring.IORING_SQ_CQ_OVERFLOW
	sqTaskrun  = uint32(1 << 2)
)

// Flags of a submission entry.
const (
	SQEFixedFile    = iouring.IOSQE_FLAGS_FIXED_FILE
	SQEBufferSelect = iouring.IOSQE_FLAGS_BUFFER_SELECT
	SQESkipSuccess  = uint8(1 << 6) // no completion unless it fails
)

// Flags of a completion.
const (
	CQEBuffer      = uint32(1 << 0) // the upper 16 bits are a buffer id
	CQEMore        = uint32(1 << 1) // the multishot goes on
	CQEBufferShift = 16
)

// Values for the ioprio field of receive and accept.
const (
	RecvMultishot   = uint16(1 << 1)
	AcceptMultishot = uint16(1 << 0)
)

// Opcodes used by the engines, for the probe as well.
const (
	OpSendmsg     = iouring.IORING_OP_SENDMSG
	OpRecvmsg     = iouring.IORING_OP_RECVMSG
	OpTimeout     = iouring.IORING_OP_TIMEOUT
	OpAccept      = iouring.IORING_OP_ACCEPT
	OpAsyncCancel = iouring.IORING_OP_ASYNC_CANCEL
	OpRead        = iouring.IORING_OP_READ
	OpSend        = iouring.IORING_OP_SEND
	OpRecv        = iouring.IORING_OP_RECV
)

// Register opcodes.
const (
	registerFilesUpdate     = uint32(iouring.IORING_REGISTER_FILES_UPDATE)
	registerProbe           = uint32(iouring.IORING_REGISTER_PROBE)
	registerFiles2          = uint32(13)
	registerIOWQMaxWorkers  = uint32(19)
	registerRingFDs         = uint32(20)
	registerPbufRing        = uint32(22)
	unregisterPbufRing      = uint32(23)
	registerPbufStatus      = uint32(26) // 6.8
	registerNAPI            = uint32(27) // 6.9
	registerFilesFlagSparse = uint32(1)
)

// Timespec is struct __kernel_timespec.
type Timespec struct{ Sec, Nsec int64 }

// getEventsArg is struct io_uring_getevents_arg.
type getEventsArg struct {
	sigmask     uint64
	sigmaskSize uint32
	minWaitUsec uint32
	timespec    uint64
}

// rsrcRegister is struct io_uring_rsrc_register; rsrcUpdate is struct io_uring_rsrc_update and, with Data a pointer to
// descriptors, struct io_uring_files_update.
type (
	rsrcRegister struct {
		count, flags uint32
		_            uint64
		data, tags   uint64
	}
	rsrcUpdate struct {
		offset, _ uint32
		data      uint64
	}
)

// bufEntry is struct io_uring_buf. In entry 0 the last field is the ring's tail.
type bufEntry struct {
	address uint64
	bytes   uint32
	id      uint16
	_       uint16
}

// bufRegister is struct io_uring_buf_reg, bufStatus is struct io_uring_buf_status.
type (
	bufRegister struct {
		address uint64
		entries uint32
		group   uint16
		flags   uint16
		_       [3]uint64
	}
	bufStatus struct {
		group, head uint32
		_           [8]uint32
	}
)

// napi is struct io_uring_napi. What came with 6.13 (opcode, op_param) keeps its meaning when it is zero.
type napi struct {
	busyPollMicros uint32
	preferBusyPoll uint8
	_              [3]uint8
	_              uint64
}

// probeHead and probeOp are struct io_uring_probe and struct io_uring_probe_op.
type (
	probeHead struct {
		lastOp, opsLen uint8
		_              uint16
		_              [3]uint32
	}
	probeOp struct {
		op, _ uint8
		flags uint16
		_     uint32
	}
)

// RecvmsgOut is struct io_uring_recvmsg_out, at the start of a multishot recvmsg buffer. Name, control and payload follow at
// offsets fixed by the lengths that were submitted, not by these.
type RecvmsgOut struct {
	NameLen, ControlLen, PayloadLen, Flags uint32
}

// RecvmsgOutBytes is the size of RecvmsgOut.
const RecvmsgOutBytes = 16

// A wrong size or offset makes one of these array lengths negative or different: the package does not compile.
var (
	_ [64]byte  = [unsafe.Sizeof(SQE{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(CQE{})]byte{}
	_ [120]byte = [unsafe.Sizeof(Params{})]byte{}
	_ [8]byte   = [unsafe.Offsetof(Params{}.Flags)]byte{}
	_ [20]byte  = [unsafe.Offsetof(Params{}.Features)]byte{}
	_ [40]byte  = [unsafe.Offsetof(Params{}.SQOffset)]byte{}
	_ [80]byte  = [unsafe.Offsetof(Params{}.CQOffset)]byte{}
	_ [16]byte  = [unsafe.Offsetof(Params{}.SQOffset.Flags)]byte{}
	_ [24]byte  = [unsafe.Offsetof(Params{}.SQOffset.Array)]byte{}
	_ [20]byte  = [unsafe.Offsetof(Params{}.CQOffset.Cqes)]byte{}
	_ [16]byte  = [unsafe.Sizeof(Timespec{})]byte{}
	_ [24]byte  = [unsafe.Sizeof(getEventsArg{})]byte{}
	_ [16]byte  = [unsafe.Offsetof(getEventsArg{}.timespec)]byte{}
	_ [32]byte  = [unsafe.Sizeof(rsrcRegister{})]byte{}
	_ [16]byte  = [unsafe.Offsetof(rsrcRegister{}.data)]byte{}
	_ [16]byte  = [unsafe.Sizeof(rsrcUpdate{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(bufEntry{})]byte{}
	_ [12]byte  = [unsafe.Offsetof(bufEntry{}.id)]byte{}
	_ [40]byte  = [unsafe.Sizeof(bufRegister{})]byte{}
	_ [40]byte  = [unsafe.Sizeof(bufStatus{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(napi{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(probeHead{})]byte{}
	_ [8]byte   = [unsafe.Sizeof(probeOp{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(RecvmsgOut{})]byte{}
	_ [8]byte   = [unsafe.Sizeof(uintptr(0))]byte{} // descriptors and addresses are stored as 64-bit words
)
