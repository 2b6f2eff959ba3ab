package transport

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/message"
)

// bodylessBackend answers HEAD as if there were a body and everything else with its target; ends gets how the connections ended.
func bodylessBackend(ends chan<- error) func(*lbtest.Conn) {
	return func(c *lbtest.Conn) {
		for {
			head, err := readHead(c.Conn)
			switch {
			case err != nil:
				ends <- err
				return
			case strings.HasPrefix(head, "HEAD /late "):
				c.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				c.Send("WRONG")
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

func asideClient(t *testing.T, opt Options, ends chan<- error) (*Client, *lbtest.Backend) {
	backend := lbtest.NewBackend(t, bodylessBackend(ends))
	opt.Address = backend.Addr
	c := New(opt)
	t.Cleanup(func() { c.Close() })
	return c, backend
}

// ask makes a whole exchange on a connection of c's choice, which it returns.
func ask(t *testing.T, c *Client, method, target string) *Conn {
	t.Helper()
	conn, err := c.Get(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	r := message.Request{Method: []byte(method), Target: []byte(target), Fields: []message.Field{message.NewField("Host", "a")}}
	if sendErr, err := conn.Ask(&r, nil, nil); sendErr != nil || err != nil {
		t.Fatal(sendErr, err)
	}
	var body []byte
	for err == nil {
		var piece []byte
		piece, err = conn.ReadBody()
		body = append(body, piece...)
	}
	if err != io.EOF || method != "HEAD" && string(body) != target {
		t.Errorf("%s %s: %q, %v", method, target, body, err)
	}
	conn.Done(true)
	return conn
}

// TestSetAside: a connection is not used at once after a response without a body, but is when it has been silent.
func TestSetAside(t *testing.T) {
	pair := selfSigned(t)
	for _, secure := range []bool{false, true} {
		script := bodylessBackend(make(chan error, 9))
		backend, opt := lbtest.NewBackend(t, script), Options{MaxIdle: 4}
		if secure {
			backend = lbtest.NewTLSBackend(t, &tls.Config{Certificates: []tls.Certificate{pair}}, script)
			opt.TLS = &tls.Config{InsecureSkipVerify: true}
		}
		opt.Address = backend.Addr
		c := New(opt)
		first := ask(t, c, "HEAD", "/")
		if _, idle := c.Counts(); idle != 1 {
			t.Errorf("TLS %v: %d connections are kept, want the one that is set aside", secure, idle)
		}
		second := ask(t, c, "GET", "/2")
		if second == first {
			t.Errorf("TLS %v: the connection was used again at once", secure)
		}
		if third := ask(t, c, "GET", "/3"); third != second {
			t.Errorf("TLS %v: a connection was dialled though one was idle", secure)
		}
		c.idle.pop().nc.Close()
		first.silentAt.Store(0)
		if again := ask(t, c, "GET", "/4"); again != first || !again.Reused() {
			t.Errorf("TLS %v: the connection was not used again when it had been silent", secure)
		}
		c.Close()
	}
}

// TestSilence: how long a connection is set aside for.
func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		head    string
		forHead bool
		want    time.Duration
	}{
		{"200 OK\r\nContent-Length: 5", true, asideAnnounced},
		{"200 OK\r\nTransfer-Encoding: chunked", true, asideAnnounced},
		{"200 OK", true, asideAnnounced},
		{"302 Found\r\nContent-Length: 0", true, asideNone},
		{"200 OK\r\nContent-Length: 0", false, 0},
		{"304 Not Modified\r\nContent-Length: 5", false, asideAnnounced},
		{"304 Not Modified\r\nContent-Length: 5", true, asideAnnounced},
		{"304 Not Modified", false, asideNone},
		{"304 Not Modified\r\nContent-Length: 0", false, asideNone},
		{"204 No Content", false, asideNone},
		{"204 No Content", true, asideNone},
	} {
		var c Conn
		if err := c.Head.Parse([]byte("HTTP/1.1 " + tc.head + "\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := c.frame(tc.forHead); err != nil {
			t.Fatal(err)
		}
		if got := c.silence(); got != tc.want {
			t.Errorf("%q, HEAD %v: %v, want %v", tc.head, tc.forHead, got, tc.want)
		}
	}
}

// TestLateBytesEndAConnection: one on which something came while it was set aside is not used.
func TestLateBytesEndAConnection(t *testing.T) {
	c, backend := asideClient(t, Options{MaxIdle: 4}, make(chan error, 9))
	first := ask(t, c, "HEAD", "/late")
	if first.interrupted.Load() || backend.Conns.Load() != 1 {
		t.Fatal("no connection")
	}
	lbtest.Eventually(t, "the late bytes", func() bool { return !first.alive() })
	first.silentAt.Store(0)
	if ask(t, c, "GET", "/1") == first {
		t.Error("the connection was used again")
	}
	if c.EndsKept() {
		t.Error("late bytes count as the end of a kept connection")
	}
}

// TestAsideIsBounded: no more connections are set aside than may be kept; what is over is reset.
func TestAsideIsBounded(t *testing.T) {
	ends := make(chan error, 9)
	c, _ := asideClient(t, Options{MaxIdle: 2}, ends)
	for range 3 {
		ask(t, c, "HEAD", "/")
	}
	if _, idle := c.Counts(); idle != 2 {
		t.Errorf("%d are kept, want 2", idle)
	}
	if err, ok := lbtest.Wait(t, "the end of the third", ends); ok && (err == nil || err == io.EOF) {
		t.Errorf("the third ended with %v, want a reset", err)
	}
	c.Close()
	for range 2 {
		lbtest.Wait(t, "the end of the others", ends)
	}
	if _, idle := c.Counts(); idle != 0 {
		t.Errorf("%d are kept after Close", idle)
	}
}

// TestAsideMakesRoom: connections that are set aside and those in use are never more than the backend takes requests at
// a time.
func TestAsideMakesRoom(t *testing.T) {
	ends := make(chan error, 9)
	c, _ := asideClient(t, Options{MaxIdle: 4, MaxConns: func() int { return 2 }}, ends)
	for range 2 {
		ask(t, c, "HEAD", "/")
	}
	if len(ends) != 0 {
		t.Fatal("a connection ended without need")
	}
	ask(t, c, "GET", "/1")
	lbtest.Wait(t, "the end of one that was set aside", ends)
	if _, idle := c.Counts(); idle != 2 {
		t.Errorf("%d connections, want 2", idle)
	}
}

// TestAsideExpires: what is set aside is not kept for longer than what is idle.
func TestAsideExpires(t *testing.T) {
	ends := make(chan error, 9)
	c, _ := asideClient(t, Options{MaxIdle: 4, IdleTimeout: time.Minute}, ends)
	conn := ask(t, c, "HEAD", "/")
	c.Sweep()
	if _, idle := c.Counts(); idle != 1 {
		t.Errorf("%d connections after a sweep, want 1", idle)
	}
	conn.idleSince.Store(-int64(time.Hour))
	c.Sweep()
	lbtest.Wait(t, "the end", ends)
	if _, idle := c.Counts(); idle != 0 {
		t.Errorf("%d connections after they expired, want none", idle)
	}
}

// TestAsideIsEachOnesOwn: of many at a time none gets a connection that another has, or a response that is another's.
func TestAsideIsEachOnesOwn(t *testing.T) {
	c, _ := asideClient(t, Options{MaxIdle: 8}, make(chan error, 10000))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				conn := ask(t, c, "HEAD", "/")
				conn.silentAt.Add(-int64(asideAnnounced)) // it may have been taken and set aside again by now, which is no worse
				ask(t, c, "GET", "/"+strings.Repeat("x", i))
			}
		})
	}
	all.Wait()
	active, idle := c.Counts()
	if active != 0 || idle > 8 {
		t.Errorf("%d active, %d idle", active, idle)
	}
}
