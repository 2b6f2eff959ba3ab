package front

import (
	"bytes"
	"errors"
	"io"
	"lb/message"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLargeAnswersAndFiles(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sent := make(chan int64, 1)
	handler := func(c *Conn) {
		begin := func(n int) {
			r := message.Response{Status: 200}
			r.SetLength(int64(n))
			c.Respond(&r)
		}
		var n int64 // of the body
		memory := func(p []byte) {
			k, sendErr := c.Send(p, 0)
			n, err = n+int64(k), errors.Join(err, sendErr)
		}
		var err error
		switch string(c.Request().Target) {
		case "/memory":
			begin(len(data))
			memory(data)
		case "/file":
			begin(len(data))
			n, err = c.SendFile(file, 0, int64(len(data)), 0)
		case "/part":
			begin(1_000_000)
			n, err = c.SendFile(file, 16*7, 1_000_000, 0)
		case "/parts":
			begin(len(data))
			for _, part := range [][]byte{nil, data[:100_000], data[100_000:]} {
				memory(part)
			}
		}
		if err != nil || c.Sent() <= n || c.Sent() > n+100 {
			t.Errorf("%s: %d bytes of the body sent, Sent says %d, %v", c.Request().Target, n, c.Sent(), err)
		}
		sent <- c.Sent()
	}
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Handler: handler, Listeners: oneListener(t, secure)})
		c := dialMaybeTLS(t, f, secure)
		for path, want := range map[string][]byte{"/memory": data, "/file": data, "/parts": data, "/part": data[112:1_000_112]} {
			c.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			_, body := c.answer("GET")
			if body != string(want) {
				t.Errorf("%s, TLS %v: %d bytes, want %d", path, secure, len(body), len(want))
			}
			if n := <-sent; n <= int64(len(want)) {
				t.Errorf("%s: %d bytes accounted, less than head and body", path, n)
			}
		}
	}
}

func TestSendFileThatEndsEarly(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.WriteString("short")
	for _, secure := range []bool{false, true} {
		got := make(chan error, 1)
		f := start(t, Options{Listeners: oneListener(t, secure), Handler: func(c *Conn) {
			r := message.Response{Status: 200}
			r.SetLength(10)
			c.Respond(&r)
			_, err := c.SendFile(file, 0, 10, 0)
			got <- err
			c.Abort()
		}})
		c := dialMaybeTLS(t, f, secure)
		c.send(ok + "\r\n")
		if err := <-got; err != io.ErrUnexpectedEOF {
			t.Errorf("TLS %v: %v", secure, err)
		}
	}
}

// A client that reads slowly but reads gets all of it; one that does not read at all is cut.
func TestWriteProgress(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 8<<20)
	got := make(chan error, 1)
	f := start(t, Options{Limits: Limits{BodyIdleTimeout: 300 * time.Millisecond}, Handler: func(c *Conn) {
		_, err := reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"), data)
		got <- err
		if err != nil {
			c.Abort()
		}
	}})
	c := dial(t, f)
	c.send(ok + "\r\n")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	read := 0
	for buf := make([]byte, 400_000); read < len(data); {
		<-tick.C
		n, err := io.ReadAtLeast(c.r, buf, min(len(buf), len(data)-read))
		if read += n; err != nil {
			t.Fatalf("after %d bytes: %v", read, err)
		}
	}
	if err := <-got; err != nil {
		t.Errorf("a slow reader was cut: %v", err)
	}
	c = dial(t, f)
	c.send(ok + "\r\n")
	if err := <-got; !isTimeout(err) {
		t.Errorf("a reader that stands still: %v", err)
	}
}

// Nothing that Abort leaves behind can be taken for a whole answer, delimited by the end of the connection though it be.
func TestAbort(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure), Handler: func(c *Conn) {
			reply(c, []byte("HTTP/1.0 200 OK\r\n\r\nhalf"), nil)
			c.Abort()
			if _, err := c.Send([]byte("more"), 0); err == nil {
				t.Error("sent after Abort")
			}
		}})
		c := dialMaybeTLS(t, f, secure)
		c.send("GET / HTTP/1.0\r\n\r\n")
		if b, err := io.ReadAll(c.r); err == nil {
			t.Errorf("TLS %v: %q and a clean end", secure, b)
		}
	}
}

func TestUpgrade(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure), Limits: Limits{IdleTimeout: 20 * time.Millisecond, BodyIdleTimeout: 20 * time.Millisecond},
			Handler: func(c *Conn) {
				reply(c, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"), nil)
				s := c.Upgrade(nil)
				io.Copy(s, struct{ io.Reader }{s})
				s.CloseWrite()
			}})
		c := dialMaybeTLS(t, f, secure)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly")
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = c.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(50 * time.Millisecond) // no timeout of HTTP's ends it
		c.send("late")
		c.CloseWriteNow()
		if got := c.closed(); got != "earlylate" {
			t.Errorf("TLS %v: %q", secure, got)
		}
	}
}

// TestUpgradedWrites: after an upgrade the stream's deadline is the only one, with TLS as without: none of HTTP's limits
// cuts a peer that takes its time, and one that is set holds.
func TestUpgradedWrites(t *testing.T) {
	const size = 16 << 20 // more than the sockets hold
	for _, secure := range []bool{false, true} {
		full, bounded := make(chan error, 1), make(chan error, 1)
		f := start(t, Options{Listeners: oneListener(t, secure),
			Limits: Limits{BodyIdleTimeout: 100 * time.Millisecond, BodyMinRate: 1 << 40, RateWindow: time.Millisecond},
			Handler: func(c *Conn) {
				reply(c, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"), nil)
				s := c.Upgrade(nil)
				_, err := s.Write(make([]byte, size))
				full <- err
				s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				for err = nil; err == nil; {
					_, err = s.Write(make([]byte, 1<<10))
				}
				bounded <- err
			}})
		c := dialMaybeTLS(t, f, secure)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = c.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-full:
			t.Errorf("TLS %v: a slow peer was cut: %v", secure, err)
			continue
		case <-time.After(400 * time.Millisecond): // longer than all limits
		}
		if _, err := io.CopyN(io.Discard, c.r, size); err != nil {
			t.Errorf("TLS %v: %v", secure, err)
		}
		if err := <-full; err != nil {
			t.Errorf("TLS %v: %v", secure, err)
		}
		select {
		case err := <-bounded:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("TLS %v: %v", secure, err)
			}
		case <-time.After(patience):
			t.Errorf("TLS %v: the deadline does not hold", secure)
		}
		c.Close()
	}
}

func TestHTTP10(t *testing.T) {
	c := dial(t, start(t, Options{}))
	c.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	c.expect("GET /1 ")
	c.send("GET /2 HTTP/1.0\r\n\r\n")
	c.expect("GET /2 ")
	if rest := c.closed(); rest != "" {
		t.Errorf("%q", rest)
	}
}

// A kept connection's request costs no memory: 1,000 of them, through a real socket.
func TestRequestAllocatesNothing(t *testing.T) {
	head, body := []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), []byte("hello")
	fields := []message.Field{message.NewField("Content-Length", "5")}
	f := start(t, Options{Handler: func(c *Conn) {
		if r := c.Body(); r != nil {
			var buf [16]byte
			for {
				if _, err := r.Read(buf[:]); err != nil {
					break
				}
			}
		}
		r := message.Response{Status: 200, Fields: fields, Length: int64(len(body))}
		c.Respond(&r)
		c.Finish(body, nil, 0)
	}})
	for name, request := range map[string]string{
		"GET":     "GET /path?query HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
		"POST":    "POST /path HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"chunked": "POST /path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	} {
		c := dial(t, f)
		req, buf := []byte(request), make([]byte, len(head)+len(body))
		roundTrip := func() {
			c.Write(req)
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			roundTrip()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 1000 {
			roundTrip()
		}
		runtime.ReadMemStats(&after)
		allowed := 50.0 // the runtime's own, in all
		if name == "POST" {
			allowed = 1050 // the reader's 16 bytes above escape
		}
		if name == "chunked" {
			allowed = 1050
		}
		if n := float64(after.Mallocs - before.Mallocs); n > allowed && !raceEnabled {
			t.Errorf("%s: %v allocations for 1000 requests", name, n)
		}
		if !strings.HasSuffix(string(buf), "hello") {
			t.Errorf("%s: %q", name, buf)
		}
	}
}
