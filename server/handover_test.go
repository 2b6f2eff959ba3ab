package server_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
)

// handed is a listening socket as a process before hands it over: its address, and a descriptor with
// a number that nobody else gets.
func handed(t *testing.T) (address string, fd int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String(), highDescriptor(t, ln.(*net.TCPListener))
}

func highDescriptor(t *testing.T, socket syscall.Conn) (fd int) {
	t.Helper()
	raw, err := socket.SyscallConn()
	if err == nil {
		err = raw.Control(func(from uintptr) {
			if fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 700); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func takeOver(t *testing.T, admin map[string]int) {
	t.Helper()
	ready, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ready.Close() })
	text, _ := json.Marshal(map[string]any{"admin": admin, "ready": highDescriptor(t, writer)})
	writer.Close()
	t.Setenv("LB_HANDOVER", string(text))
}

// TestTakeAdminOnce: what was handed over is used once. Its number means something else later, when a
// reload goes back to the first admin address.
func TestTakeAdminOnce(t *testing.T) {
	address, fd := handed(t)
	takeOver(t, map[string]int{address: fd})
	admin := "\nadmin {\n  listen = \"" + address + "\"\n}\n"
	lb := start(t, proxyTo("", "127.0.0.1:1")+admin)
	if got := lb.AdminAddr().String(); got != address {
		t.Fatalf("admin on %s, want %s", got, address)
	}
	other, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Dup3(int(other.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := lb.reload(proxyTo("", "127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the first admin address is free", func() bool {
		ln, err := net.Listen("tcp", address)
		if err == nil {
			ln.Close()
		}
		return err == nil
	})
	if err := lb.reload(proxyTo("", "127.0.0.1:1") + admin); err != nil {
		t.Errorf("back to the first address: %v", err)
	}
	if err := unix.Close(fd); err != nil {
		t.Errorf("a file of somebody else's was closed: %v", err)
	}
}

// TestUnwantedAdminCloses: nobody is left to hang on an admin listener that the new configuration has no more.
func TestUnwantedAdminCloses(t *testing.T) {
	address, fd := handed(t)
	takeOver(t, map[string]int{address: fd})
	start(t, proxyTo("", "127.0.0.1:1"))
	if nc, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the old admin address is still open: %v", err)
		if nc != nil {
			nc.Close()
		}
		unix.Close(fd)
	}
}
