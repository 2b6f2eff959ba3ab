// Package dormant makes connections that can sleep. One that sleeps has its descriptor and nothing else: the runtime
// keeps half a kilobyte for each socket that it waits for, and never gives back what the most of them needed at a time.
package dormant

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrPaused is what a read fails with that was broken off so that its connection can sleep. It can be tried again.
var ErrPaused = errors.New("paused")

// Conn is a connection that can sleep, and wakes with all that its descriptor has. Read, Write and deadlines are for
// while it is awake; Close, and Control of SyscallConn, for any time. It must not be copied.
type Conn struct {
	socket atomic.Pointer[socket]

	mu     sync.Mutex // held to fall asleep, to wake, to close, and while a sleeping one is used
	fd     int        // while it sleeps
	asleep bool
}

// socket is what a connection does its work by.
type socket struct {
	net.Conn
	raw syscall.RawConn // of Conn
}

// over returns a socket that works by nc.
func over(nc net.Conn) *socket {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return &socket{nc, raw}
		}
	}
	return &socket{nc, unsupported}
}

// Init makes c the connection nc, which is c's from now on.
func (c *Conn) Init(nc net.Conn) { c.socket.Store(over(nc)) }

// Sleep takes the connection from the runtime. Nothing may read from it or write to it meanwhile, nor until Wake. An
// error says that it stays awake: it is no socket of the system's, it was closed, or there is no descriptor to spare.
func (c *Conn) Sleep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	awake := c.socket.Load()
	var dupErr error
	if err := awake.raw.Control(func(fd uintptr) { c.fd, dupErr = duplicate(fd) }); err != nil {
		return err
	}
	if dupErr != nil {
		return os.NewSyscallError("fcntl", dupErr)
	}
	c.asleep = true
	c.socket.Store(sleeping)
	awake.Close() // one of two descriptors
	return nil
}

// Wake has the runtime look after the connection again, without the deadlines of before. It reports whether it slept.
func (c *Conn) Wake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asleep {
		return false
	}
	c.asleep = false
	nc, err := wake(c.fd)
	if err == nil { // else it stays what it is, and everything fails
		c.socket.Store(over(nc))
	}
	return true
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asleep {
		c.asleep = false
		return closeDescriptor(c.fd)
	}
	return c.socket.Load().Close()
}

// SyscallConn implements syscall.Conn. What it returns stays right however often the connection sleeps, and keeps nothing
// that a sleeping one could do without.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if c.socket.Load().raw == unsupported {
		return nil, errors.ErrUnsupported
	}
	return (*rawConn)(c), nil
}

// rawConn is the descriptor of a connection, asleep or awake.
type rawConn Conn

func (r *rawConn) Read(f func(fd uintptr) bool) error  { return r.socket.Load().raw.Read(f) }
func (r *rawConn) Write(f func(fd uintptr) bool) error { return r.socket.Load().raw.Write(f) }

func (r *rawConn) Control(f func(fd uintptr)) error {
	if r.socket.Load().raw.Control(f) == nil {
		return nil
	}
	r.mu.Lock() // nothing falls asleep or wakes from here on
	defer r.mu.Unlock()
	if r.asleep {
		f(uintptr(r.fd))
		return nil
	}
	return r.socket.Load().raw.Control(f)
}

// noDescriptor is the syscall.RawConn of what has none to be used; err says why.
type noDescriptor struct{ err error }

var unsupported syscall.RawConn = noDescriptor{errors.ErrUnsupported}

func (n noDescriptor) Control(func(fd uintptr)) error    { return n.err }
func (n noDescriptor) Read(func(fd uintptr) bool) error  { return n.err }
func (n noDescriptor) Write(func(fd uintptr) bool) error { return n.err }

// CloseWrite is that of net.TCPConn; nothing on what has no halves.
func (c *Conn) CloseWrite() error {
	if half, ok := c.socket.Load().Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetLinger is that of net.TCPConn; nothing on what is no TCP socket.
func (c *Conn) SetLinger(seconds int) error {
	if tcp, ok := c.socket.Load().Conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.socket.Load().Read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.socket.Load().Write(p) }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.socket.Load().LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.Load().RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.Load().SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.Load().SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.socket.Load().SetWriteDeadline(t) }

// sleeping is what a connection that sleeps does its work by: nothing.
var sleeping = &socket{asleep{}, noDescriptor{net.ErrClosed}}

type asleep struct{}

func (asleep) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (asleep) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (asleep) Close() error                     { return net.ErrClosed }
func (asleep) LocalAddr() net.Addr              { return noAddress }
func (asleep) RemoteAddr() net.Addr             { return noAddress }
func (asleep) SetDeadline(time.Time) error      { return net.ErrClosed }
func (asleep) SetReadDeadline(time.Time) error  { return net.ErrClosed }
func (asleep) SetWriteDeadline(time.Time) error { return net.ErrClosed }

// noAddress is the address of what has none.
var noAddress = &net.TCPAddr{}
