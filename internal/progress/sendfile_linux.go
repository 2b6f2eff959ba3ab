package progress

import (
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SendFile writes n bytes of f from offset off with sendfile(2), not touching f's own offset, so
// that many connections may send from one *os.File at a time. idle is as for WriteParts. A
// file that ends early is io.ErrUnexpectedEOF. handled is false, and nothing was
// sent, if this connection or file cannot do it.
func (c *Conn) SendFile(f *os.File, off, n int64, idle time.Duration) (sent int64, handled bool, err error) {
	v := &c.vector
	if v.try == nil && !c.bindVector() {
		return 0, false, nil
	}
	file, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	c.write.wanted.Store(0)
	controlErr := file.Control(func(src uintptr) { sent, err = c.sendFrom(int(src), off, n, idle) })
	if controlErr != nil {
		return sent, true, controlErr
	}
	if sent == 0 && (err == errCannotSend) {
		return 0, false, nil
	}
	return sent, true, err
}

// errCannotSend says that sendfile does not work with that file.
var errCannotSend = &opError{op: "sendfile", errno: unix.EINVAL}

// maxSend is what one sendfile call is asked for, so that one fast client does not hold a processor for long.
const maxSend = 4 << 20

func (c *Conn) sendFrom(src int, off, n int64, idle time.Duration) (sent int64, err error) {
	v := &c.vector
	try := func(fd uintptr) bool {
		for {
			at := off + sent
			k, err := unix.Sendfile(int(fd), src, &at, int(min(n-sent, maxSend)))
			switch err {
			case nil:
				v.n, v.errno = k, 0
				return true
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				v.errno = unix.EAGAIN
				return !v.wait
			}
			v.errno, _ = err.(syscall.Errno)
			return true
		}
	}
	for sent < n {
		k, err := c.tryWrite(try, idle)
		if err != nil {
			if sent == 0 && (v.errno == unix.EINVAL || v.errno == unix.ENOSYS || v.errno == unix.EOPNOTSUPP) {
				return 0, errCannotSend
			}
			return sent, err
		}
		if k == 0 {
			return sent, io.ErrUnexpectedEOF
		}
		sent += int64(k)
	}
	return sent, nil
}
