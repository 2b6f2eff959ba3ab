package http2

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer serves connections on loops. Its handler does what the target of a request says.
type testServer struct {
	t           testing.TB
	address     string
	settings    Settings
	workers     []*Worker
	loops       *netloop.Loops
	ending      atomic.Bool
	open        atomic.Int64 // connections
	streams     atomic.Int64 // exchanges that have begun and not ended
	served      atomic.Int64 // exchanges that have begun
	disconnects atomic.Int64 // of them: that ended by Disconnected
	panicked    atomic.Int64
	lastError   atomic.Value // error
	only        string       // what all targets ask for; "": what they say
	refused     chan Refusal
	conns       chan *testConn
}

func startServer(t testing.TB, limits Limits) *testServer {
	t.Helper()
	return startServerOf(t, limits, "")
}

// startServerOf starts a server for one kind of exchange; "": the target names it.
func startServerOf(t testing.TB, limits Limits, only string) *testServer {
	t.Helper()
	s := &testServer{t: t, only: only, refused: make(chan Refusal, 10_000), conns: make(chan *testConn, 100)}
	s.settings = Settings{Limits: limits, Handler: s}
	l := &s.settings.Limits
	if l.HeaderSize == 0 {
		l.HeaderSize = 16 << 10
	}
	if l.HeaderFields == 0 {
		l.HeaderFields = 100
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.loops = netloop.New(netloop.Options{Loops: 2, Poison: func(b []byte) {
		for i := range b {
			b[i] = '!'
		}
	}})
	if err := s.loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range s.loops.All() {
		s.workers = append(s.workers, &Worker{Loop: l})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	if _, err := s.loops.Listen(listener, s.accept, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lbtest.Eventually(t, "all exchanges have ended", func() bool { return s.streams.Load() == 0 })
		cancel()
		s.loops.Wait()
		if n := s.open.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		for _, l := range s.loops.All() {
			if n := l.Counters().Lent; n != 0 {
				t.Errorf("%d bytes are still lent", n)
			}
		}
		for _, w := range s.workers {
			if w.granted != 0 {
				t.Errorf("%d bytes of windows are still granted", w.granted)
			}
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
		c.Conn.Init(s.workers[in.Loop().Index()], &c.Socket, &s.settings, c, nil, nil)
		select {
		case s.conns <- c:
		default:
		}
		c.Conn.Run()
	}
}

// end makes the server's connections end.
func (s *testServer) end() {
	s.ending.Store(true)
	for {
		select {
		case c := <-s.conns:
			done := make(chan struct{})
			c.Loop().Post(netloop.TaskFunc(func() { c.Conn.End(); close(done) }))
			<-done
		default:
			return
		}
	}
}

func (s *testServer) Refused(_ *Conn, r *Refusal) {
	select {
	case s.refused <- *r:
	default:
	}
}

func (s *testServer) Panicked(any) { s.panicked.Add(1) }

// Serve begins the exchange that the first element of the target's path names; the others are numbers.
func (s *testServer) Serve(st *Stream) {
	parts := strings.Split(string(st.Request().Target), "/")
	x := &testExchange{server: s, s: st, what: parts[1]}
	for _, p := range parts[2:] {
		n, _ := strconv.Atoi(p)
		x.numbers = append(x.numbers, n)
	}
	if s.only != "" {
		x.what = s.only
	}
	st.Exchange = x
	s.streams.Add(1)
	s.served.Add(1)
	x.begin()
}

type testExchange struct {
	server  *testServer
	s       *Stream
	what    string
	numbers []int
	timer   netloop.Timer
	stream  netloop.Stream // after an upgrade
	out     netloop.Output
	pieces  int    // that are still to be sent
	body    []byte // that was received
	last    bool
	done    bool
}

func (x *testExchange) begin() {
	r := x.s.Request()
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
	case "never", "unread":
	case "echo", "drop":
		x.BodyReady()
	case "both": // a response that does not wait for the body of the request, nor end with it
		x.respond("done")
		x.BodyReady()
	case "hasty": // it ends before all is flushed
		r := message.Response{Status: 200}
		r.SetLength(10)
		x.s.Respond(&r, make([]byte, 10), false, true)
		x.end()
	case "upgrade":
		r := message.Response{Status: 101}
		r.Add("Upgrade", string(x.s.Request().Upgrade))
		r.Add("Sec-WebSocket-Accept", "x")
		r.Add("Sec-WebSocket-Protocol", "p")
		x.s.Respond(&r, nil, false, false)
		x.stream, _ = x.s.Upgrade(x)
		x.ClientReady(netloop.Readable)
	case "interim":
		x.s.SendInterim(&message.Response{Status: http.StatusEarlyHints})
		x.respond("done")
	case "trailers":
		r := message.Response{Status: 200, Length: -1}
		x.s.Respond(&r, []byte("body"), false, false)
		x.finish(x.s.Send(nil, true, []message.Field{message.NewField("X-Sum", "1")}))
	case "cut":
		r := message.Response{Status: 200, Length: -1}
		x.s.Respond(&r, []byte("half"), false, false)
		x.s.Abort()
		x.end()
	case "large-head":
		m := message.Response{Status: 200}
		m.Add("X-Large", strings.Repeat("a", x.numbers[0]))
		m.SetLength(0)
		x.finish(x.s.Respond(&m, nil, false, true))
	case "interim-and-more": // an interim response, and the final one without waiting
		x.s.SendInterim(&message.Response{Status: http.StatusEarlyHints})
		x.respond(strings.Repeat("x", x.numbers[0]))
	case "status":
		r := message.Response{Status: x.numbers[0]}
		x.finish(x.s.Respond(&r, nil, false, true))
	case "head":
		var lines strings.Builder
		lines.WriteString(string(r.Method) + " " + string(r.Target) + " " + string(r.Authority) + " " + strconv.FormatInt(r.Length, 10) + "\n")
		for i := range r.Fields {
			if !r.Fields[i].Hop {
				lines.Write(r.Fields[i].Line)
			}
		}
		x.respond(lines.String())
	default:
		x.respond(string(r.Method) + " " + string(r.Target))
	}
}

func (x *testExchange) respond(body string) {
	r := message.Response{Status: 200}
	r.SetLength(int64(len(body)))
	x.finish(x.s.Respond(&r, []byte(body), false, true))
}

// finish ends the exchange after everything was flushed.
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
		if x.what != "drop" {
			x.body = append(x.body, piece...)
		}
		switch {
		case err == nil:
		case err == netloop.ErrWouldBlock, x.what == "both":
			return
		case err == io.EOF && x.what == "drop":
			x.respond("dropped")
			return
		case err == io.EOF:
			for _, f := range x.s.Trailers() {
				x.body = append(x.body, f.Line...)
			}
			x.respond(string(x.body))
			return
		default:
			status := map[error]int{ErrBodyTooLarge: 413, ErrBodyTimeout: 408, ErrTrailerFields: 431}[err]
			r := message.Response{Status: status}
			r.SetLength(int64(len(err.Error())))
			x.finish(x.s.Respond(&r, []byte(err.Error()), false, true))
			return
		}
	}
}

func (x *testExchange) Flushed() {
	if x.what == "cut-connection" {
		x.s.Conn().Cut()
		return
	}
	if x.last {
		x.end()
		return
	}
	x.sendPieces()
}

func (x *testExchange) Disconnected(err error) {
	x.server.lastError.Store(err)
	x.server.disconnects.Add(1)
	x.end()
}

// ClientReady echoes the bytes of an upgraded stream.
func (x *testExchange) ClientReady(ev netloop.Events) {
	if ev&netloop.Failed != 0 {
		x.out.Drop(x.stream.Loop())
		x.server.disconnects.Add(1)
		x.end()
		return
	}
	for {
		if x.out.Pending() {
			x.out.Flush(x.stream)
			if x.out.Pending() {
				return
			}
		}
		n, err := x.stream.Read(x.stream.Loop().Scratch())
		switch {
		case err == netloop.ErrWouldBlock:
			return
		case err != nil:
			x.stream.CloseWrite()
			x.end()
			return
		}
		x.out.Write(x.stream, x.stream.Loop().Scratch()[:n], nil, false)
	}
}

func (x *testExchange) Ending() {
	x.stream.CloseWrite()
	x.end()
}

func (x *testExchange) Expired(*netloop.Timer) { x.respond("later") }

// dial opens a connection.
func (s *testServer) dial(settings ...xhttp2.Setting) *lbtest.HTTP2 {
	s.t.Helper()
	return lbtest.DialHTTP2(s.t, s.address, settings...)
}

// want waits for a response and compares status and body.
func want(t testing.TB, c *lbtest.HTTP2, id uint32, status int, body string) *lbtest.HTTP2Stream {
	t.Helper()
	s := c.Await(id)
	if s.Status != status || s.Body != body || s.Reset != nil && *s.Reset != codeNo {
		t.Fatalf("stream %d: %d %.100q, reset %v, want %d %.100q (%v)", id, s.Status, s.Body, s.Reset, status, body, c.Err)
	}
	return s
}

// wantReset waits for the reset of a stream.
func wantReset(t testing.TB, c *lbtest.HTTP2, id uint32, code xhttp2.ErrCode) {
	t.Helper()
	if s := c.Await(id); s.Reset == nil || *s.Reset != code {
		t.Fatalf("stream %d: %d %.100q, reset %v, want a reset by %v (%v)", id, s.Status, s.Body, s.Reset, code, c.Err)
	}
}

// wantAway waits for the end of the connection.
func wantAway(t testing.TB, c *lbtest.HTTP2, code xhttp2.ErrCode) {
	t.Helper()
	if away := c.End(); away == nil || away.Code != code || c.TimedOut() {
		t.Fatalf("GOAWAY %+v, want %v (%v)", away, code, c.Err)
	}
}
