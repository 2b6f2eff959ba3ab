//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNoDescriptors: without free descriptors, the loops wait with increasing delays and report it, and continue when there are some.
func TestNoDescriptors(t *testing.T) {
	type trouble struct {
		err  error
		wait time.Duration
	}
	events := make(chan trouble, 1000)
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().(*net.TCPAddr).AddrPort()
	listener, err := ls.Listen(ln, func(in *Incoming) {
		c := &conn{}
		echo(c)
		if err := in.Open(&c.Socket, c); err != nil {
			t.Error(err)
		}
	}, func(err error, wait time.Duration) { events <- trouble{err, wait} })
	if err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {})
	release := make(chan struct{})
	held := make(chan struct{})
	l.Post(TaskFunc(func() { close(held); <-release }))
	<-held
	client := dial(t, address)
	restore := exhaust(t)
	close(release)
	before := l.Counters()
	for want := firstBackoff; want <= 16*firstBackoff; want *= 2 {
		got := wait(t, events, "trouble")
		if !errors.Is(got.err, syscall.EMFILE) || got.wait != want {
			t.Errorf("reported %v and %v, want %v", got.err, got.wait, want)
		}
	}
	if n := l.Counters().Batches - before.Batches; n > 100 {
		t.Errorf("%d batches while nothing could be accepted", n)
	}
	restore()
	client.Write([]byte("x"))
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	// Close works while accepting fails.
	held, release = make(chan struct{}), make(chan struct{})
	l.Post(TaskFunc(func() { close(held); <-release }))
	<-held
	dial(t, address)
	restore = exhaust(t)
	close(release)
	wait(t, events, "trouble")
	listener.Close()
	restore()
}

// exhaust uses up the descriptors of the process until the function that it returns is called.
func exhaust(t *testing.T) func() {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	restore := sync.OnceFunc(func() {
		for _, fd := range taken {
			syscall.Close(fd)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	return restore
}

// TestUrgentData: a read ends early at urgent data, and what follows is still read.
func TestUrgentData(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := one(t, ls)
	raw, err := peer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	held, release := make(chan struct{}), make(chan struct{})
	l.Post(TaskFunc(func() { close(held); <-release }))
	<-held
	peer.Write([]byte("before"))
	if err := raw.Control(func(fd uintptr) { err = syscall.Sendto(int(fd), []byte("!"), syscall.MSG_OOB, nil) }); err != nil {
		t.Fatal(err)
	}
	peer.Write([]byte("behind"))
	close(release)
	var got []byte
	for string(got) != "beforebehind" {
		on(t, l, func() {
			some, err := readAll(c)
			if got = append(got, some...); err != ErrWouldBlock {
				t.Error(err)
			}
		})
		if string(got) != "beforebehind" {
			events.until(t, Readable)
		}
	}
	on(t, l, c.Close)
}

// TestDialFullQueue: a dial to a unix socket whose queue is full is retried until there is room.
func TestDialFullQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	events := make(chan *conn, 10)
	conns := make([]*conn, 4)
	for i := range conns {
		c := &conn{ready: func(c *conn, e Events) {
			if e&Connected != 0 {
				events <- c
			} else if e&HungUp == 0 { // accepted and closed
				t.Errorf("events %b, %v", e, c.Err())
			}
		}}
		conns[i] = c
		on(t, l, func() {
			if err := l.DialUnix(&c.Socket, path, c); err != nil {
				t.Error(err)
			}
		})
	}
	for range conns {
		on(t, l, func() {}) // now the first are in the queue, and the others wait
		wait(t, events, "a connection")
		accepted, _, err := syscall.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(accepted)
	}
	on(t, l, func() {
		for _, c := range conns {
			c.Close()
		}
	})
}

// TestDialSelf: if the kernel connects a socket to itself, because its source port is the one that it dials, the dial fails.
func TestDialSelf(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Connect(fd, name); err != nil && err != syscall.EINPROGRESS {
		t.Fatal(err)
	}
	self := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*syscall.SockaddrInet4).Port))
	events := make(happened, 10)
	c := &conn{ready: events.ready}
	on(t, l, func() {
		if err := c.attach(l, int32(fd), self, c, connecting); err != nil {
			t.Error(err)
		}
	})
	events.until(t, Failed)
	on(t, l, func() {
		if c.Err() != syscall.ECONNREFUSED {
			t.Error(c.Err())
		}
		c.Close()
	})
}

// TestAcceptedOptions: accepted sockets inherit the options of the listening socket.
func TestAcceptedOptions(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	c, _, _ := one(t, ls)
	on(t, ls.All()[0], func() {
		for _, option := range [][3]int{
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1}, {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		} {
			if got, err := syscall.GetsockoptInt(c.Descriptor(), option[0], option[1]); got != option[2] || err != nil {
				t.Errorf("option %d is %d, %v", option[1], got, err)
			}
		}
		c.Close()
		if c.Descriptor() != -1 {
			t.Error("a closed socket has a descriptor")
		}
	})
}

// TestNoDescriptorsToDial: dialing without free descriptors fails at once and leaves nothing behind.
func TestNoDescriptorsToDial(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	restore := exhaust(t)
	on(t, l, func() {
		c := &conn{}
		if err := l.Dial(&c.Socket, netip.MustParseAddrPort("127.0.0.1:1"), c); !errors.Is(err, syscall.EMFILE) || c.IsOpen() {
			t.Error(err)
		}
	})
	restore()
}

// TestReadAfterFailedWrite: what the peer sent before it reset the connection can be read after a write has failed, even if no event has
// announced it yet.
func TestReadAfterFailedWrite(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, _ := one(t, ls)
	on(t, l, func() {
		if _, err := c.Read(l.Scratch()); err != ErrWouldBlock {
			t.Errorf("%v", err)
		}
		if _, err := c.Write([]byte("unread, so that the peer's close is a reset"), nil); err != nil {
			t.Error(err)
		}
		// The loop is held here, so that it gets no event meanwhile.
		eventually(t, "the peer has it", func() bool {
			raw, _ := peer.SyscallConn()
			waiting := 0
			_ = raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
			return waiting > 0
		})
		peer.Write([]byte("refused"))
		peer.Close()
		var err error
		eventually(t, "a write fails", func() bool {
			_, err = c.Write([]byte("more"), nil)
			return err != nil
		})
		b := make([]byte, 100)
		if n, err := c.Read(b); string(b[:n]) != "refused" {
			t.Errorf("read %q, %v", b[:n], err)
		}
		c.Close()
	})
}
