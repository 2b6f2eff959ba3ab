package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestDialPlain: a connection that Dial made without net.Dialer carries bytes both ways and respects deadlines.
func TestDialPlain(t *testing.T) {
	for _, c := range []struct{ network, listen, prefix string }{
		{"tcp", "127.0.0.1:0", ""},
		{"tcp", "[::1]:0", ""},
		{"unix", filepath.Join(t.TempDir(), "app.sock"), "unix:"},
	} {
		t.Run(c.listen, func(t *testing.T) {
			listener, err := net.Listen(c.network, c.listen)
			if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			client := New(Options{Address: c.prefix + listener.Addr().String(), Connect: time.Second}, nil)
			nc, ok, err := client.dialer.dialPlain(t.Context())
			if err != nil || !ok {
				t.Fatalf("ok %v, %v", ok, err)
			}
			defer nc.Close()
			server, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if _, err := nc.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 4)
			if _, err := io.ReadFull(server, b); err != nil || string(b) != "ping" {
				t.Fatalf("read %q, %v", b, err)
			}
			_ = nc.SetDeadline(time.Unix(1, 0))
			if _, err := nc.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read after the deadline: %v", err)
			}
			_ = nc.SetDeadline(time.Time{})
			_ = server.Close()
			if _, err := nc.Read(b); err != io.EOF {
				t.Errorf("read at the end: %v, want EOF", err)
			}
		})
	}
}

// TestDialPlainFails: errors are typed like those of net.Dialer, and leave no descriptor open.
func TestDialPlainFails(t *testing.T) {
	full, release := fullListener(t)
	defer release()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		address string
		connect time.Duration
		cause   Cause
		errno   syscall.Errno
	}{
		{"refused", t.Context(), free.Addr().String(), time.Second, Refused, syscall.ECONNREFUSED},
		{"no socket", t.Context(), "unix:/nowhere/app.sock", time.Second, Refused, syscall.ENOENT},
		{"its own timeout", t.Context(), full, 50 * time.Millisecond, TimedOut, 0},
		{"the caller's", short, full, time.Minute, TimedOut, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := openFiles(t)
			_, err := New(Options{Address: c.address, Connect: c.connect}, nil).Dial(c.ctx)
			var e *Error
			if !errors.As(err, &e) || e.Phase != Dial || e.Cause != c.cause {
				t.Fatalf("got %v, want phase dial and cause %v", err, c.cause)
			}
			if c.errno != 0 && !errors.Is(err, c.errno) {
				t.Errorf("got %v, want %v", err, c.errno)
			}
			if after := openFiles(t); after > before {
				t.Errorf("%d descriptors open, %d before", after, before)
			}
		})
	}
}

// TestDialPlainLeavesNames: cases that only net.Dialer supports are left to it.
func TestDialPlainLeavesNames(t *testing.T) {
	for _, address := range []string{"localhost:80", "[fe80::1%lo]:80", ":80", "0.0.0.0:80", "unix:@abstract", "127.0.0.1:http"} {
		if _, ok, err := New(Options{Address: address}, nil).dialer.dialPlain(t.Context()); ok || err != nil {
			t.Errorf("%s: ok %v, %v", address, ok, err)
		}
	}
}

// fullListener returns the address of a socket that listens and has no room for another connection.
func fullListener(t *testing.T) (address string, release func()) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	var held []net.Conn
	for range 10 {
		conn, err := net.DialTimeout("tcp", to.String(), 100*time.Millisecond)
		if err != nil {
			break
		}
		held = append(held, conn)
	}
	return to.String(), func() {
		for _, conn := range held {
			_ = conn.Close()
		}
		_ = syscall.Close(fd)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
