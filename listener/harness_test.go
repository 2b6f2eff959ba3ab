package listener

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/http1"
	"lb/message"
	"lb/netloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second // long enough for a slow machine

const ok = "GET / HTTP/1.1\r\nHost: a\r\n"

// start serves until the test ends. Options without listeners get one on a free port.
func start(t testing.TB, o Options) *Set {
	t.Helper()
	s := prepare(t, o)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s
}

// prepare makes a set on loops that run until the test ends.
func prepare(t testing.TB, o Options) *Set {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = []ListenerOptions{{Address: "127.0.0.1:0"}}
	}
	if o.Handler == nil {
		o.Handler = echo
	}
	if o.Loops == nil {
		o.Loops, _ = startLoops(t)
	}
	return New(o)
}

// startLoops starts loops that end with the test or earlier, and then checks that they have no connection left.
func startLoops(t testing.TB) (_ *netloop.Loops, stop context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 2, Poison: func(b []byte) {
		for n := copy(b, "!"); n < len(b); n *= 2 { // a loop over bytes takes too long with -race
			copy(b[n:], b[:n])
		}
	}})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		loops.Wait()
		for _, l := range loops.All() {
			if n := l.Counters(); n.Clients != 0 || n.Lent != 0 || n.Opened != n.Closed {
				t.Errorf("loop %d at its end: %+v", l.Index(), n)
			}
		}
	})
	return loops, cancel
}

// serve lets a set serve until the test ends, and then checks that all counters are zero.
func serve(t testing.TB, s *Set) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.serving
	})
	t.Cleanup(func() {
		if !s.Draining() {
			shutdown(t, s)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if s.open.Load() != 0 || s.refusing.Load() != 0 || len(s.addresses.addresses) != 0 {
			t.Errorf("%d connections are counted, %d that are turned away, %d addresses", s.open.Load(), s.refusing.Load(), len(s.addresses.addresses))
		}
		for _, w := range s.workers {
			onLoop(w, func() {
				if len(w.conns) != 0 || w.lingerers.Len() != 0 {
					t.Errorf("%d connections are known, %d linger", len(w.conns), w.lingerers.Len())
				}
			})
		}
	})
}

func shutdown(t testing.TB, s *Set) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// onLoop runs f on a loop and waits for it. If the loop has stopped, f runs here.
func onLoop(w *worker, f func()) {
	done := make(chan struct{})
	run := netloop.TaskFunc(func() {
		defer close(done)
		f()
	})
	if !w.Loop.Post(run) {
		run()
	}
	<-done
}

func eventually(t testing.TB, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not so")
		}
	}
}

// exchange reads the body of a request and responds with the result of text.
type exchange struct {
	s    *http1.Stream
	body []byte
	text func(x *exchange) string
}

// respondWith returns a handler that responds with a text.
func respondWith(text func(x *exchange) string) func(*http1.Stream) {
	return func(s *http1.Stream) {
		x := &exchange{s: s, text: text}
		s.Exchange = x
		x.BodyReady()
	}
}

// echo responds with the method, target and body of the request.
var echo = respondWith(func(x *exchange) string {
	r := x.s.Request()
	return fmt.Sprintf("%s %s %s", r.Method, r.Target, x.body)
})

// peerOf responds with the client's address.
var peerOf = respondWith(func(x *exchange) string {
	x.s.Close()
	return x.s.Conn().Info.Peer.String()
})

func (x *exchange) BodyReady() {
	for {
		piece, err := x.s.Read()
		x.body = append(x.body, piece...)
		switch err {
		case nil:
		case netloop.ErrWouldBlock:
			return
		case io.EOF:
			x.respond()
			return
		default:
			x.s.Abort()
			x.s.End()
			return
		}
	}
}

func (x *exchange) respond() {
	text := x.text(x)
	r := message.Response{Status: 200}
	r.SetLength(int64(len(text)))
	if x.s.Respond(&r, []byte(text), false, true) {
		x.s.End()
	}
}

func (x *exchange) Moved() {}

func (x *exchange) Flushed()           { x.s.End() }
func (x *exchange) Disconnected(error) { x.s.End() }

// waiting holds the exchanges of requests for "/slow" until they are released; others are echoed.
type waiting struct {
	mu           sync.Mutex
	held         map[*held]bool
	disconnected int
}

type held struct {
	exchange
	w *waiting
}

func (w *waiting) serve(s *http1.Stream) {
	if !strings.HasPrefix(string(s.Request().Target), "/slow") {
		echo(s)
		return
	}
	h := &held{exchange{s: s, text: func(*exchange) string { return "slow" }}, w}
	s.Exchange = h
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = map[*held]bool{}
	}
	w.held[h] = true
}

func (w *waiting) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held)
}

func (w *waiting) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for h := range w.held {
		h.s.Conn().Worker().Loop.Post(netloop.TaskFunc(h.respond))
	}
	w.held = nil
}

func (h *held) BodyReady() {}

func (h *held) Disconnected(err error) {
	h.w.mu.Lock()
	delete(h.w.held, h)
	h.w.disconnected++
	h.w.mu.Unlock()
	h.exchange.Disconnected(err)
}

// client sends and receives raw bytes.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, s *Set) *client {
	t.Helper()
	addr := s.Listeners()[0].Addr()
	nc, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

// dialFrom connects from 127.0.0.last.
func dialFrom(t testing.TB, s *Set, last byte) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	nc, err := d.Dial("tcp", s.Listeners()[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { nc.Close() })
	return &client{nc, t, bufio.NewReader(nc)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one complete response.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

// expect reads one response of 200 with that body.
func (c *client) expect(body string) {
	c.t.Helper()
	if resp, got := c.response("GET"); resp.StatusCode != 200 || got != body {
		c.t.Fatalf("%d %q, want 200 %q", resp.StatusCode, got, body)
	}
}

// statusOf sends a request and returns the status of its response; 0 if there is none.
func statusOf(c *client, request string) int {
	c.t.Helper()
	c.send(request)
	if _, err := c.r.Peek(1); err != nil {
		return 0
	}
	resp, _ := c.response("GET")
	return resp.StatusCode
}

// closed waits until the server has closed the connection, and returns what was received before that.
func (c *client) closed() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatal(err)
	}
	return string(b)
}

func grep(text, word string) string {
	found := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found += line
		}
	}
	return found
}
