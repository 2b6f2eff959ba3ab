package netloop

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(metronome); address != "" {
		tick(address)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long tests wait for something that must happen.
const patience = 20 * time.Second

// startLoops starts loops that end with the test, and then checks that no descriptor, connection or buffer is left.
func startLoops(t testing.TB, options Options) *Loops {
	t.Helper()
	if options.Poison == nil {
		options.Poison = func(b []byte) {
			for i := range b {
				b[i] = 0xdb
			}
		}
	}
	before := descriptors()
	ctx, cancel := context.WithCancel(context.Background())
	ls := New(options)
	if err := ls.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		ls.Wait()
		for _, l := range ls.All() {
			c := l.Counters()
			if c.Opened != c.Closed || c.Clients != 0 || c.Lent != 0 {
				t.Errorf("loop %d at its end: %+v", l.Index(), c)
			}
		}
		if before >= 0 {
			eventually(t, "descriptors are closed", func() bool { return descriptors() <= before })
		}
	})
	return ls
}

// descriptors returns the number of open descriptors; -1 if unknown.
func descriptors() int {
	if runtime.GOOS != "linux" {
		return -1
	}
	// Go's own poller opens descriptors at its first use.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// on runs f on the loop and waits for it.
func on(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(TaskFunc(func() { defer close(done); f() })) {
		t.Fatal("the loop has stopped")
	}
	wait(t, done, "a task on the loop")
}

func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		buffer := make([]byte, 1<<20)
		t.Fatalf("not in time: %s\n%s", what, buffer[:runtime.Stack(buffer, true)])
		panic("unreachable")
	}
}

// conn is a connection whose handler is a function.
type conn struct {
	Socket
	timer   Timer
	ready   func(*conn, Events)
	expired func(*conn)
}

func (c *conn) Ready(e Events)   { c.ready(c, e) }
func (c *conn) Expired(t *Timer) { c.expired(c) }

// serve listens on a free port and calls opened with each connection, which must set its ready.
func serve(t testing.TB, ls *Loops, opened func(*conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, ls, ln, opened).Addr().(*net.TCPAddr).AddrPort()
}

func listen(t testing.TB, ls *Loops, ln net.Listener, opened func(*conn)) *Listener {
	t.Helper()
	listener, err := ls.Listen(ln, func(in *Incoming) {
		c := &conn{}
		c.timer.Init(in.Loop(), c)
		if err := in.Open(&c.Socket, c); err != nil {
			t.Error(err)
			return
		}
		opened(c)
	}, func(err error, wait time.Duration) { t.Logf("cannot accept: %v, waiting %v", err, wait) })
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func dial(t testing.TB, address netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// echo sends back what it receives, and closes at the end.
func echo(c *conn) {
	var pending []byte
	ended := false
	c.ready = func(c *conn, e Events) {
		if e&Failed != 0 {
			c.Close()
			return
		}
		for {
			for len(pending) > 0 {
				n, err := c.Write(pending, nil)
				if err == ErrWouldBlock {
					return
				}
				if err != nil {
					c.Close()
					return
				}
				pending = pending[n:]
			}
			if ended {
				if c.Buffered() > 0 {
					return
				}
				c.Close()
				return
			}
			b := c.Loop().Scratch()
			n, err := c.Read(b)
			switch err {
			case nil:
				pending = append(pending[:0], b[:n]...)
			case ErrWouldBlock:
				return
			case io.EOF:
				ended = true
			default:
				c.Close()
				return
			}
		}
	}
}

// collect runs n goroutines and waits for them.
func collect(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Add(1)
		go func() { defer group.Done(); f(i) }()
	}
	group.Wait()
}
