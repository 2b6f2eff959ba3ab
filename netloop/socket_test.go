package netloop

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestEcho(t *testing.T) {
	ls := startLoops(t, Options{Loops: 2})
	address := serve(t, ls, echo)
	collect(16, func(i int) {
		c := dial(t, address)
		sent := make([]byte, 100_000*i+1)
		rand.Read(sent)
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
		}
	})
}

// happened collects the events of a handler, in order.
type happened chan Events

func (h happened) ready(_ *conn, e Events) { h <- e }

// until collects events until all of want have been seen.
func (h happened) until(t *testing.T, want Events) (all Events) {
	t.Helper()
	for all&want != want {
		all |= wait(t, h, "an event")
	}
	return all
}

// none checks after two turns of the loop that there was no event.
func (h happened) none(t *testing.T, l *Loop) {
	t.Helper()
	on(t, l, func() {})
	on(t, l, func() {})
	select {
	case e := <-h:
		t.Errorf("events %b", e)
	default:
	}
}

// one serves one connection whose events go to a channel.
func one(t *testing.T, ls *Loops) (*conn, *net.TCPConn, happened) {
	t.Helper()
	events := make(happened, 100)
	opened := make(chan *conn, 1)
	address := serve(t, ls, func(c *conn) {
		c.ready = events.ready
		opened <- c
	})
	peer := dial(t, address)
	return wait(t, opened, "the connection"), peer, events
}

// TestEvents: each event is delivered once, and a call that cannot succeed makes no system call.
func TestEvents(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := one(t, ls)
	b := make([]byte, 10)
	on(t, l, func() {
		if c.CanRead() || !c.CanWrite() || !c.IsOpen() || c.Loop() != l {
			t.Error("a new socket is writable, and not known to be readable")
		}
		if n, err := c.Read(b); n != 0 || err != ErrWouldBlock {
			t.Errorf("read %d, %v", n, err)
		}
		if c.Peer() != peer.LocalAddr().(*net.TCPAddr).AddrPort() || c.Local() != peer.RemoteAddr().(*net.TCPAddr).AddrPort() {
			t.Errorf("%v to %v", c.Peer(), c.Local())
		}
	})
	peer.Write([]byte("0123456789abc"))
	if e := events.until(t, Readable); e != Readable {
		t.Errorf("events %b", e)
	}
	events.none(t, l)
	on(t, l, func() {
		if n, err := c.Read(b); n != 10 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		if !c.CanRead() {
			t.Error("a full read says nothing of what is left")
		}
		c.Again()
	})
	if e := events.until(t, Readable); e != Readable|Writable {
		t.Errorf("events %b", e)
	}
	on(t, l, func() {
		if n, err := c.Read(b); n != 3 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		if n, err := c.Read(b); n != 0 || err != ErrWouldBlock {
			t.Errorf("read %d, %v", n, err)
		}
	})
	peer.Write([]byte("last"))
	peer.CloseWrite()
	var last []byte
	if portable {
		events.until(t, Readable)
		on(t, l, func() { last, _ = readAll(c) })
	}
	if e := events.until(t, Readable|HungUp); e&Failed != 0 {
		t.Errorf("events %b", e)
	}
	on(t, l, func() {
		if !c.HasHungUp() {
			t.Error("not hung up")
		}
		all, err := readAll(c)
		if all = append(last, all...); string(all) != "last" || err != io.EOF {
			t.Errorf("read %q, %v", all, err)
		}
		if n, err := c.Write([]byte("and "), []byte("back")); n != 8 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		c.CloseWrite()
	})
	if got, err := io.ReadAll(peer); string(got) != "and back" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	on(t, l, func() {
		c.Close()
		c.Close()
		if _, err := c.Read(b); err != net.ErrClosed {
			t.Error(err)
		}
		if _, err := c.Write(b, nil); err != net.ErrClosed {
			t.Error(err)
		}
		if c.Again(); c.IsOpen() || c.Local().IsValid() || c.CloseWrite() != net.ErrClosed {
			t.Error("open")
		}
	})
}

func readAll(c *conn) (all []byte, err error) {
	for {
		b := c.Loop().Scratch()
		n, err := c.Read(b)
		if err != nil {
			return all, err
		}
		all = append(all, b[:n]...)
	}
}

// TestReset: a reset of the peer gives Failed, and the peer gets the socket's own reset.
func TestReset(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := one(t, ls)
	peer.SetLinger(0)
	peer.Close()
	events.until(t, Failed)
	on(t, l, func() {
		if err := c.Err(); err != syscall.ECONNRESET && runtime.GOOS != "windows" {
			t.Error(err)
		}
		c.Close()
	})
	c, peer, _ = one(t, ls)
	on(t, l, c.Reset)
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && runtime.GOOS != "windows" {
		t.Error(err)
	}
}

// TestBackPressure: a peer that does not read stops the writer, and there is one event when it reads again.
func TestBackPressure(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := one(t, ls)
	block := make([]byte, 40_000)
	for i := range block {
		block[i] = byte(i)
	}
	written := 0
	fill := func() {
		for {
			at := written % len(block)
			n, err := c.Write(block[at:min(at+5, len(block))], block[min(at+5, len(block)):])
			written += n
			if err == ErrWouldBlock {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
	on(t, l, func() {
		fill()
		if c.CanWrite() {
			t.Error("writable")
		}
	})
	read := 0
	b := make([]byte, 1<<20)
	for range 4 {
		for have := written; read < have; {
			n, err := peer.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			for got := b[:n]; len(got) > 0; {
				want := block[read%len(block):]
				k := min(len(got), len(want))
				if !bytes.Equal(got[:k], want[:k]) {
					t.Fatalf("other bytes from %d on", read)
				}
				got, read = got[k:], read+k
			}
		}
		events.until(t, Writable)
		on(t, l, fill)
	}
	on(t, l, c.Reset)
}

func TestSendFile(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	content := make([]byte, 3<<20)
	rand.Read(content)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, peer, events := one(t, ls)
	offset := 0
	go func() {
		head := []byte("head")
		send := func() {
			for len(head) > 0 {
				n, err := c.WriteMore(head)
				if err != nil {
					t.Error(err)
					return
				}
				head = head[n:]
			}
			for offset < len(content) {
				n, err := c.SendFile(file, int64(offset), len(content)-offset)
				if err == ErrWouldBlock {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				offset += n
			}
			if _, err := c.SendFile(file, int64(offset), 1); err == ErrWouldBlock {
				return
			} else if err != io.ErrUnexpectedEOF {
				t.Error(err)
			}
			c.CloseWrite()
			offset++
		}
		for offset <= len(content) {
			on(t, l, send)
			if offset > len(content) {
				return
			}
			events.until(t, Writable)
		}
	}()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, append([]byte("head"), content...)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	on(t, l, c.Close)
}

// TestStaleEvents: events for a socket that a handler of the same batch has closed are dropped: neither it gets them nor a new socket with
// the same descriptor or slot.
func TestStaleEvents(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	target := serve(t, ls, func(c *conn) { c.ready = func(c *conn, e Events) { closeAtEnd(c, e) } })
	const pairs = 20
	var server [2 * pairs]*conn
	events := make(chan string, 1000)
	opened := make(chan *conn, 1)
	address := serve(t, ls, func(c *conn) { opened <- c })
	var peers [2 * pairs]*net.TCPConn
	for i := range peers {
		peers[i] = dial(t, address)
		server[i] = wait(t, opened, "a connection")
	}
	// The first of two to get an event closes both and dials with the other's struct.
	for i := range server {
		other := server[i^1]
		server[i].ready = func(c *conn, e Events) {
			c.Close()
			other.Close()
			other.ready = func(c *conn, e Events) {
				if e&Connected == 0 {
					events <- "a stale event"
				}
				c.Close()
				events <- ""
			}
			if err := l.Dial(&other.Socket, target, other); err != nil {
				events <- err.Error()
			}
		}
	}
	// While the loop is blocked, all become readable, so that they are in one batch.
	on(t, l, func() {
		for _, peer := range peers {
			peer.Write([]byte("x"))
		}
		for _, c := range server {
			for !arrived(&c.Socket) {
				runtime.Gosched()
			}
		}
	})
	for range pairs {
		if got := wait(t, events, "the dials"); got != "" {
			t.Error(got)
		}
	}
	on(t, l, func() {
		if l.count[stale] == 0 && !portable {
			t.Error("no event was stale")
		}
	})
}

func closeAtEnd(c *conn, e Events) {
	if _, err := readAll(c); err != ErrWouldBlock {
		c.Close()
	}
}

// TestStopFails: sockets that are open when the loops stop fail, and are closed if their handlers do not.
func TestStopFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ls := New(Options{Loops: 1})
	if err := ls.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var stopped error
	events := make(happened, 100)
	opened := make(chan *conn, 2)
	address := serve(t, ls, func(c *conn) { c.ready = events.ready; opened <- c })
	peer := dial(t, address)
	ignored := wait(t, opened, "a connection")
	dial(t, address)
	c := wait(t, opened, "a connection")
	on(t, ls.All()[0], func() {
		c.ready = func(c *conn, e Events) {
			if e&Failed != 0 {
				stopped = c.Err()
				c.Close()
			}
		}
	})
	cancel()
	ls.Wait()
	if events.until(t, Failed); stopped != ErrStopped || c.IsOpen() || ignored.IsOpen() {
		t.Errorf("%v; open: %v, %v", stopped, c.IsOpen(), ignored.IsOpen())
	}
	if _, err := peer.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestDial(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	start := func(dial func(*Socket, Handler) error) (*conn, happened) {
		events := make(happened, 10)
		c := &conn{ready: events.ready}
		on(t, l, func() {
			if err := dial(&c.Socket, c); err != nil {
				t.Error(err)
			}
			if _, err := c.Write([]byte("x"), nil); err != ErrWouldBlock {
				t.Errorf("while it dials: %v", err)
			}
		})
		return c, events
	}
	works := func(name string, dial func(*Socket, Handler) error) {
		c, events := start(dial)
		if e := events.until(t, Connected); e&Failed != 0 {
			t.Errorf("%s: events %b, %v", name, e, c.Err())
		}
		on(t, l, func() {
			if n, err := c.Write([]byte("ping"), nil); n != 4 || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
		})
		events.until(t, Readable)
		on(t, l, func() {
			if got, err := readAll(c); string(got) != "ping" || err != ErrWouldBlock {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			c.Close()
		})
	}
	address := serve(t, ls, echo)
	works("tcp", func(s *Socket, h Handler) error { return l.Dial(s, address, h) })
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	listen(t, ls, ln, echo)
	works("unix", func(s *Socket, h Handler) error { return l.DialUnix(s, path, h) })

	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := refused.Addr().(*net.TCPAddr).AddrPort()
	refused.Close()
	for name, attempt := range map[string]struct {
		dial func(*Socket, Handler) error
		want syscall.Errno
	}{
		"tcp":  {func(s *Socket, h Handler) error { return l.Dial(s, nobody, h) }, syscall.ECONNREFUSED},
		"unix": {func(s *Socket, h Handler) error { return l.DialUnix(s, path+"none", h) }, syscall.ENOENT},
	} {
		c, events := start(attempt.dial)
		if e := events.until(t, Failed); e&Connected != 0 {
			t.Errorf("%s: events %b", name, e)
		}
		on(t, l, func() {
			if err := c.Err(); err != attempt.want && runtime.GOOS != "windows" {
				t.Errorf("%s: %v", name, err)
			}
			c.Close()
		})
	}
	// A socket that is closed before the end of its dial gets no event.
	c := &conn{ready: func(*conn, Events) { t.Error("got an event") }}
	on(t, l, func() {
		for _, to := range []netip.AddrPort{address, nobody, netip.MustParseAddrPort("192.0.2.1:1")} {
			if err := l.Dial(&c.Socket, to, c); err == nil {
				c.Close()
			}
		}
	})
	on(t, l, func() {})
}
