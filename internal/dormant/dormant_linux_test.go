package dormant

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a connection that can sleep, and its peer.
func pair(t *testing.T, network, address string) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{}
	c.Init(nc)
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer
}

// descriptors is how many the process has.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(all)
}

// TestSleepAndWake: a connection that has slept, however often, carries on what it was, with what came meanwhile.
func TestSleepAndWake(t *testing.T) {
	for network, address := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			c, peer := pair(t, network, address)
			local, remote, had := c.LocalAddr().String(), c.RemoteAddr().String(), descriptors(t)
			raw, err := c.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			hasDescriptor := func() {
				t.Helper()
				var socket unix.Stat_t
				var failed error
				err := raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &socket) })
				if err != nil || failed != nil || socket.Mode&unix.S_IFMT != unix.S_IFSOCK {
					t.Errorf("mode %o, %v, %v", socket.Mode, err, failed)
				}
			}
			if c.Wake() {
				t.Error("it slept from the start")
			}
			for range 3 {
				if err := c.Sleep(); err != nil {
					t.Fatal(err)
				}
				hasDescriptor()
				if _, err := c.Read(make([]byte, 1)); err == nil {
					t.Error("read asleep")
				}
				if _, err := io.WriteString(peer, "ping"); err != nil {
					t.Fatal(err)
				}
				if !c.Wake() {
					t.Error("it did not sleep")
				}
				hasDescriptor()
				got := make([]byte, 4)
				if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
					t.Fatalf("%q, %v", got, err)
				}
				if _, err := io.WriteString(c, "pong"); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(peer, got); err != nil || string(got) != "pong" {
					t.Fatalf("%q, %v", got, err)
				}
				if c.LocalAddr().String() != local || c.RemoteAddr().String() != remote {
					t.Errorf("it is %v to %v now, and was %v to %v", c.LocalAddr(), c.RemoteAddr(), local, remote)
				}
				if n := descriptors(t); n != had {
					t.Errorf("%d descriptors, %d before", n, had)
				}
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after a deadline: %v", err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
		})
	}
}

// TestClosed: a connection that was closed fails as a net.Conn does, whether it slept or not, and only once gives its
// descriptor back.
func TestClosed(t *testing.T) {
	for name, closing := range map[string]func(c *Conn){
		"awake":  func(c *Conn) { c.Close() },
		"asleep": func(c *Conn) { c.Sleep(); c.Close(); c.Close(); c.Wake() },
		"woken":  func(c *Conn) { c.Sleep(); c.Wake(); c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pair(t, "tcp", "127.0.0.1:0")
			had := descriptors(t)
			var raw syscall.RawConn
			if name == "woken" {
				c.Sleep()
				c.Wake()
				raw, _ = c.SyscallConn()
			}
			closing(c)
			if n := descriptors(t); n != had-1 {
				t.Errorf("%d descriptors, %d before", n, had)
			}
			if raw != nil {
				if err := raw.Control(func(uintptr) {}); err != net.ErrClosed {
					t.Errorf("control: %v", err)
				}
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write: %v", err)
			}
			if err := c.Sleep(); err == nil {
				t.Error("it sleeps")
			}
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the peer reads %d, %v", n, err)
			}
		})
	}
}

// TestDescriptorOfSleeper: what was told of a sleeping connection's descriptor does not reach one that has its number later.
func TestDescriptorOfSleeper(t *testing.T) {
	c, _ := pair(t, "tcp", "127.0.0.1:0")
	if err := c.Sleep(); err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	if err := raw.Control(func(uintptr) { ran = true }); err != nil || !ran {
		t.Errorf("control: %v, ran: %v", err, ran)
	}
	c.Close()
	if err := raw.Control(func(uintptr) { t.Error("ran for a closed one") }); err == nil {
		t.Error("no error")
	}
}

// TestResetAfterSleep: SetLinger works on one that has slept.
func TestResetAfterSleep(t *testing.T) {
	c, peer := pair(t, "tcp", "127.0.0.1:0")
	if err := c.Sleep(); err != nil {
		t.Fatal(err)
	}
	c.Wake()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer reads: %v", err)
	}
}

// TestCannotSleep: what is no socket of the system's stays awake.
func TestCannotSleep(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := &Conn{}
	c.Init(a)
	defer c.Close()
	if err := c.Sleep(); err == nil {
		t.Error("it sleeps")
	}
	go io.WriteString(b, "x")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
