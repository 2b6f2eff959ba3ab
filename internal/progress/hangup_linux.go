package progress

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AwaitHangup waits, reading nothing, until the peer has ended its stream (ended) or cannot read any more either
// (broken). With broken alone wanted it passes over the first. It fails like a Read: with
// os.ErrDeadlineExceeded, or with ErrInterrupted; it is a Read to those who set deadlines or interrupt.
func (c *Conn) AwaitHangup(onlyBroken bool) (broken bool, err error) {
	if c.reader.try == nil && !c.bindReader() {
		return false, errors.ErrUnsupported
	}
	wanted := int16(unix.POLLHUP | unix.POLLERR)
	if !onlyBroken {
		wanted |= unix.POLLRDHUP
	}
	var seen int16
	err = c.retryRead(func(fd uintptr) bool {
		seen = hangup(fd)
		return seen&wanted != 0
	})
	return seen&(unix.POLLHUP|unix.POLLERR) != 0, err
}

// Hangup reports whether by now the peer has ended its stream, and whether it has gone for good, which an ended stream
// alone does not show. Others may read and write meanwhile.
func (c *Conn) Hangup() (ended, broken bool) {
	raw := c.descriptor()
	if raw == nil {
		return false, false
	}
	var seen int16
	err := raw.Control(func(fd uintptr) { seen = hangup(fd) })
	return seen&unix.POLLRDHUP != 0, err != nil || seen&(unix.POLLHUP|unix.POLLERR) != 0
}

// hangup is one poll(2) that does not wait.
func hangup(fd uintptr) int16 {
	look := unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&look)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 || n == 0 {
		return 0
	}
	return look.Revents
}
