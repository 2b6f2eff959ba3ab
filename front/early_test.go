package front

import (
	"crypto/tls"
	"errors"
	"io"
	"lb/http1"
	"lb/message"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEarlyStatusLine: what shows whether a half-closed client is still there is the beginning of the answer that it
// waits for, whichever way that then goes out, and all of it is accounted once.
func TestEarlyStatusLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
	const whole = head + "hello"
	const hints, switched = "HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n"
	panicked := func(*Conn) (int64, error) { panic("after the probe") }
	ways := []struct {
		name   string
		answer func(*Conn) (int64, error) // returns what the sends have
		want   string                     // "cut": a reset or no close_notify
	}{
		{"head and body", func(c *Conn) (int64, error) { return reply(c, []byte(head), []byte("hello")) }, whole},
		{"head first", func(c *Conn) (int64, error) {
			r, _ := responseOf(c, []byte(head))
			c.Respond(r)
			_, err := c.Send(nil, 0)
			_, err2 := c.Finish([]byte("hello"), nil, 0)
			return c.Sent(), errors.Join(err, err2)
		}, whole},
		{"chunks", func(c *Conn) (int64, error) {
			c.Respond(&message.Response{Status: 200, Length: -1})
			_, err := c.Finish([]byte("hello"), nil, 0)
			return c.Sent(), err
		}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"large head", func(c *Conn) (int64, error) {
			return reply(c, []byte("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", recordSize)+"\r\nContent-Length: 5\r\n\r\n"), []byte("hello"))
		}, "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", recordSize) + "\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
		{"file", func(c *Conn) (int64, error) {
			r, _ := responseOf(c, []byte(head))
			c.Respond(r)
			_, err := c.SendFile(file, 0, 5, 0)
			return c.Sent(), err
		}, whole},
		{"interim", func(c *Conn) (int64, error) {
			if err := c.SendInterim(&message.Response{Status: 103}, false); err != nil {
				return 0, err
			}
			_, err := reply(c, []byte(whole), nil)
			return c.Sent(), err
		}, hints + whole},
		{"upgrade", func(c *Conn) (int64, error) {
			n, err := reply(c, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n"), nil)
			if err != nil {
				return n, err
			}
			k, err := c.Upgrade(nil).Write([]byte("bytes"))
			return n + int64(k), err
		}, switched + "bytes"},
		{"panic", panicked, "HTTP/1.1 500 "},
		{"abort", func(c *Conn) (int64, error) { c.Abort(); return 0, nil }, "cut"},
		{"no head", func(c *Conn) (int64, error) { c.Send([]byte("hello"), 0); return 0, nil }, "cut"},
	}
	proceed, counted := make(chan int), make(chan int64, 1)
	handler := func(c *Conn) {
		c.EndAfter()
		c.Await(func() { t.Error("the client is there") })
		defer c.EndAwait()
		way := ways[<-proceed]
		n, err := way.answer(c)
		if way.want != "cut" && (err != nil || n != c.Sent()) {
			t.Errorf("%s: %d bytes sent, Sent says %d, %v", way.name, n, c.Sent(), err)
		}
		counted <- n
	}
	refused := make(chan int64, 1)
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Handler: handler, Listeners: oneListener(t, secure), Refused: func(_ *Conn, r Refusal) { refused <- r.BytesOut }})
		for i, way := range ways {
			for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
				if version == "HTTP/1.0" && (way.name == "interim" || way.name == "chunks" || way.name == "upgrade") {
					continue // it knows of none
				}
				c := dialMaybeTLS(t, f, secure)
				c.send("GET / " + version + "\r\nHost: a\r\n\r\n")
				c.endStream()
				early := make([]byte, len(http1.StatusLineStart))
				if _, err := io.ReadFull(c.r, early); err != nil || string(early) != http1.StatusLineStart {
					t.Fatalf("%q (%v) came before the answer", early, err)
				}
				proceed <- i
				rest, err := io.ReadAll(c.r)
				got := string(early) + string(rest)
				switch way.want {
				case "cut":
					if <-counted; err == nil || len(rest) > 0 {
						t.Errorf("%s, TLS %v: %q, %v, and not cut", way.name, secure, got, err)
					}
				case "HTTP/1.1 500 ":
					if n := <-refused; !strings.HasPrefix(got, way.want) || err != nil || n != int64(len(got)) {
						t.Errorf("%s, TLS %v: %q, %v; %d bytes told", way.name, secure, got, err, n)
					}
				default:
					if n := <-counted; got != way.want || err != nil || n != int64(len(got)) {
						t.Errorf("%s, TLS %v: %q, %v; %d bytes counted", way.name, secure, got, err, n)
					}
				}
			}
		}
	}
}

// endStream ends what the client sends, on the socket alone where there is TLS: a close_notify is for whoever reads.
func (c *client) endStream() {
	conn := c.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.(*net.TCPConn).CloseWrite()
}

// TestGoneBeforeItsBody: a client that leaves while nobody reads its body, since it waits to be told to send it, is
// noticed; one that is there gets the 100 that it waits for as ever.
func TestGoneBeforeItsBody(t *testing.T) {
	gone, proceed := make(chan bool, 1), make(chan bool)
	handler := func(c *Conn) {
		c.EndAfter()
		c.Await(func() { gone <- true })
		stays := <-proceed
		c.EndAwait()
		if stays {
			io.ReadAll(c.Body())
		}
		reply(c, []byte("HTTP/1.1 204 No Content\r\n\r\n"), nil)
	}
	const request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Handler: handler, Listeners: oneListener(t, secure)})
		c := dialMaybeTLS(t, f, secure)
		c.send(request)
		c.Close()
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatalf("TLS %v: not noticed", secure)
		}
		proceed <- false

		c = dialMaybeTLS(t, f, secure)
		c.send(request)
		c.endStream()
		early := make([]byte, len(http1.StatusLineStart))
		if _, err := io.ReadFull(c.r, early); err != nil {
			t.Fatal(err)
		}
		proceed <- true
		if rest, err := io.ReadAll(c.r); err != nil || string(early)+string(rest) != "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n" {
			t.Errorf("TLS %v: %q %q, %v", secure, early, rest, err)
		}
	}
	if len(gone) > 0 {
		t.Error("a client that is there was taken for gone")
	}
}

// TestLostInterrupt: the interrupt that EndAwait sends may come together with the end of a wait, and is lost then. The
// goroutine that watches the client must not begin another wait, which nothing would end.
func TestLostInterrupt(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		for !c.hungUp() { // until the client has ended its sending half
			time.Sleep(time.Millisecond)
		}
		if c.clientLeft() { // as after EndAwait, whose interrupt nobody has seen
			t.Error("the client is there")
		}
		reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil)
	}})
	c := dial(t, f)
	c.send(ok + "\r\n")
	c.endStream()
	c.expect("")
}
