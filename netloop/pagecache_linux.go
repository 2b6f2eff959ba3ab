//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inPageCache reports whether the byte at the offset can be read without waiting for the disk. It also returns true where the
// system cannot tell.
func inPageCache(file *os.File, offset int64) bool {
	var b byte
	vector := syscall.Iovec{Base: &b, Len: 1}
	_, _, errno := syscall.RawSyscall6(unix.SYS_PREADV2, file.Fd(), uintptr(unsafe.Pointer(&vector)), 1, uintptr(offset), 0, unix.RWF_NOWAIT)
	runtime.KeepAlive(file)
	return errno != syscall.EAGAIN
}
