package http1

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/lbtest"
	"lb/netloop"
)

// patience is the time for events that must happen, however slow the machine is.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer serves connections on loops. Its handler does what the target of a request says.
type testServer struct {
	t           testing.TB
	address     string
	settings    Settings
	workers     []*Worker
	conns       map[*testConn]bool // of all loops
	mu          sync.Mutex         // of conns and refusals
	refusals    []Refusal
	tls         *tls.Config // nil: plain
	ending      atomic.Bool
	open        atomic.Int64 // connections
	streams     atomic.Int64 // exchanges that have begun and not ended
	ended       atomic.Int64 // exchanges that have ended
	disconnects atomic.Int64 // of them: by Disconnected
	panicked    atomic.Int64
	lastError   atomic.Value // error
	lastSent    atomic.Int64 // bytes that the socket took of the response that ended last
	file        *os.File     // of /file
	stable      []byte       // the body of /stable

	waiting *testExchange                  // of /wait, until proceed
	begins  map[string]func(*testExchange) // further kinds of exchanges
}

func startServer(t testing.TB, limits Limits) *testServer {
	t.Helper()
	return startServerOver(t, false, limits)
}

// startServerOver starts a server with TLS or without.
func startServerOver(t testing.TB, secure bool, limits Limits) *testServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{t: t}
	if secure {
		s.tls = &tls.Config{Certificates: []tls.Certificate{lbtest.SelfSigned(t)}}
	}
	s.serve(listener, 2, limits, s)
	return s
}

// serve has the connections of a listener served on so many loops until the test ends.
func (s *testServer) serve(listener net.Listener, count int, limits Limits, handler Handler) {
	t := s.t
	t.Helper()
	s.conns = make(map[*testConn]bool)
	s.settings = Settings{Limits: limits, Handler: handler}
	if s.settings.Limits.HeaderSize == 0 {
		s.settings.Limits.HeaderSize = 16 << 10
	}
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: count, Poison: func(b []byte) {
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
}

type testConn struct {
	netloop.Socket
	Conn
	server *testServer
	worker *Worker
	begun  bool // HTTP has
}

func (c *testConn) Ready(ev netloop.Events) {
	switch {
	case c.begun:
		c.Conn.Ready(ev)
	case ev&netloop.Failed != 0:
		c.Closed()
		c.Socket.Close()
	case ev&netloop.Secured != 0:
		c.begin()
	}
}

func (c *testConn) begin() {
	c.begun = true
	c.Conn.Init(c.worker, &c.Socket, &c.server.settings, c, Info{Peer: c.Socket.Peer()}, nil)
	c.Conn.Run()
}

func (c *testConn) Retiring() bool { return c.server.ending.Load() }
func (c *testConn) Ending() bool   { return c.server.ending.Load() }
func (c *testConn) Linger() bool   { return !c.server.ending.Load() }

func (c *testConn) Closed() {
	c.server.mu.Lock()
	delete(c.server.conns, c)
	c.server.mu.Unlock()
	c.server.open.Add(-1)
}

func (s *testServer) accept(in *netloop.Incoming) {
	c := &testConn{server: s, worker: s.workers[in.Loop().Index()]}
	if in.Open(&c.Socket, c) == nil {
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.open.Add(1)
		if s.tls != nil {
			c.ServerTLS(s.tls, patience)
		} else {
			c.begin()
		}
	}
}

// onLoops runs f on each loop, one after the other, and waits for it.
func (s *testServer) onLoops(f func(*Worker)) {
	for _, w := range s.workers {
		done := make(chan struct{})
		w.Loop.Post(netloop.TaskFunc(func() {
			f(w)
			close(done)
		}))
		<-done
	}
}

func (s *testServer) Refused(_ *Conn, r *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, *r)
}

// takeRefusals returns the refusals so far.
func (s *testServer) takeRefusals() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refusals)
}

func (s *testServer) Panicked(any) { s.panicked.Add(1) }

// held returns how many bytes that were read and not used the connections hold.
func (s *testServer) held() (n int) {
	s.onLoops(func(w *Worker) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			if c.worker == w {
				n += len(c.Conn.held)
			}
		}
	})
	return n
}

// proceed runs f with the waiting exchange, on its loop.
func (s *testServer) proceed(f func(*testExchange)) {
	s.t.Helper()
	lbtest.Eventually(s.t, "an exchange waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.waiting != nil
	})
	s.mu.Lock()
	x := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	x.s.Conn().Worker().Loop.Post(netloop.TaskFunc(func() { f(x) }))
}

// dial opens a connection that sends text.
func (s *testServer) dial(text string) *lbtest.Conn {
	var c *lbtest.Conn
	if s.tls != nil {
		c = lbtest.DialTLS(s.t, s.address, &tls.Config{InsecureSkipVerify: true})
	} else {
		c = lbtest.Dial(s.t, s.address)
	}
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

// get begins a request.
const get = "GET / HTTP/1.1\r\nHost: a\r\n"

func request(target string, lines ...string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, strings.Join(lines, ""))
}
