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

// sendBoth is one writev(2) of two parts that are not empty.
func sendBoth(fd uintptr, first, second []byte) (int, syscall.Errno) {
	iov := [2]unix.Iovec{{Base: &first[0]}, {Base: &second[0]}}
	iov[0].SetLen(len(first))
	iov[1].SetLen(len(second))
	n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov)), uintptr(len(iov)))
	return int(n), errno
}
