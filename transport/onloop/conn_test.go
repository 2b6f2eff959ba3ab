package onloop

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
	"lb/netloop"
	"lb/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLoop is one loop, on which tests act.
type testLoop struct {
	t    testing.TB
	loop *netloop.Loop
}

func startLoop(t testing.TB) *testLoop {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 1, Poison: func(b []byte) {
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
	return &testLoop{t, loops.All()[0]}
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

	heads   []int // the status of each response
	body    strings.Builder
	trailer string
	err     error
	ready   bool // Get returned a kept connection
	reused  bool
	done    chan struct{}
}

// ask has a connection of the set serve a request.
func (l *testLoop) ask(s *Set, request string) *exchange {
	l.t.Helper()
	x := l.begin(s, request)
	lbtest.Wait(l.t, "the response", x.done)
	return x
}

func (l *testLoop) begin(s *Set, request string) *exchange {
	x := &exchange{loop: l, request: request, toHead: strings.HasPrefix(request, "HEAD"), done: make(chan struct{})}
	l.do(func() {
		x.conn, x.ready = s.Get(l.loop, x, false)
		if x.ready {
			x.send()
		}
	})
	return x
}

func (x *exchange) Dialed(err *transport.Error) {
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
		x.heads = append(x.heads, x.conn.Head.Status)
		x.headRead = x.conn.Head.Status >= 200
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

func options(b *lbtest.Backend) transport.Options {
	return transport.Options{Address: b.Addr, Connect: 10 * time.Second, MaxIdle: 8, IdleTimeout: time.Minute}
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
			s := NewSet(options(b), []*netloop.Loop{l.loop})
			for i := range 2 {
				x := l.ask(s, get)
				if x.err != nil || x.body.String() != tc.body || x.trailer != tc.trailer || len(x.heads) != len(tc.heads) || x.reused != (tc.kept && i > 0) {
					t.Errorf("%s in pieces of %d, request %d: %v %d %.40q %q, reused: %v", name, piece, i, x.err, x.heads, x.body.String(), x.trailer, x.reused)
				}
			}
			closeSet(l, s)
		}
	}
}

// closeSet closes a set and checks that nothing is counted any more.
func closeSet(l *testLoop, s *Set) {
	l.t.Helper()
	s.Close()
	l.do(func() {})
	if active, idle := s.Counts(); active != 0 || idle != 0 {
		l.t.Errorf("%d connections in use and %d idle are left", active, idle)
	}
}

func TestCutResponses(t *testing.T) {
	l := startLoop(t)
	for response, want := range map[string]transport.Error{
		"":                              {Phase: transport.Head, Cause: transport.Reset},
		"HTTP/1.1 200 OK\r\nContent-Le": {Phase: transport.Head, Cause: transport.Reset, Responded: true},
		"SSH-2.0\r\n":                   {Phase: transport.Head, Cause: transport.Protocol, Responded: true},
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf":                    {Phase: transport.Body, Cause: transport.Reset, Responded: true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n": {Phase: transport.Body, Cause: transport.Reset, Responded: true},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n":         {Phase: transport.Body, Cause: transport.Protocol, Responded: true},
	} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			if head, _ := c.ReadRequest(); head != "" {
				c.Send(response)
			}
		})
		s := NewSet(options(b), []*netloop.Loop{l.loop})
		x := l.ask(s, get)
		var e *transport.Error
		if !errors.As(x.err, &e) || e.Phase != want.Phase || e.Cause != want.Cause || e.Responded != want.Responded || e.Reused {
			t.Errorf("%.60q: %#v", response, x.err)
		}
		closeSet(l, s)
	}
}

// TestKeptConnectionEnds: the end of a connection that is kept is seen at once, and the next request gets another.
func TestKeptConnectionEnds(t *testing.T) {
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
			s := NewSet(options(b), []*netloop.Loop{l.loop})
			l.ask(s, get)
			if s.EndsKept() {
				t.Error("it is known for ending connections before it has")
			}
			close(over)
			lbtest.Eventually(t, "the connection goes", func() bool { _, idle := s.Counts(); return idle == 0 })
			if !s.EndsKept() {
				t.Error("it is not known for ending a kept connection")
			}
			if x := l.ask(s, get); x.err != nil || x.reused {
				t.Errorf("%v, reused: %v", x.err, x.reused)
			}
			closeSet(l, s)
		})
	}
}

// TestSilentConnection: after a response without a body a connection is used when it has been silent for a while, and never if
// a body comes after all.
func TestSilentConnection(t *testing.T) {
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
		s := NewSet(options(b), []*netloop.Loop{l.loop})
		const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
		l.ask(s, head)
		if x := l.ask(s, head); x.reused {
			t.Error("a connection is used at once")
		}
		if body == "" {
			lbtest.Eventually(t, "a connection is used again", func() bool { return l.ask(s, head).reused })
		} else {
			lbtest.Eventually(t, "the connections go", func() bool { _, idle := s.Counts(); return idle == 0 })
		}
		closeSet(l, s)
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
		s := NewSet(transport.Options{Address: address, Connect: 10 * time.Second}, []*netloop.Loop{l.loop})
		x := l.ask(s, get)
		var e *transport.Error
		if !errors.As(x.err, &e) || e.Phase != transport.Dial || e.Cause != transport.Refused || e.Sent {
			t.Errorf("%s: %#v", address, x.err)
		}
		closeSet(l, s)
	}
}

func TestIdleConnectionsExpire(t *testing.T) {
	l := startLoop(t)
	b := lbtest.NewBackend(t, lbtest.Answer(lbtest.OK("a")))
	opt := options(b)
	opt.IdleTimeout = 50 * time.Millisecond
	s := NewSet(opt, []*netloop.Loop{l.loop})
	l.ask(s, get)
	lbtest.Eventually(t, "the connection expires", func() bool { _, idle := s.Counts(); return idle == 0 })
	if s.EndsKept() {
		t.Error("its backend is known for ending connections")
	}
	opt.IdleTimeout, opt.MaxIdle, opt.MaxRequests = time.Minute, 1, 2
	s = NewSet(opt, []*netloop.Loop{l.loop})
	first, second := l.begin(s, get), l.begin(s, get)
	lbtest.Wait(t, "the response", first.done)
	lbtest.Wait(t, "the response", second.done)
	l.do(func() {})
	if _, idle := s.Counts(); idle != 1 {
		t.Errorf("%d connections are kept", idle)
	}
	if x := l.ask(s, get); !x.reused {
		t.Error("the kept connection is not used")
	}
	if _, idle := s.Counts(); idle != 0 {
		t.Error("a connection is kept beyond MaxRequests")
	}
	closeSet(l, s)
}

// TestPausedReader: what was read and not used is there when the loop's scratch buffer has been used for others.
func TestPausedReader(t *testing.T) {
	l := startLoop(t)
	want := strings.Repeat("0123456789abcdef", 20_000)
	b := lbtest.NewBackend(t, lbtest.Answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e200\r\n"+want+"\r\n0\r\n\r\n"))
	s := NewSet(options(b), []*netloop.Loop{l.loop})
	x := &exchange{loop: l, request: get, pause: true, done: make(chan struct{})}
	l.do(func() { x.conn, _ = s.Get(l.loop, x, false) })
	lbtest.Wait(t, "the response", x.done)
	if x.err != nil || x.body.String() != want {
		t.Errorf("%v, %d bytes", x.err, x.body.Len())
	}
	closeSet(l, s)
}
