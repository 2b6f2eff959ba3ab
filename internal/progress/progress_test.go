package progress

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe returns a Conn and its other end, and how often its read timer was set.
func pipe(t *testing.T) (*Conn, net.Conn, *atomic.Int32) {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	counted := &timerCount{Conn: a}
	return &Conn{Conn: counted}, b, &counted.n
}

type timerCount struct {
	net.Conn
	n atomic.Int32
}

func (c *timerCount) SetReadDeadline(t time.Time) error {
	c.n.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func TestDeadlinesAreExact(t *testing.T) {
	for name, steps := range map[string]struct {
		set  []time.Duration // one after the other; 0: none
		want time.Duration
	}{
		"one":                  {[]time.Duration{time.Second}, time.Second},
		"later":                {[]time.Duration{time.Second, 10 * time.Second}, 10 * time.Second},
		"earlier":              {[]time.Duration{10 * time.Second, time.Second}, time.Second},
		"later and earlier":    {[]time.Duration{5 * time.Second, 9 * time.Second, 7 * time.Second}, 7 * time.Second},
		"none and one again":   {[]time.Duration{time.Second, 0, 3 * time.Second}, 3 * time.Second},
		"passed and one again": {[]time.Duration{-time.Hour, 2 * time.Second}, 2 * time.Second},
		"passed":               {[]time.Duration{time.Second, -time.Hour}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := pipe(t)
			began := time.Now()
			for _, d := range steps.set {
				at := time.Time{}
				if d != 0 {
					at = began.Add(d)
				}
				c.SetDeadline(at)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != steps.want {
				t.Errorf("%s: read: %d, %v after %v", name, n, err, time.Since(began))
			}
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != steps.want {
				t.Errorf("%s: write: %d, %v after %v", name, n, err, time.Since(began))
			}
			// And it is over as soon as another time is set.
			c.RenewRead(0)
			go peer.Write([]byte("y"))
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Errorf("%s: after a new deadline: %v", name, err)
			}
		})
	}
}

// A deadline set by another goroutine holds for the Read that waits already.
func TestDeadlineSetMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := pipe(t)
		began := time.Now()
		c.RenewRead(time.Minute)
		go func() {
			time.Sleep(time.Second)
			c.RenewRead(time.Hour)
			time.Sleep(time.Minute) // the timer has fired, and was set to the hour
			c.RenewRead(time.Second)
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 62*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A request a millisecond, each with its idle and its header timeout, sets the timer every ten seconds or so.
func TestTimersAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, timers := pipe(t)
		go func() {
			for range 30_000 {
				time.Sleep(time.Millisecond)
				peer.Write([]byte("x"))
			}
			peer.Close()
		}()
		for err := error(nil); err == nil; {
			c.RenewRead(75 * time.Second)
			_, err = c.Read(make([]byte, 1))
			c.RenewRead(10 * time.Second)
		}
		if n := timers.Load(); n > 12 {
			t.Errorf("the timer was set %d times in 30 s", n)
		}
	})
}

func TestInterruptRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := pipe(t)
		began := time.Now()
		c.RenewRead(time.Minute)
		go func() {
			time.Sleep(time.Second)
			c.InterruptRead()
		}()
		_, err := c.Read(make([]byte, 1))
		var netErr net.Error
		if err != ErrInterrupted || !errors.As(err, &netErr) || !netErr.Timeout() || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.InterruptRead() // before a Read
		if _, err := c.Read(make([]byte, 1)); err != ErrInterrupted {
			t.Errorf("%v", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("the deadline was lost: %v after %v", err, time.Since(began))
		}
		c.RenewRead(0)
		go peer.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// sockets returns both ends of a TCP connection.
func sockets(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	b.SetDeadline(time.Now().Add(10 * time.Second))
	return &Conn{Conn: a}, b.(*net.TCPConn)
}

func TestReadOfASocket(t *testing.T) {
	c, peer := sockets(t)
	if _, err := c.Read(nil); err != nil {
		t.Errorf("an empty read: %v", err)
	}
	c.RenewRead(20 * time.Millisecond)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.RenewRead(10 * time.Second)
	peer.Write([]byte("abc"))
	buf := make([]byte, 8)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "abc" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	peer.CloseWrite()
	if _, err := c.Read(buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	c.Close()
	if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestWriteParts(t *testing.T) {
	head, body := []byte("head"), bytes.Repeat([]byte("body"), 1<<20)
	ends := map[string]func() (*Conn, net.Conn){
		"socket": func() (*Conn, net.Conn) { c, peer := sockets(t); return c, peer },
		"pipe":   func() (*Conn, net.Conn) { c, peer, _ := pipe(t); return c, peer },
	}
	for name, open := range ends {
		for _, parts := range [][3][]byte{{head, body}, {head}, {nil, head}, {}, {head, body, head}, {head, nil, head}, {nil, nil, head}} {
			c, peer := open()
			want := bytes.Join(parts[:], nil)
			type result struct {
				b   []byte
				err error
			}
			got := make(chan result, 1)
			go func() {
				b := make([]byte, len(want))
				_, err := io.ReadFull(peer, b)
				got <- result{b, err}
			}()
			n, err := c.WriteParts(parts[0], parts[1], parts[2], 10*time.Second)
			if r := <-got; err != nil || n != int64(len(want)) || r.err != nil || !bytes.Equal(r.b, want) {
				t.Errorf("%s: %d of %d bytes written, %v; read with %v", name, n, len(want), err, r.err)
			}
			c.Close()
			if _, err := c.WriteParts(head, nil, nil, 0); err == nil {
				t.Errorf("%s: wrote after Close", name)
			}
		}
	}
}

// Only time in which no byte moves counts; what moved is told when it runs out.
func TestWritePartsIdle(t *testing.T) {
	c, peer := sockets(t)
	body := make([]byte, 64<<20)
	n, err := c.WriteParts(nil, body, nil, 30*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == int64(len(body)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if k, err := io.CopyN(io.Discard, peer, n); err != nil {
		t.Errorf("%d of %d bytes said to be written are there: %v", k, n, err)
	}
	// The timer has fired; the next write does not mind.
	if _, err := c.WriteParts([]byte("more"), nil, nil, time.Second); err != nil {
		t.Error(err)
	}
}

func TestWriteAndReadAllocateNothing(t *testing.T) {
	c, peer := sockets(t)
	head, body, buf := []byte("head"), []byte("body"), make([]byte, 8)
	trip := func() {
		c.WriteParts(head, body, nil, time.Second)
		io.ReadFull(peer, buf)
		peer.Write(buf)
		c.RenewRead(time.Minute)
		io.ReadFull(c, buf)
	}
	trip()
	if n := testing.AllocsPerRun(100, trip); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSendFile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1<<20)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, peer := sockets(t)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(peer)
		got <- b
	}()
	n, handled, err := c.SendFile(f, 5, int64(len(data)-5), 10*time.Second)
	if !handled {
		t.Skip("not on this system")
	}
	if err != nil || n != int64(len(data)-5) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, _, err := c.SendFile(f, int64(len(data)-1), 2, time.Second); n != 1 || err != io.ErrUnexpectedEOF {
		t.Errorf("past the end: %d, %v", n, err)
	}
	c.Close()
	if b := <-got; !bytes.Equal(b, append(bytes.Clone(data[5:]), '9')) {
		t.Errorf("%d bytes arrived", len(b))
	}
	if at, _ := f.Seek(0, io.SeekCurrent); at != 0 {
		t.Errorf("the file's own offset moved to %d", at)
	}
}
