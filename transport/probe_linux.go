package transport

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// dialPlain connects a socket with nothing but socket(2) and connect(2) if the address needs no resolver; ok is false
// if it does. Health checks open so many connections that are used once that the options which net.Dialer sets,
// the names it asks for, and the goroutine that it starts would cost more than the connection.
func (c *Client) dialPlain(ctx context.Context) (nc net.Conn, ok bool, err error) {
	family, to := sockaddr(c.network, c.address)
	if to == nil {
		return nil, false, nil
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, true, os.NewSyscallError("socket", err)
	}
	err = connect(fd, to)
	if err == syscall.EAGAIN { // a unix socket whose backlog is full tells nobody when it has room: net.Dialer's to try
		_ = syscall.Close(fd)
		return nil, false, nil
	}
	conn := &plainConn{File: os.NewFile(uintptr(fd), c.network), address: c.opt.Address}
	if err == syscall.EALREADY {
		err = conn.await(ctx, to, c.opt.Connect)
	}
	if err == nil && selfConnected(fd, to) {
		err = syscall.ECONNREFUSED
	}
	if err != nil {
		_ = conn.Close()
		return nil, true, os.NewSyscallError("connect", err)
	}
	return conn, true, nil
}

// selfConnected reports whether a socket was connected to itself, which TCP allows: the system may give a socket the very port
// that it is to connect to, if nobody listens there and it is one of those that the system gives.
func selfConnected(fd int, to syscall.Sockaddr) bool {
	own, err := syscall.Getsockname(fd)
	if err != nil {
		return false
	}
	switch to := to.(type) {
	case *syscall.SockaddrInet4:
		own, ok := own.(*syscall.SockaddrInet4)
		return ok && own.Port == to.Port && own.Addr == to.Addr
	case *syscall.SockaddrInet6:
		own, ok := own.(*syscall.SockaddrInet6)
		return ok && own.Port == to.Port && own.Addr == to.Addr
	}
	return false
}

// sockaddr returns a nil address for one with a name, a zone or an abstract socket.
func sockaddr(network, address string) (family int, to syscall.Sockaddr) {
	if network == "unix" {
		if !strings.HasPrefix(address, "/") {
			return 0, nil
		}
		return syscall.AF_UNIX, &syscall.SockaddrUnix{Name: address}
	}
	ap, err := netip.ParseAddrPort(address)
	switch addr := ap.Addr(); {
	case err != nil || addr.Zone() != "" || addr.IsUnspecified():
		return 0, nil
	case addr.Is4():
		return syscall.AF_INET, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: addr.As4()}
	default:
		return syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(ap.Port()), Addr: addr.As16()}
	}
}

// connect begins a connection or looks how it is getting on: EALREADY if it is not there yet. On one machine the
// second call finds it ready.
func connect(fd int, to syscall.Sockaddr) error {
	err := syscall.Connect(fd, to)
	if err == syscall.EINPROGRESS {
		err = syscall.Connect(fd, to)
	}
	if err == syscall.EISCONN {
		return nil
	}
	return err
}

// plainConn is a connected socket. Its own name was never asked for.
type plainConn struct {
	*os.File
	address string
}

// LocalAddr implements net.Conn: an address without a name.
func (c *plainConn) LocalAddr() net.Addr { return peerName("") }

// RemoteAddr implements net.Conn: the backend's address as configured.
func (c *plainConn) RemoteAddr() net.Addr { return peerName(c.address) }

type peerName string

func (peerName) Network() string  { return "tcp" }
func (n peerName) String() string { return string(n) }

// await waits until the connection is there, has failed, or the timeout or ctx has ended.
func (c *plainConn) await(ctx context.Context, to syscall.Sockaddr, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	unhook := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	waited := raw.Write(func(fd uintptr) bool {
		err = connect(int(fd), to)
		return err != syscall.EALREADY
	})
	if !unhook() {
		return ctx.Err()
	}
	if waited != nil {
		return waited
	}
	return err
}
