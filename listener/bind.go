package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"lb/internal/descriptor"
)

const (
	unixPrefix = "unix:"
	unixMode   = 0o660 // owner and group may connect

	dialTime = time.Second // to check whether a process serves a socket file
)

// BindError is the error of an address that could not be bound.
type BindError struct {
	Address string
	Reason  string // with the remedy; may be empty
	Err     error
	UDP     bool // it is the port for HTTP/3
}

func (e *BindError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("cannot listen on %q: %v", e.Address, e.Err)
	}
	return fmt.Sprintf("cannot listen on %q: %s: %v", e.Address, e.Reason, e.Err)
}

func (e *BindError) Unwrap() error { return e.Err }

// Bind opens a listening socket on "host:port" or "unix:/path": "0.0.0.0:80" serves only IPv4, ":80" IPv4 and IPv6, and "[::]:80"
// both unless ipv6Only. Its error is a *BindError.
func Bind(address string, ipv6Only bool) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		ln, err := bindUnix(path)
		if err != nil {
			return nil, &BindError{Address: address, Err: err}
		}
		return ln, nil
	}
	// Accepted sockets inherit the keep-alive settings from the listening one, which saves
	// system calls for each.
	lc := net.ListenConfig{KeepAlive: -1, Control: tuneListener}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), Network(address, ipv6Only), address)
	if err == nil {
		return ln, nil
	}
	reason := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		reason = "the port is in use: stop the other program or choose another port"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		reason = "ports below 1024 need the capability CAP_NET_BIND_SERVICE (or root)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		reason = "no interface of this machine has that address"
	case errors.Is(err, syscall.EAFNOSUPPORT):
		reason = "this machine has no IPv6: choose an IPv4 address, or write the port alone, such as \":80\""
	}
	return nil, &BindError{Address: address, Reason: reason, Err: err}
}

// bindUnix replaces a socket file that no process serves any more.
func bindUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		return nil, errors.New("the file exists and is not a socket: remove it or choose another path")
	case err == nil:
		if nc, err := net.DialTimeout("unix", path, dialTime); err == nil {
			nc.Close()
			return nil, errors.New("another program listens there: stop it or choose another path")
		} else if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("cannot determine whether the socket is in use: %w", err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot remove the socket of an earlier run: %w", err)
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, unixMode); err != nil {
		ln.Close()
		return nil, fmt.Errorf("cannot set the mode of the socket: %w", err)
	}
	return ln, nil
}

// adopt sets the options of a socket that another process opened.
func adopt(ln net.Listener) {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = tuneListener("", "", raw)
	}
}

// LeaveFile makes a socket file stay when its listener is closed, because another process or listener uses it from now on.
func LeaveFile(ln net.Listener) {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
}

// Duplicate returns a duplicate descriptor of a listening socket, for another process or listener. See LeaveFile.
func Duplicate(ln net.Listener) (*os.File, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return descriptor.File(sc, ln.Addr().String())
}
