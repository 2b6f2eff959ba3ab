package progress

import (
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reader is what a read needs, kept with the connection so that one costs no memory.
type reader struct {
	try   func(fd uintptr) bool // readOnce, bound once
	buf   []byte
	n     int
	errno syscall.Errno
	lend  Lender // of buf, for this read; nil: it is the caller's

	ask     func(fd uintptr) bool // askOnce, bound once
	request []byte                // to be written before the read; nil once it was tried
	written int
}

// readRaw reads once, past net.Conn: the system call never blocks, so the scheduler is not
// told of it, as with writeOnce.
func (c *Conn) readRaw(p []byte) (int, error) {
	r := &c.reader
	if len(p) == 0 || r.try == nil && !c.bindReader() {
		return c.Conn.Read(p)
	}
	r.buf = p
	err := c.raw.Read(r.try)
	r.buf = nil
	switch {
	case err != nil:
		return 0, err
	case r.errno != 0:
		return 0, &opError{op: "read", errno: r.errno}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// readLent is readRaw with room that is lent.
func (c *Conn) readLent(l Lender) (int, error) {
	r := &c.reader
	if r.try == nil && !c.bindReader() {
		return c.Conn.Read(l.Lend())
	}
	r.lend = l
	err := c.raw.Read(r.try)
	r.buf, r.lend = nil, nil
	switch {
	case err != nil:
		return 0, err
	case r.errno != 0:
		return 0, &opError{op: "read", errno: r.errno}
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

func (c *Conn) bindReader() bool {
	if !c.bindRaw() {
		return false
	}
	c.reader.try = c.reader.readOnce
	c.reader.ask = c.reader.askOnce
	return true
}

// bindRaw finds the connection's descriptor, once. It reports false if there is none.
func (c *Conn) bindRaw() bool {
	if c.raw == nil {
		c.raw = c.descriptor()
	}
	return c.raw != nil
}

// descriptor returns that of Conn, nil if there is none.
func (c *Conn) descriptor() syscall.RawConn {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// Ask writes request and then reads once into p, for a peer that answers only when asked. It is Write
// and Read in one, but for this: it does not look for the answer, which cannot be there yet,
// before it waits for it, and so saves a system call. Where written is less than the request, n
// is 0 and err says why it could not be written. Without err nothing was read: p is for a Read to fill.
func (c *Conn) Ask(request, p []byte, idle time.Duration) (written int64, n int, err error) {
	r := &c.reader
	if r.try == nil && !c.bindReader() {
		written, err = c.WriteParts(request, nil, nil, idle)
		return written, 0, err
	}
	r.buf, r.request, r.written, r.n, r.errno = p, request, 0, 0, 0
	err = c.retryRead(r.ask)
	r.buf, r.request = nil, nil
	written = int64(r.written)
	switch {
	case err != nil:
		return written, 0, err
	case r.errno != 0 && r.errno != unix.EAGAIN:
		op := "read"
		if r.written < len(request) {
			op = "write"
		}
		return written, 0, &opError{op: op, errno: r.errno}
	case r.written < len(request): // the socket is full
		more, err := c.WriteParts(request[r.written:], nil, nil, idle)
		return written + more, 0, err
	case r.n == 0:
		return written, 0, io.EOF
	}
	return written, r.n, nil
}

// retryRead runs try on the descriptor, again after a deadline that nobody wants any more.
func (c *Conn) retryRead(try func(uintptr) bool) error {
	for {
		err := c.raw.Read(try)
		if err == nil {
			return nil
		}
		if err = c.afterDeadline(err); err != nil {
			return err
		}
	}
}

// askOnce writes the request the first time, and is called again when the answer is there. The poller
// was armed before the write, so that an answer cannot slip in between unnoticed.
func (r *reader) askOnce(fd uintptr) bool {
	if r.request == nil {
		return r.readOnce(fd)
	}
	request := r.request
	r.request = nil
	for {
		n, errno := send(fd, request)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			r.errno = errno
			return true
		}
		r.written = n
		return r.written < len(request)
	}
}

// readOnce is one read. It reports false to wait for something to read.
func (r *reader) readOnce(fd uintptr) bool {
	if r.lend != nil {
		r.buf = r.lend.Lend()
	}
	for {
		n, errno := receive(fd, r.buf)
		switch errno {
		case 0:
			r.n, r.errno = n, 0
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			if r.lend != nil {
				r.buf = nil
				r.lend.TakeBack()
			}
			return false
		}
		r.n, r.errno = 0, errno
		return true
	}
}
