package front

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"lb/internal/dormant"
	"lb/message"
)

// suspending answers with the request's body, and has the request wait without a goroutine whenever none of it comes.
// What it needs of the head it keeps before.
func suspending(c *Conn) {
	method, body, got := string(c.Request().Method), io.Reader(&c.body), []byte(nil)
	var goOn func()
	goOn = func() {
		piece := make([]byte, 3)
		for c.BodyPending() {
			n, err := readOrPause(c, body, piece)
			got = append(got, piece[:n]...)
			switch {
			case err == dormant.ErrPaused && c.CanSuspend():
				c.Suspend(false, nil, goOn)
				return
			case err != nil && err != io.EOF && err != dormant.ErrPaused:
				c.EndAfter()
				reply(c, fmt.Appendf(nil, "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%v", len(err.Error()), err), nil)
				return
			}
		}
		text := method + " " + string(got)
		reply(c, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text), nil)
	}
	goOn()
}

// readOrPause reads once, and for a moment only.
func readOrPause(c *Conn, body io.Reader, p []byte) (n int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = body.Read(p)
	}()
	select {
	case <-done:
		return n, err
	case <-time.After(5 * time.Millisecond):
	}
	c.PauseBody()
	<-done
	c.TakeBackPause() // it was read meanwhile
	return n, err
}

// TestSuspended: a request goes on wherever its body stops, and the connection after it, as if it had had its goroutine.
func TestSuspended(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure), Handler: suspending})
		c := dialMaybeTLS(t, f, secure)
		for round := range 2 {
			c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
			for _, piece := range []string{"abc", "d", "efgh"} {
				parkedAre(t, f, 1)
				c.send(piece)
			}
			parkedAre(t, f, 1)
			c.send("ijklPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r")
			c.expect("PUT abcdefghijkl")
			parkedAre(t, f, 1)
			c.send("\nxyz\r\n0\r\n")
			parkedAre(t, f, 1)
			c.send("\r\n")
			c.expect("POST xyz")
			if t.Failed() {
				t.Fatalf("TLS %v, round %d", secure, round)
			}
		}
	}
}

// TestSuspendedEnds: a suspended request sees its client's end and reset, and has no more time than others.
func TestSuspendedEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		end    func(c *client)
		answer string
	}{
		"end":   {Limits{}, func(c *client) { c.Conn.(*net.TCPConn).CloseWrite() }, "HTTP/1.1 400 "},
		"reset": {Limits{}, func(c *client) { c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }, ""},
		"time":  {Limits{BodyIdleTimeout: 300 * time.Millisecond}, func(*client) {}, "HTTP/1.1 400 "},
	} {
		f := start(t, Options{Limits: tc.limits, Handler: suspending})
		c := dial(t, f)
		c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nabc")
		parkedAre(t, f, 1)
		tc.end(c)
		if tc.answer != "" {
			if got := c.closed(); !strings.HasPrefix(got, tc.answer) {
				t.Errorf("%s: %q", name, got)
			}
		}
		eventually(t, func() bool { return f.Load().Open == 0 })
	}
}

// TestSuspendedPanic: a request that fails when it goes on is responded to, and its connection ends.
func TestSuspendedPanic(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		c.Suspend(false, nil, func() { panic("on purpose") })
	}})
	c := dial(t, f)
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
	parkedAre(t, f, 1)
	c.send("abc")
	if got := c.closed(); !strings.HasPrefix(got, "HTTP/1.1 500 ") {
		t.Errorf("%q", got)
	}
}

// TestPausedSend: a send to a client that takes nothing can be broken off and gone on with, and its time counts as one.
func TestPausedSend(t *testing.T) {
	const size = 16 << 20
	body := []byte(strings.Repeat("0123456789abcdef", size/16))
	for _, reads := range []bool{true, false} {
		f := start(t, Options{Limits: Limits{BodyIdleTimeout: time.Second}, Handler: func(c *Conn) {
			var goOn func()
			r := message.Response{Status: 200}
			r.SetLength(size)
			c.Respond(&r)
			left, began := body, time.Now()
			goOn = func() {
				n, err := c.Finish(left, nil, 10*time.Millisecond)
				left = left[n:]
				if err == dormant.ErrPaused && c.CanSuspend() {
					c.Suspend(true, nil, goOn)
					return
				}
				if took := time.Since(began); !reads && (!errors.Is(err, os.ErrDeadlineExceeded) || took < time.Second) {
					t.Errorf("%v after %v", err, took)
				}
				if err != nil {
					c.Abort()
				}
			}
			goOn()
		}})
		c := dial(t, f)
		c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		parkedAre(t, f, 1)
		if !reads {
			eventually(t, func() bool { return f.Load().Open == 0 })
			continue
		}
		response, got := c.answer("GET")
		if response.StatusCode != 200 || got != string(body) {
			t.Errorf("%d and %d bytes that are not as they should be", response.StatusCode, len(got))
		}
	}
}

// TestPausedInAChunk: nothing that looks whether a client is still there gets into a chunk of which a part is out.
func TestPausedInAChunk(t *testing.T) {
	const size = 16 << 20
	paused := make(chan struct{})
	f := start(t, Options{Handler: func(c *Conn) {
		c.Await(func() {})
		defer c.EndAwait()
		c.Respond(&message.Response{Status: 200, Length: -1})
		c.Send(nil, 0)
		left := []byte(strings.Repeat("x", size))
		for began := time.Now(); time.Since(began) < 4*watchAfter; { // in which it is looked for
			n, err := c.Send(left, time.Millisecond)
			if left = left[n:]; err != dormant.ErrPaused {
				t.Errorf("%d bytes, %v", n, err)
				break
			}
		}
		close(paused)
		c.Send(left, 0)
		c.Finish(nil, nil, 0)
	}})
	c := dial(t, f)
	c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.Conn.(*net.TCPConn).CloseWrite()
	<-paused
	if _, body := c.answer("GET"); body != strings.Repeat("x", size) {
		t.Errorf("%d bytes that are not as they should be", len(body))
	}
}
