package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/lbtest"
	"lb/internal/proxyprotocol"
	"lb/netloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLoop runs functions of a test on a loop.
type testLoop struct {
	t    testing.TB
	loop *netloop.Loop
}

func startLoop(t testing.TB) *testLoop {
	t.Helper()
	return startLoops(t, 1)[0]
}

func startLoops(t testing.TB, n int) (all []*testLoop) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: n, Poison: func(b []byte) {
		for i := range b {
			b[i] = '!'
		}
	}})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		loops.Wait()
	})
	for _, l := range loops.All() {
		all = append(all, &testLoop{t, l})
	}
	return all
}

// do runs f on the loop and waits for it.
func (l *testLoop) do(f func()) {
	l.t.Helper()
	done := make(chan struct{})
	l.loop.Post(netloop.TaskFunc(func() {
		f()
		close(done)
	}))
	lbtest.Wait(l.t, "the loop", done)
}

// exchange sends a request and reads the response to it.
type exchange struct {
	loop     *testLoop
	conn     *Conn
	request  string
	toHead   bool
	pause    bool // after each piece of the body until resume
	headRead bool

	described proxyprotocol.Connection
	uniqueID  []byte

	heads   []int // the status of each response
	body    strings.Builder
	trailer string
	err     error
	ready   bool // Get returned an idle connection
	reused  bool
	done    chan struct{}
}

// ask sends a request and waits for the response.
func (l *testLoop) ask(s *Client, request string) *exchange {
	l.t.Helper()
	x := l.begin(s, request)
	lbtest.Wait(l.t, "the response", x.done)
	return x
}

func (l *testLoop) begin(s *Client, request string) *exchange { return l.beginAll(s, request, 1)[0] }

// beginAll begins n exchanges at once, so that they need n connections.
func (l *testLoop) beginAll(s *Client, request string, n int) (all []*exchange) {
	for range n {
		all = append(all, &exchange{loop: l, request: request, toHead: strings.HasPrefix(request, "HEAD"), done: make(chan struct{})})
	}
	l.do(func() {
		for _, x := range all {
			x.conn, x.ready = s.Get(l.loop, x, false)
		}
		for _, x := range all {
			if x.ready {
				x.send()
			}
		}
	})
	return all
}

func (x *exchange) DescribeClient(c *proxyprotocol.Connection) []byte {
	*c = x.described
	return x.uniqueID
}

func (x *exchange) Dialed(err *Error) {
	if err != nil {
		x.end(err)
		return
	}
	x.send()
}

func (x *exchange) send() {
	x.reused = x.conn.Reused()
	x.conn.Send([]byte(x.request), nil, false)
	x.ResponseReady()
}

func (x *exchange) RequestFlushed() {}

func (x *exchange) ResponseReady() {
	for !x.headRead {
		err := x.conn.ReadHead(x.toHead)
		switch {
		case err == netloop.ErrWouldBlock:
			x.conn.Keep()
			return
		case err != nil:
			x.end(err)
			return
		}
		x.heads = append(x.heads, x.conn.Head().Status)
		x.headRead = x.conn.Head().Status >= 200
	}
	for {
		piece, err := x.conn.ReadBody()
		x.body.Write(piece)
		switch {
		case err == io.EOF:
			for _, f := range x.conn.Trailer() {
				x.trailer += string(f.Line)
			}
			x.end(nil)
			return
		case err == netloop.ErrWouldBlock:
			x.conn.Keep()
			return
		case err != nil:
			x.end(err)
			return
		case x.pause:
			x.conn.Keep()
			x.loop.loop.Later(netloop.TaskFunc(x.ResponseReady))
			return
		}
	}
}

func (x *exchange) end(err error) {
	x.err = err
	x.conn.Done(err == nil)
	close(x.done)
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func options(b *lbtest.Backend) Options {
	return Options{Address: b.Addr, Connect: 10 * time.Second, MaxIdle: 8, IdleTimeout: time.Minute}
}

func TestResponses(t *testing.T) {
	l := startLoop(t)
	long := strings.Repeat("0123456789abcdef", 20_000)
	for name, tc := range map[string]struct {
		response, body, trailer string
		heads                   []int
		kept                    bool
	}{
		"length":            {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", "", []int{200}, true},
		"long":              {"HTTP/1.1 200 OK\r\nContent-Length: 320000\r\n\r\n" + long, long, "", []int{200}, true},
		"chunks":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", "", []int{200}, true},
		"trailer":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", "hello", "X-T: 1\r\n", []int{200}, true},
		"nominated trailer": {"HTTP/1.1 200 OK\r\nConnection: X-T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n", "hello", "X-U: 2\r\n", []int{200}, true},
		"interim":           {"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", "", []int{103, 200}, true},
		"big head":          {"HTTP/1.1 200 OK\r\nA: " + long[:30_000] + "\r\nContent-Length: 2\r\n\r\nok", "ok", "", []int{200}, true},
		"close":             {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", "", []int{200}, false},
		"junk":              {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokjunk", "ok", "", []int{200}, false},
	} {
		for _, piece := range []int{1 << 20, 1000, 3} {
			if piece == 3 && len(tc.response) > 1000 {
				continue
			}
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					if head, _ := c.ReadRequest(); head == "" {
						return
					}
					c.SendPieces(tc.response, piece)
				}
			})
			s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
			for i := range 2 {
				x := l.ask(s, get)
				if x.err != nil || x.body.String() != tc.body || x.trailer != tc.trailer || len(x.heads) != len(tc.heads) || x.reused != (tc.kept && i > 0) {
					t.Errorf("%s in pieces of %d, request %d: %v %d %.40q %q, reused: %v", name, piece, i, x.err, x.heads, x.body.String(), x.trailer, x.reused)
				}
			}
			closeClient(l, s)
		}
	}
}

// closeClient closes a client and checks that it counts no connections any more.
func closeClient(l *testLoop, s *Client) {
	l.t.Helper()
	s.Close()
	l.do(func() {})
	if active, idle := s.Counts(); active != 0 || idle != 0 {
		l.t.Errorf("%d connections in use and %d idle are left", active, idle)
	}
}

func TestCutResponses(t *testing.T) {
	l := startLoop(t)
	for response, want := range map[string]Error{
		"":                              {Phase: Head, Cause: Reset},
		"HTTP/1.1 200 OK\r\nContent-Le": {Phase: Head, Cause: Reset, Responded: true},
		"SSH-2.0\r\n":                   {Phase: Head, Cause: Protocol, Responded: true},
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf":                    {Phase: Body, Cause: Reset, Responded: true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n": {Phase: Body, Cause: Reset, Responded: true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":         {Phase: Body, Cause: Protocol, Responded: true},
	} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			if head, _ := c.ReadRequest(); head != "" {
				c.Send(response)
			}
		})
		s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
		x := l.ask(s, get)
		var e *Error
		if !errors.As(x.err, &e) || e.Phase != want.Phase || e.Cause != want.Cause || e.Responded != want.Responded || e.Reused {
			t.Errorf("%.60q: %#v", response, x.err)
		}
		closeClient(l, s)
	}
}

// TestIdleConnectionCloses: the client notices at once when the backend closes an idle connection, and the next request gets another one.
func TestIdleConnectionCloses(t *testing.T) {
	l := startLoop(t)
	for name, end := range map[string]func(*lbtest.Conn){
		"closed": func(c *lbtest.Conn) { c.Close() },
		"reset":  func(c *lbtest.Conn) { c.Reset() },
		"junk":   func(c *lbtest.Conn) { c.Send("HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				if head, _ := c.ReadRequest(); head != "" {
					c.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					<-over
					end(c)
					c.ReadRequest()
				}
			})
			s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
			l.ask(s, get)
			if s.RecentlyStale() {
				t.Error("RecentlyStale is true before the backend closed a connection")
			}
			close(over)
			lbtest.Eventually(t, "the connection is removed", func() bool { _, idle := s.Counts(); return idle == 0 })
			if !s.RecentlyStale() {
				t.Error("RecentlyStale is false after the backend closed an idle connection")
			}
			if x := l.ask(s, get); x.err != nil || x.reused {
				t.Errorf("%v, reused: %v", x.err, x.reused)
			}
			closeClient(l, s)
		})
	}
}

// TestProbation: after a response without a body a connection is reused only when the backend has sent nothing for a while, and never
// if it sends a body after all.
func TestProbation(t *testing.T) {
	l := startLoop(t)
	for _, body := range []string{"", "body"} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				if head, _ := c.ReadRequest(); head == "" {
					return
				}
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				c.Send(body)
			}
		})
		s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
		const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
		l.ask(s, head)
		if x := l.ask(s, head); x.reused {
			t.Error("the connection was reused at once")
		}
		if body == "" {
			lbtest.Eventually(t, "a connection is reused", func() bool { return l.ask(s, head).reused })
		} else {
			lbtest.Eventually(t, "the connections are removed", func() bool { _, idle := s.Counts(); return idle == 0 })
		}
		closeClient(l, s)
	}
}

func TestDialFails(t *testing.T) {
	l := startLoop(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	for _, address := range []string{address, "unix:" + t.TempDir() + "/none", "localhost:" + address[strings.LastIndexByte(address, ':')+1:]} {
		s := New(Options{Address: address, Connect: 10 * time.Second}, NewWorkers([]*netloop.Loop{l.loop}))
		x := l.ask(s, get)
		var e *Error
		if !errors.As(x.err, &e) || e.Phase != Dial || e.Cause != Refused || e.Sent {
			t.Errorf("%s: %#v", address, x.err)
		}
		closeClient(l, s)
	}
}

func TestIdleConnectionsExpire(t *testing.T) {
	l := startLoop(t)
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("a")))
	opt := options(b)
	opt.IdleTimeout = 50 * time.Millisecond
	s := New(opt, NewWorkers([]*netloop.Loop{l.loop}))
	l.ask(s, get)
	lbtest.Eventually(t, "the connection expires", func() bool { _, idle := s.Counts(); return idle == 0 })
	if s.RecentlyStale() {
		t.Error("RecentlyStale is true after IdleTimeout")
	}
	opt.IdleTimeout, opt.MaxRequests = time.Minute, 2
	s = New(opt, NewWorkers([]*netloop.Loop{l.loop}))
	l.ask(s, get)
	if x := l.ask(s, get); !x.reused {
		t.Error("the idle connection is not reused")
	}
	if _, idle := s.Counts(); idle != 0 {
		t.Error("a connection is kept beyond MaxRequests")
	}
	closeClient(l, s)
}

// TestSurplusExpires: connections beyond MaxIdle are used again for a while before they are closed, and at once if none may be kept.
func TestSurplusExpires(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Minute} {
		for _, maxIdle := range []int{0, 1, 2} {
			l := startLoop(t)
			b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("a")))
			opt := options(b)
			opt.IdleTimeout, opt.MaxIdle = limit, maxIdle
			s := New(opt, NewWorkers([]*netloop.Loop{l.loop}))
			three := func() (reused int) {
				exchanges := l.beginAll(s, get, 3)
				for _, x := range exchanges {
					lbtest.Wait(t, "the response", x.done)
				}
				l.do(func() {
					for _, x := range exchanges {
						if x.reused {
							reused++
						}
					}
				})
				return reused
			}
			three()
			if reused := three(); maxIdle == 0 && reused > 0 || maxIdle > 0 && reused != 3 {
				t.Errorf("max_idle %d: %d of 3 connections were reused", maxIdle, reused)
			}
			lbtest.Eventually(t, "the surplus is closed", func() bool { active, idle := s.Counts(); return active == 0 && idle == maxIdle })
			if maxIdle > 0 && !l.ask(s, get).reused {
				t.Errorf("max_idle %d: no connection was kept", maxIdle)
			}
			closeClient(l, s)
		}
	}
}

// TestPausedReader: unread data survives the use of the loop's scratch buffer by others.
func TestPausedReader(t *testing.T) {
	l := startLoop(t)
	want := strings.Repeat("0123456789abcdef", 20_000)
	b := lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e200\r\n"+want+"\r\n0\r\n\r\n"))
	s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
	x := &exchange{loop: l, request: get, pause: true, done: make(chan struct{})}
	l.do(func() { x.conn, _ = s.Get(l.loop, x, false) })
	lbtest.Wait(t, "the response", x.done)
	if x.err != nil || x.body.String() != want {
		t.Errorf("%v, %d bytes", x.err, x.body.Len())
	}
	closeClient(l, s)
}

// TestBytesBehindFullBuffer: a connection is not used again after bytes behind a response that has filled the buffer, although the
// socket's next event was not due.
func TestBytesBehindFullBuffer(t *testing.T) {
	l := startLoop(t)
	first := make(chan struct{})
	head := "HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n"
	rest := "\r\n" + strings.Repeat("a", 16000)
	head += "A: " + strings.Repeat("b", netloop.SmallBuffer-len(head)-len(rest)-len("A: \r\n")) + "\r\n"
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if c.ReadHead() == "" {
			return
		}
		c.Send(head)
		<-first
		c.Send(rest + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
		if c.ReadHead() != "" {
			c.Send(lbtest.OK("own"))
		}
	})
	s := New(options(b), NewWorkers([]*netloop.Loop{l.loop}))
	x := l.begin(s, get)
	lbtest.Eventually(t, "the first part has been received", func() (received bool) {
		l.do(func() { received = len(x.conn.unread) == len(head) })
		return received
	})
	close(first)
	lbtest.Wait(t, "the response", x.done)
	if x.err != nil || x.body.Len() != 16000 {
		t.Fatalf("%v, %d bytes", x.err, x.body.Len())
	}
	l.do(func() {})
	if _, idle := s.Counts(); idle != 0 {
		t.Errorf("the connection is kept")
	}
	closeClient(l, s)
}
