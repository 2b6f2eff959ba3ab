package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is connections on loops, and a handler that does what a request's target asks for.
type testServer struct {
	t        testing.TB
	address  string
	settings Settings
	workers  []*Worker
	ending   atomic.Bool
	open     atomic.Int64 // connections
	streams  atomic.Int64 // exchanges that have begun and not ended
	ended    atomic.Int64 // exchanges that have ended
	gone     atomic.Int64 // of them: by Gone
	refused  atomic.Int64
	panicked atomic.Int64
	lastGone atomic.Value // error
}

func startServer(t testing.TB, limits Limits) *testServer {
	t.Helper()
	s := &testServer{t: t}
	s.settings = Settings{Limits: limits, Handler: s}
	if s.settings.Limits.HeaderSize == 0 {
		s.settings.Limits.HeaderSize = 16 << 10
	}
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 2, Poison: func(b []byte) {
		for i := range b {
			b[i] = '!'
		}
	}})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range loops.All() {
		s.workers = append(s.workers, &Worker{Loop: l})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	if _, err := loops.Listen(listener, s.accept, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lbtest.Eventually(t, "all exchanges have ended", func() bool { return s.streams.Load() == 0 })
		cancel()
		loops.Wait()
		if n := s.open.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return s
}

type testConn struct {
	netloop.Socket
	Conn
	server *testServer
}

func (c *testConn) Ready(ev netloop.Events) { c.Conn.Ready(ev) }
func (c *testConn) Retiring() bool          { return c.server.ending.Load() }
func (c *testConn) Ending() bool            { return c.server.ending.Load() }
func (c *testConn) Linger() bool            { return !c.server.ending.Load() }
func (c *testConn) Closed()                 { c.server.open.Add(-1) }

func (s *testServer) accept(in *netloop.Incoming) {
	c := &testConn{server: s}
	if in.Open(&c.Socket, c) == nil {
		s.open.Add(1)
		c.Conn.Init(s.workers[in.Loop().Index()], &c.Socket, &s.settings, c, Info{Peer: in.Peer()}, nil)
		c.Conn.Run()
	}
}

func (s *testServer) Refused(*Conn, *Refusal) { s.refused.Add(1) }
func (s *testServer) Panicked(any)            { s.panicked.Add(1) }

// Serve begins the exchange that the first element of the target's path names; the others are numbers.
func (s *testServer) Serve(st *Stream) {
	parts := strings.Split(string(st.Request().Target), "/")
	x := &testExchange{server: s, s: st, what: parts[1]}
	for _, p := range parts[2:] {
		n, _ := strconv.Atoi(p)
		x.numbers = append(x.numbers, n)
	}
	st.Exchange = x
	s.streams.Add(1)
	x.begin()
}

type testExchange struct {
	server  *testServer
	s       *Stream
	what    string
	numbers []int
	timer   netloop.Timer
	pieces  int    // that are still to be sent
	body    []byte // that was received
	last    bool
	done    bool
}

func (x *testExchange) begin() {
	switch x.what {
	case "panic":
		x.server.streams.Add(-1)
		panic("as asked")
	case "stream": // N pieces of M bytes, with a length or not
		x.pieces = x.numbers[0]
		r := message.Response{Status: 200, Length: -1}
		if len(x.numbers) > 2 {
			r.SetLength(int64(x.numbers[0] * x.numbers[1]))
		}
		if x.s.Respond(&r, nil, false, false) {
			x.sendPieces()
		}
	case "later": // after N ms
		x.timer.Init(x.s.Conn().Worker().Loop, x)
		x.timer.Reset(time.Duration(x.numbers[0]) * time.Millisecond)
	case "echo":
		x.BodyReady()
	case "upgrade":
		r := message.Response{Status: 101}
		r.Add("Upgrade", "echo")
		x.s.Respond(&r, nil, false, true)
		socket, unread := x.s.Upgrade(x)
		socket.Write(unread, nil)
		x.ClientReady(netloop.Readable)
	case "interim":
		x.s.SendInterim(&message.Response{Status: http.StatusEarlyHints})
		x.respond("done")
	case "status":
		r := message.Response{Status: x.numbers[0]}
		x.finish(x.s.Respond(&r, nil, false, true))
	default:
		x.respond(string(x.s.Request().Method) + " " + string(x.s.Request().Target))
	}
}

func (x *testExchange) respond(body string) {
	r := message.Response{Status: 200}
	r.SetLength(int64(len(body)))
	x.finish(x.s.Respond(&r, []byte(body), false, true))
}

// finish ends the exchange once all is flushed.
func (x *testExchange) finish(flushed bool) {
	x.last = true
	if flushed {
		x.end()
	}
}

func (x *testExchange) end() {
	if x.done {
		x.server.t.Error("an exchange has ended twice")
	}
	x.done = true
	x.timer.Stop()
	x.server.ended.Add(1)
	x.server.streams.Add(-1)
	x.s.End()
}

func (x *testExchange) sendPieces() {
	for x.pieces > 0 {
		x.pieces--
		piece := []byte(strings.Repeat(string(rune('a'+x.pieces%26)), x.numbers[1]))
		if x.pieces == 0 {
			x.finish(x.s.Send(piece, true, nil))
		} else if !x.s.Send(piece, false, nil) {
			return
		}
	}
}

func (x *testExchange) BodyReady() {
	for {
		piece, err := x.s.Read()
		x.body = append(x.body, piece...)
		switch {
		case err == nil:
		case err == netloop.ErrWouldBlock:
			return
		case err == io.EOF:
			for _, f := range x.s.Trailers() {
				x.body = append(x.body, f.Line...)
			}
			x.respond(string(x.body))
			return
		default:
			status := map[error]int{ErrBodyTooLarge: 413, ErrBodyTimeout: 408, ErrBodyMalformed: 400, ErrTrailerFields: 431, ErrBodyShort: 400}[err]
			if status == 0 {
				x.server.lastGone.Store(err)
				x.server.gone.Add(1)
				x.s.Abort()
				x.end()
				return
			}
			x.s.Close()
			r := message.Response{Status: status}
			r.SetLength(int64(len(err.Error())))
			x.finish(x.s.Respond(&r, []byte(err.Error()), false, true))
			return
		}
	}
}

func (x *testExchange) Moved() {}

func (x *testExchange) Flushed() {
	if x.last {
		x.end()
		return
	}
	x.sendPieces()
}

func (x *testExchange) Gone(err error) {
	x.server.lastGone.Store(err)
	x.server.gone.Add(1)
	x.end()
}

func (x *testExchange) Expired(*netloop.Timer) { x.respond("later") }

func (x *testExchange) ClientReady(ev netloop.Events) {
	socket := x.s.Conn().Socket()
	for {
		n, err := socket.Read(x.s.Conn().Worker().Loop.Scratch())
		if errors.Is(err, netloop.ErrWouldBlock) {
			return
		}
		if err != nil {
			x.end()
			return
		}
		socket.Write(x.s.Conn().Worker().Loop.Scratch()[:n], nil)
	}
}

func (x *testExchange) Ending() {}

// dial opens a connection that sends text.
func (s *testServer) dial(text string) *lbtest.Conn {
	c := lbtest.Dial(s.t, s.address)
	c.Send(text)
	return c
}

// want reads a response to the method and compares status and body.
func want(t testing.TB, c *lbtest.Conn, method string, status int, body string) lbtest.Response {
	t.Helper()
	r := c.ReadResponse(method)
	if r.Status() != status || r.Body != body {
		t.Fatalf("%d %.100q, want %d %.100q (%v)", r.Status(), r.Body, status, body, r.Err)
	}
	return r
}

func request(target string, lines ...string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, strings.Join(lines, ""))
}
