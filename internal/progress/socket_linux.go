package progress

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here never block, so the scheduler is not told of them (RawSyscall): it would see
// a long one now and then and hand our processor to another thread. send and recv are cheaper
// than write and read, which look after a file's position first.

// send is one send(2) of a part that is not empty.
func send(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// receive is one recv(2) into a buffer that is not empty.
func receive(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// sendParts is one writev(2) of up to three parts that are not empty.
func sendParts(fd uintptr, parts [][]byte) (int, syscall.Errno) {
	var iov [3]unix.Iovec
	for i, p := range parts {
		iov[i].Base = &p[0]
		iov[i].SetLen(len(p))
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov)), uintptr(len(parts)))
	return int(n), errno
}
