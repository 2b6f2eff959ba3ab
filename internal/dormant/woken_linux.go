package dormant

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lb/internal/descriptor"
)

func duplicate(fd uintptr) (int, error) { return descriptor.Duplicate(fd) }

func closeDescriptor(fd int) error { return unix.Close(fd) }

// wake makes a connection of the descriptor. Without room to watch it the descriptor is closed.
func wake(fd int) (net.Conn, error) {
	w := &woken{os.NewFile(uintptr(fd), "socket")}
	if err := w.SetDeadline(time.Time{}); err != nil { // os.NewFile does not tell that the runtime cannot wait for it
		w.Close()
		return nil, err
	}
	return w, nil
}

// woken is a connection that has slept: a socket that os.File looks after, since net would want another descriptor for
// a moment, when there may be none. Its errors are those of a net.Conn.
type woken struct{ file *os.File }

func (w *woken) Read(p []byte) (int, error) {
	n, err := w.file.Read(p)
	return n, asNet(err)
}

func (w *woken) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, asNet(err)
}

func (w *woken) Close() error                       { return asNet(w.file.Close()) }
func (w *woken) LocalAddr() net.Addr                { return w.address(unix.Getsockname) }
func (w *woken) RemoteAddr() net.Addr               { return w.address(unix.Getpeername) }
func (w *woken) SetDeadline(t time.Time) error      { return asNet(w.file.SetDeadline(t)) }
func (w *woken) SetReadDeadline(t time.Time) error  { return asNet(w.file.SetReadDeadline(t)) }
func (w *woken) SetWriteDeadline(t time.Time) error { return asNet(w.file.SetWriteDeadline(t)) }

// address asks the system, as it is seldom wanted and would take more room than all the rest.
func (w *woken) address(ask func(fd int) (unix.Sockaddr, error)) net.Addr {
	var sa unix.Sockaddr
	err := w.control(func(fd int) (err error) {
		sa, err = ask(fd)
		return err
	})
	if err != nil {
		return noAddress
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		tcp := &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
		if a.ZoneId != 0 {
			tcp.Zone = strconv.Itoa(int(a.ZoneId))
		}
		return tcp
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return noAddress
}

// asNet turns what os says of a closed file into what net says of a closed connection.
func asNet(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// SyscallConn implements syscall.Conn.
func (w *woken) SyscallConn() (syscall.RawConn, error) {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return nil, asNet(err)
	}
	return wokenRaw{raw}, nil
}

type wokenRaw struct{ raw syscall.RawConn }

func (r wokenRaw) Control(f func(fd uintptr)) error   { return rawError(r.raw.Control(f)) }
func (r wokenRaw) Read(f func(fd uintptr) bool) error { return rawError(r.raw.Read(f)) }
func (r wokenRaw) Write(f func(fd uintptr) bool) error {
	return rawError(r.raw.Write(f))
}

// rawError is asNet for the calls of a RawConn, whose error for a closed file has no name. They have but one other: that
// of a deadline.
func rawError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}

// control runs f on the descriptor.
func (w *woken) control(f func(fd int) error) error {
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// CloseWrite is that of net.TCPConn.
func (w *woken) CloseWrite() error {
	return w.control(func(fd int) error { return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR)) })
}

// SetLinger is that of net.TCPConn.
func (w *woken) SetLinger(seconds int) error {
	linger := syscall.Linger{Onoff: 1, Linger: int32(seconds)}
	if seconds < 0 {
		linger = syscall.Linger{}
	}
	return w.control(func(fd int) error {
		return os.NewSyscallError("setsockopt", syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &linger))
	})
}
