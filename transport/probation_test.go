package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/netloop"
)

const headRequest = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

// bodylessBackend responds to HEAD as if there were a body and to everything else with its target. ends receives how the
// connections ended.
func bodylessBackend(ends chan<- error) func(*lbtest.Conn) {
	return func(c *lbtest.Conn) {
		for {
			head, err := readHead(c.Conn)
			switch {
			case err != nil:
				ends <- err
				return
			case strings.HasPrefix(head, "HEAD "):
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			default:
				c.Send(lbtest.OK(strings.Fields(head)[1]))
			}
		}
	}
}

// readHead reads one request that has no body. Its error is that of the socket.
func readHead(nc net.Conn) (string, error) {
	var head []byte
	for buf := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, buf[0]) {
		if _, err := nc.Read(buf); err != nil {
			return "", err
		}
	}
	return string(head), nil
}

// loopsOf returns the loops themselves.
func loopsOf(loops []*testLoop) (all []*netloop.Loop) {
	for _, l := range loops {
		all = append(all, l.loop)
	}
	return all
}

// probationClient returns a client of a bodylessBackend.
func probationClient(t *testing.T, loops []*testLoop, opt Options, ends chan<- error) *Client {
	opt.Address = lbtest.NewBackend(t, bodylessBackend(ends)).Addr
	return New(opt, NewWorkers(loopsOf(loops)))
}

// whole makes an exchange, which must succeed, and returns its connection.
func (l *testLoop) whole(s *Client, request string) *Conn {
	l.t.Helper()
	x := l.ask(s, request)
	if target := strings.Fields(request)[1]; x.err != nil || !x.toHead && x.body.String() != target {
		l.t.Fatalf("%q: %q, %v", request, x.body.String(), x.err)
	}
	l.do(func() {}) // the exchange ends on the loop
	return x.conn
}

// expire expires the timer of a connection on probation now.
func (l *testLoop) expire(c *Conn) {
	l.do(func() {
		if c.state == connProbation {
			c.Expired(&c.timer)
		}
	})
}

// wantIdle compares the number of the client's idle connections.
func wantIdle(t *testing.T, s *Client, want int) {
	t.Helper()
	if _, idle := s.Counts(); idle != want {
		t.Errorf("%d connections are idle, want %d", idle, want)
	}
}

// TestReuseAfterProbation: after a response without a body a connection is not reused at once, but is after its probation.
func TestReuseAfterProbation(t *testing.T) {
	pair := lbtest.SelfSigned(t)
	for _, secure := range []bool{false, true} {
		l := startLoop(t)
		script := bodylessBackend(make(chan error, 9))
		backend, opt := lbtest.NewBackend(t, script), Options{MaxIdle: 4, IdleTimeout: time.Hour}
		if secure {
			backend = lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, script)
			opt.TLS = &tls.Config{InsecureSkipVerify: true}
		}
		opt.Address = backend.Addr
		s := New(opt, NewWorkers([]*netloop.Loop{l.loop}))
		first := l.whole(s, headRequest)
		wantIdle(t, s, 1)
		second := l.whole(s, get)
		if second == first {
			t.Errorf("TLS %v: the connection was used again at once", secure)
		}
		if third := l.whole(s, get); third != second {
			t.Errorf("TLS %v: a connection was dialed though one was idle", secure)
		}
		l.expire(first)
		if again := l.whole(s, get); again != first || !again.Reused() {
			t.Errorf("TLS %v: the connection was not used again when it had been silent", secure)
		}
		wantIdle(t, s, 2)
		closeClient(l, s)
	}
}

// TestSilence: how long the probation is after each kind of response.
func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		head   string
		toHead bool
		want   time.Duration
	}{
		{"200 OK\r\nContent-Length: 5", true, silenceLength},
		{"200 OK\r\nTransfer-Encoding: chunked", true, silenceLength},
		{"200 OK", true, silenceLength},
		{"302 Found\r\nContent-Length: 0", true, silenceNoLength},
		{"200 OK\r\nContent-Length: 0", false, 0},
		{"304 Not Modified\r\nContent-Length: 5", false, silenceLength},
		{"304 Not Modified\r\nContent-Length: 5", true, silenceLength},
		{"304 Not Modified", false, silenceNoLength},
		{"304 Not Modified\r\nContent-Length: 0", false, silenceNoLength},
		{"204 No Content", false, silenceNoLength},
		{"204 No Content", true, silenceNoLength},
	} {
		c := Conn{worker: &Worker{}}
		if err := c.head().Parse([]byte("HTTP/1.1 " + tc.head + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := c.frame(tc.toHead); err != nil {
			t.Fatal(err)
		}
		if got := c.silence; got != tc.want {
			t.Errorf("%q, HEAD %v: %v, want %v", tc.head, tc.toHead, got, tc.want)
		}
	}
}

// TestLateBytesCloseAConnection: a connection on which something arrives during its probation is closed.
func TestLateBytesCloseAConnection(t *testing.T) {
	l := startLoop(t)
	late := make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case strings.HasPrefix(head, "HEAD "):
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				<-late
				c.Send("WRONG")
			default:
				c.Send(lbtest.OK("/"))
			}
		}
	})
	s := New(Options{Address: b.Addr, MaxIdle: 4, IdleTimeout: time.Hour}, NewWorkers([]*netloop.Loop{l.loop}))
	first := l.whole(s, headRequest)
	wantIdle(t, s, 1)
	close(late)
	lbtest.Eventually(t, "the connection ends", func() bool { _, idle := s.Counts(); return idle == 0 })
	l.do(func() {
		if first.state != connClosed {
			t.Errorf("its state is %d", first.state)
		}
	})
	if again := l.whole(s, get); again == first {
		t.Error("the connection was used again")
	}
	if s.RecentlyStale() {
		t.Error("RecentlyStale is true after late bytes")
	}
	closeClient(l, s)
}

// TestProbationIsBounded: connections on probation count as idle; those beyond MaxIdle are reset.
func TestProbationIsBounded(t *testing.T) {
	l := startLoop(t)
	ends := make(chan error, 9)
	s := probationClient(t, []*testLoop{l}, Options{MaxIdle: 2, IdleTimeout: time.Hour}, ends)
	for range 3 {
		l.whole(s, headRequest)
	}
	wantIdle(t, s, 2)
	if err, ok := lbtest.Wait(t, "the end of the third", ends); ok && (err == nil || err == io.EOF) {
		t.Errorf("the third ended with %v, want a reset", err)
	}
	closeClient(l, s)
	for range 2 {
		lbtest.Wait(t, "the end of the others", ends)
	}
}

// TestProbationMakesRoom: connections on probation and those in use together never exceed MaxConns.
func TestProbationMakesRoom(t *testing.T) {
	l := startLoop(t)
	ends := make(chan error, 9)
	s := probationClient(t, []*testLoop{l}, Options{MaxIdle: 4, IdleTimeout: time.Hour, MaxConns: func() int { return 2 }}, ends)
	for range 2 {
		l.whole(s, headRequest)
	}
	if len(ends) != 0 {
		t.Fatal("a connection ended without need")
	}
	l.whole(s, get)
	if err, ok := lbtest.Wait(t, "the end of one on probation", ends); ok && (err == nil || err == io.EOF) {
		t.Errorf("it ended with %v, want a reset", err)
	}
	wantIdle(t, s, 2)
	closeClient(l, s)
}

// TestOtherLoopsMakeRoom: a loop that dials has another loop close an idle connection, on probation or not, if MaxConns would be exceeded,
// and only then.
func TestOtherLoopsMakeRoom(t *testing.T) {
	for name, request := range map[string]string{"idle": get, "on probation": headRequest} {
		t.Run(name, func(t *testing.T) {
			loops := startLoops(t, 2)
			one, other := loops[0], loops[1]
			ends := make(chan error, 9)
			s := probationClient(t, loops, Options{MaxIdle: 4, IdleTimeout: time.Hour, MaxConns: func() int { return 3 }}, ends)
			var both [2]*exchange
			one.do(func() { // at once, so that the second does not reuse the first's connection
				for i := range both {
					x := &exchange{loop: one, request: request, toHead: request == headRequest, done: make(chan struct{})}
					x.conn, x.ready = s.Get(one.loop, x, false)
					both[i] = x
				}
			})
			for _, x := range both {
				lbtest.Wait(t, "the response", x.done)
			}
			one.do(func() {})
			wantIdle(t, s, 2)
			other.whole(s, get)
			one.do(func() {})
			wantIdle(t, s, 3)
			if len(ends) != 0 {
				t.Fatal("a connection ended without need")
			}
			held := &exchange{loop: other, request: get, done: make(chan struct{})}
			other.do(func() { held.conn, held.ready = s.Get(other.loop, held, false) })
			one.do(func() {})
			if !held.ready || len(ends) != 0 {
				t.Fatal("the loop's own connection was not used, or another one ended for it")
			}
			other.whole(s, get)
			if err, ok := lbtest.Wait(t, "the end of the other loop's", ends); ok && (err == nil || err == io.EOF) {
				t.Errorf("it ended with %v, want a reset", err)
			}
			if active, idle := s.Counts(); active != 1 || idle != 2 {
				t.Errorf("%d connections are in use and %d idle, want 1 and 2", active, idle)
			}
			other.do(held.send)
			lbtest.Wait(t, "the response", held.done)
			closeLoops(s, loops)
		})
	}
}

// closeLoops is closeClient for a client of several loops.
func closeLoops(s *Client, loops []*testLoop) {
	s.Close()
	for _, l := range loops {
		l.do(func() {})
	}
	if active, idle := s.Counts(); active != 0 || idle != 0 {
		loops[0].t.Errorf("%d connections in use and %d idle are left", active, idle)
	}
}

// TestProbationExpires: a connection on probation is not kept beyond IdleTimeout; without that limit it stays.
func TestProbationExpires(t *testing.T) {
	l := startLoop(t)
	ends := make(chan error, 9)
	s := probationClient(t, []*testLoop{l}, Options{MaxIdle: 4, IdleTimeout: 50 * time.Millisecond}, ends)
	conn := l.whole(s, headRequest)
	lbtest.Wait(t, "the end", ends)
	wantIdle(t, s, 0)
	l.do(func() {
		if conn.state != connClosed {
			t.Errorf("its state is %d", conn.state)
		}
	})
	closeClient(l, s)

	s = probationClient(t, []*testLoop{l}, Options{MaxIdle: 4}, ends)
	conn = l.whole(s, headRequest)
	l.expire(conn)
	l.do(func() {
		conn.Expired(&conn.timer) // as a timer that was set for another purpose may
		if conn.state != connIdle {
			t.Errorf("its state is %d", conn.state)
		}
	})
	if again := l.whole(s, get); again != conn {
		t.Error("a connection without a limit was not reused")
	}
	closeClient(l, s)
}

// TestConnectionsAreNotShared: no exchange gets a connection that another one uses, or the response of another.
func TestConnectionsAreNotShared(t *testing.T) {
	loops := startLoops(t, 2)
	s := probationClient(t, loops, Options{MaxIdle: 8, IdleTimeout: time.Hour}, make(chan error, 10000))
	var all sync.WaitGroup
	for i := range 8 {
		l := loops[i%2]
		all.Go(func() {
			for range 100 {
				x := l.ask(s, headRequest)
				l.expire(x.conn) // another exchange may have it by now, which is harmless
				target := "/" + strings.Repeat("x", i)
				y := l.ask(s, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
				if err := errors.Join(x.err, y.err); err != nil || y.body.String() != target {
					t.Errorf("%s: %q, %v", target, y.body.String(), err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, l := range loops {
		l.do(func() {})
	}
	if active, idle := s.Counts(); active != 0 || idle > 8 {
		t.Errorf("%d active, %d idle", active, idle)
	}
	closeLoops(s, loops)
}
