package progress

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// vector is what a gathering write needs, kept with the connection so that one costs no memory.
type vector struct {
	try   func(fd uintptr) bool // writeOnce, bound once
	parts [3][]byte
	n     int
	errno syscall.Errno
	wait  bool

	trusted bool // with all that the kernel would take by itself
}

const (
	// FirstUnsent is how many bytes beyond what is on its way the kernel is to take for a client at first
	// (TCP_NOTSENT_LOWAT, set on the listening socket). By itself it takes megabytes, and some hundred clients that
	// do not read would leave no memory for the sockets of the others.
	FirstUnsent = 32 << 10
	// laterUnsent is the same for one that has been seen to read: more than a socket holds.
	laterUnsent = 64 << 20
	// promptly is how soon a client has to make room to be one of those.
	promptly = 250 * time.Millisecond
)

// trust lets the kernel take what it likes for a client that reads: fewer system calls for large answers.
func (c *Conn) trust() {
	c.vector.trusted = true
	_ = c.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, laterUnsent)
	})
}

// WriteParts writes head, body and tail, in one system call if the socket takes them. It fails with
// os.ErrDeadlineExceeded when the socket took no byte for idle (0: for ever); each byte
// renews that, and the write deadline as set before is gone. No deadline is armed before
// the socket's buffer is full.
func (c *Conn) WriteParts(head, body, tail []byte, idle time.Duration) (int64, error) {
	v := &c.vector
	if v.try == nil {
		if !c.bindVector() {
			return c.writeInTurn(head, body, tail, idle)
		}
	}
	v.parts = [3][]byte{head, body, tail}
	n, err := c.writeAll(idle)
	v.parts = [3][]byte{}
	return n, err
}

func (c *Conn) bindVector() bool {
	if !c.bindRaw() {
		return false
	}
	c.vector.try = c.vector.writeOnce
	return true
}

func (c *Conn) writeAll(idle time.Duration) (done int64, err error) {
	v := &c.vector
	c.write.wanted.Store(0)
	for len(v.parts[0])+len(v.parts[1])+len(v.parts[2]) > 0 {
		n, err := c.tryWrite(v.try, idle)
		done += int64(n)
		if err != nil {
			return done, err
		}
		v.advance(n)
	}
	return done, nil
}

// tryWrite runs try, which must set v.n and v.errno, at once and, if the socket is full, after it has room.
func (c *Conn) tryWrite(try func(uintptr) bool, idle time.Duration) (int, error) {
	v := &c.vector
	v.n, v.errno, v.wait = 0, 0, false
	if idle > 0 && !c.stalled.IsZero() && time.Since(c.stalled) >= idle {
		return 0, os.ErrDeadlineExceeded // whatever little a full socket would take now
	}
	if err := c.rawWrite(try); err != nil {
		return 0, err
	}
	if v.errno == unix.EAGAIN {
		if err := c.awaitRoom(try, idle); err != nil {
			return 0, err
		}
	}
	if v.errno != 0 {
		return 0, &opError{op: "write", errno: v.errno}
	}
	if c.stalled.IsZero() {
		c.pace.moved += int64(v.n)
		return v.n, nil
	}
	took := time.Since(c.stalled)
	c.stalled = time.Time{}
	if !c.pace.Moved(v.n, took) {
		return v.n, os.ErrDeadlineExceeded
	}
	if !v.trusted && took < promptly {
		c.trust()
	}
	return v.n, nil
}

// awaitRoom runs try when the socket has room.
func (c *Conn) awaitRoom(try func(uintptr) bool, idle time.Duration) error {
	now := time.Now()
	if c.stalled.IsZero() {
		c.stalled = now
	}
	end := time.Time{}
	if idle > 0 {
		if end = c.stalled.Add(idle); !now.Before(end) {
			return os.ErrDeadlineExceeded
		}
	}
	impatient := c.patience > 0 && (end.IsZero() || end.After(now.Add(c.patience)))
	if impatient {
		end = now.Add(c.patience)
	}
	if err := c.SetWriteDeadline(end); err != nil {
		return err
	}
	c.vector.wait = true
	err := c.rawWrite(try)
	c.write.wanted.Store(0)
	if impatient && err != nil && isDeadline(err) {
		return ErrSlow
	}
	return err
}

// rawWrite runs try on the descriptor, again after a deadline that nobody wants any more.
func (c *Conn) rawWrite(try func(uintptr) bool) error {
	for {
		err := c.raw.Write(try)
		if err == nil || !isDeadline(err) {
			return err
		}
		if due, armErr := c.write.rearm(c.Conn.SetWriteDeadline); due || armErr != nil {
			return err
		}
	}
}

// writeOnce is one writev or write. It reports false to wait for room in the socket.
func (v *vector) writeOnce(fd uintptr) bool {
	var parts [3][]byte
	n := 0
	for _, p := range v.parts {
		if len(p) > 0 {
			parts[n] = p
			n++
		}
	}
	for {
		if n == 1 {
			v.n, v.errno = send(fd, parts[0])
		} else {
			v.n, v.errno = sendParts(fd, parts[:n])
		}
		switch v.errno {
		case 0:
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return !v.wait
		}
		return true
	}
}

func (v *vector) advance(n int) {
	for i := range v.parts {
		k := min(n, len(v.parts[i]))
		v.parts[i] = v.parts[i][k:]
		n -= k
	}
}
