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

// dialPlain connects a socket with socket(2) and connect(2) alone; ok is false if the address needs a resolver. Health checks
// open many connections that are used once: the options that net.Dialer sets, the addresses it queries, and the goroutine it starts
// would cost more than the connection itself.
func (d *dialer) dialPlain(ctx context.Context) (nc net.Conn, ok bool, err error) {
	family, to := sockaddr(d.network, d.address)
	if to == nil {
		return nil, false, nil
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, true, os.NewSyscallError("socket", err)
	}
	err = connect(fd, to)
	if err == syscall.EAGAIN { // a unix socket with a full backlog gives no event when it has room: leave it to net.Dialer
		_ = syscall.Close(fd)
		return nil, false, nil
	}
	conn := &plainConn{File: os.NewFile(uintptr(fd), d.network), address: d.address}
	if err == syscall.EALREADY {
		err = conn.await(ctx, to, d.connect)
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

// selfConnected reports whether a socket is connected to itself. TCP allows that: if nothing listens on the destination port and it is
// in the ephemeral range, the system may choose it as the source port too.
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

// sockaddr returns nil for an address with a name or a zone, and for an abstract socket.
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

// connect starts a connection or checks its progress: EALREADY means that it is not established yet. On one machine the
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

// plainConn is a connected socket that does not know its local address.
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

// await waits until the connection is established or has failed, or until the timeout or ctx ends.
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
