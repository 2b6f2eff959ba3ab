package health

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lb/pool"
)

// serve runs the script for each connection on a free port, and returns its address. The script
// gets the request's head; the connection is closed when it returns.
func serve(t *testing.T, network, address string, script func(conn net.Conn, head *http.Request)) string {
	t.Helper()
	return serveConns(t, network, address, func(conn net.Conn) {
		defer conn.Close()
		if head, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			script(conn, head)
		}
	})
}

// serveConns has each connection served, one after the other, by a function that closes it. It returns the address.
func serveConns(t *testing.T, network, address string, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			serve(conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

// says is a script that writes the parts one after another, with a pause so that they arrive apart.
func says(parts ...string) func(net.Conn, *http.Request) {
	return func(conn net.Conn, _ *http.Request) {
		for i, part := range parts {
			if i > 0 {
				time.Sleep(2 * time.Millisecond)
			}
			if _, err := conn.Write([]byte(part)); err != nil {
				return
			}
		}
	}
}

// untilClosed holds the connection open until the other side closes it.
func untilClosed(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
}

// firstFlip probes the address and returns the result of the first probe.
func firstFlip(t *testing.T, config Config, address string, dial func(context.Context, *pool.Backend) (net.Conn, error)) (flip, *pool.Backend) {
	t.Helper()
	r := &recorder{reported: make(chan flip, 1)}
	if config.Interval == 0 {
		config.Interval = time.Hour
	}
	if config.Timeout == 0 {
		config.Timeout = 5 * time.Second
	}
	checker := New(Options{Config: config, Pool: r, Dial: dial, Version: "1.2.3"})
	b := backend(address)
	checker.Join(b)
	checker.Start(t.Context())
	f := r.await(t)
	checker.Stop()
	return f, b
}

const pass = "first check passed"

func TestHTTPProbe(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	long := strings.Repeat("x", 40_000)
	cases := []struct {
		name   string
		config Config
		script func(net.Conn, *http.Request)
		reason string
		status int
	}{
		{"200", Config{}, says(ok + "Content-Length: 2\r\n\r\nok"), pass, 200},
		{"no length", Config{}, says(ok + "\r\nok"), pass, 200},
		{"HTTP/1.0", Config{}, says("HTTP/1.0 200 OK\r\n\r\n"), pass, 200},
		{"204", Config{}, says("HTTP/1.1 204 No Content\r\n\r\n"), pass, 204},
		{"head in pieces", Config{}, says("HTT", "P/1.1 200", " OK\r", "\n\r\n"), pass, 200},
		{"interim responses", Config{}, says("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"), pass, 200},
		{"500", Config{}, says("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "status 500, want 200-399", 500},
		{"a redirect is not followed", Config{}, says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), pass, 302},
		{"a redirect that does not pass", Config{Status: []StatusRange{{200, 200}, {204, 206}}}, says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "status 302, want 200,204-206", 302},
		{"upgrade", Config{Status: []StatusRange{{101, 101}}}, says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), pass, 101},
		{"closed at once", Config{}, says(), "connection closed before the response", 0},
		{"closed within the head", Config{}, says("HTTP/1.1 200 OK\r\nA:"), "connection closed before the response", 0},
		{"no HTTP", Config{}, says("SSH-2.0-x\r\n\r\n"), `invalid HTTP response: malformed HTTP response "SSH-2.0-x"`, 0},
		{"endless head", Config{}, says(ok, "A: "+long+"\r\n", "B: "+long+"\r\n", "C: "+long+"\r\n\r\n"), "the response head is larger than 64 KiB", 0},
		{"endless interim responses", Config{}, says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)), "too many interim responses", 0},

		{"body", Config{Body: "ok"}, says(ok + "Content-Length: 2\r\n\r\nok"), pass, 200},
		{"body across packets", Config{Body: "all fine"}, says(ok+"\r\n<p>all", " fi", "ne</p>"), pass, 200},
		{"body across chunks", Config{Body: "all fine"}, says(ok+"Transfer-Encoding: chunked\r\n\r\n4\r\n>all\r\n", "1\r\n \r\n", "6\r\nfine</\r\n", "0\r\n\r\n"), pass, 200},
		{"body lacks it", Config{Body: "ok"}, says(ok + "Content-Length: 4\r\n\r\noops"), `body lacks "ok"`, 200},
		{"empty body", Config{Body: "ok"}, says(ok + "Content-Length: 0\r\n\r\n"), `body lacks "ok"`, 200},
		{"body cut off", Config{Body: "ok"}, says(ok + "Content-Length: 4\r\n\r\noo"), `body lacks "ok": connection closed before its end`, 200},
		{"deep in the body", Config{Body: "needle"}, says(ok+"\r\n", long, strings.Repeat("y", 25_530), "needle"), pass, 200},
		{"one byte too deep", Config{Body: "needle"}, says(ok+"\r\n", long, strings.Repeat("y", 25_531), "needle"), `body lacks "needle"`, 200},
		{"a long text", Config{Body: long}, says(ok+"\r\nx"+long[:20_000], long[20_000:]), pass, 200},
		{"found at the border of the window", Config{Body: "needle"}, says(ok+"\r\n"+strings.Repeat("z", 4093), "needle"), pass, 200},
		{"status before body", Config{Body: "ok"}, says("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nok"), "status 404, want 200-399", 404},
		{"found: the rest is not waited for", Config{Body: "ok"}, func(conn net.Conn, _ *http.Request) {
			says(ok+"Content-Length: 1000\r\n\r\nok")(conn, nil)
			untilClosed(conn)
		}, pass, 200},
		{"HEAD has no body", Config{Method: "HEAD"}, func(conn net.Conn, head *http.Request) {
			says(ok+"Content-Length: 1000\r\n\r\n")(conn, head)
			untilClosed(conn)
		}, pass, 200},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, b := firstFlip(t, c.config, serve(t, "tcp", "127.0.0.1:0", c.script), dialTCP)
			if f.reason != c.reason || f.up != (c.reason == pass) {
				t.Errorf("up %v because %q, want %q", f.up, f.reason, c.reason)
			}
			last := b.Status().LastCheck
			if last == nil || last.Status != c.status || last.OK != f.up {
				t.Errorf("last check %+v, want status %d and ok %v", last, c.status, f.up)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	heads := make(chan *http.Request, 1)
	script := func(conn net.Conn, head *http.Request) {
		heads <- head
		says("HTTP/1.1 200 OK\r\n\r\n")(conn, head)
	}
	address := serve(t, "tcp", "127.0.0.1:0", script)
	socket := serve(t, "unix", filepath.Join(t.TempDir(), "app.sock"), script)
	dialUnix := func(ctx context.Context, b *pool.Backend) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", strings.TrimPrefix(b.Address(), "unix:"))
	}
	cases := []struct {
		config           Config
		address          string
		dial             func(context.Context, *pool.Backend) (net.Conn, error)
		line, host, path string
	}{
		{Config{}, address, dialTCP, "GET", address, "/"},
		{Config{Method: "OPTIONS", Path: "/health?full=1", Host: "app.test"}, address, dialTCP, "OPTIONS", "app.test", "/health?full=1"},
		{Config{}, "unix:" + socket, dialUnix, "GET", "localhost", "/"},
	}
	for _, c := range cases {
		f, _ := firstFlip(t, c.config, c.address, c.dial)
		if !f.up {
			t.Errorf("%+v: down: %s", c.config, f.reason)
			continue
		}
		head := <-heads
		if head.Method != c.line || head.Host != c.host || head.RequestURI != c.path || head.Proto != "HTTP/1.1" {
			t.Errorf("got %s %s %s, Host %s", head.Method, head.RequestURI, head.Proto, head.Host)
		}
		if agent := head.Header.Get("User-Agent"); agent != "lb-health/1.2.3" {
			t.Errorf("User-Agent %q", agent)
		}
		if !head.Close {
			t.Error("the probe did not ask to close the connection")
		}
	}
}

func TestConnectFailures(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	dialSocket := func(ctx context.Context, _ *pool.Backend) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(t.TempDir(), "none.sock"))
	}
	fails := func(err error) func(context.Context, *pool.Backend) (net.Conn, error) {
		return func(context.Context, *pool.Backend) (net.Conn, error) { return nil, err }
	}
	cases := []struct {
		name   string
		dial   func(context.Context, *pool.Backend) (net.Conn, error)
		reason string
	}{
		{"refused", dialTCP, "connection refused"},
		{"no socket", dialSocket, "no such socket"},
		{"no such name", fails(&net.OpError{Op: "dial", Err: &net.DNSError{Name: "app", Err: "no such host", IsNotFound: true}}), "cannot resolve app: no such host"},
		{"no resolver", fails(&net.DNSError{Name: "app", Err: "i/o timeout", IsTimeout: true}), "cannot resolve app: no response from the resolver"},
		{"resolver fails", fails(&net.DNSError{Name: "app", Err: "server misbehaving"}), "cannot resolve app: server misbehaving"},
		{"the dialer's own timeout", fails(&net.OpError{Op: "dial", Err: context.DeadlineExceeded}), "connecting took too long"},
		{"other", fails(errors.New("tls: bad certificate")), "tls: bad certificate"},
	}
	for _, kind := range []string{HTTP, TCP} {
		for _, c := range cases {
			t.Run(kind+" "+c.name, func(t *testing.T) {
				f, _ := firstFlip(t, Config{Type: kind}, free.Addr().String(), c.dial)
				if f.up || f.reason != c.reason {
					t.Errorf("up %v because %q, want down because %q", f.up, f.reason, c.reason)
				}
			})
		}
	}
}

// TestTimeoutCoversTheWholeProbe: each step in turn never ends, and the reason names the timeout.
func TestTimeoutCoversTheWholeProbe(t *testing.T) {
	hang := func(ctx context.Context, _ *pool.Backend) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	stuck := func(parts ...string) func(net.Conn, *http.Request) {
		return func(conn net.Conn, head *http.Request) {
			says(parts...)(conn, head)
			untilClosed(conn)
		}
	}
	unread := func(context.Context, *pool.Backend) (net.Conn, error) {
		client, server := net.Pipe() // writes block, since nothing reads
		t.Cleanup(func() { _ = server.Close() })
		return client, nil
	}
	cases := []struct {
		name   string
		script func(net.Conn, *http.Request)
		dial   func(context.Context, *pool.Backend) (net.Conn, error)
		reason string
	}{
		{"connect", stuck(), hang, "no response within 50ms"},
		{"request", stuck(), unread, "no response within 50ms"},
		{"head", stuck(), dialTCP, "no response within 50ms"},
		{"half a head", stuck("HTTP/1.1 200 OK\r\nA:"), dialTCP, "no response within 50ms"},
		{"body", stuck("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "nearly o"), dialTCP, `body lacks "ok" within 50ms`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Timeout: 50 * time.Millisecond, Body: "ok"}
			f, _ := firstFlip(t, config, serve(t, "tcp", "127.0.0.1:0", c.script), c.dial)
			if f.up || f.reason != c.reason {
				t.Errorf("up %v because %q, want down because %q", f.up, f.reason, c.reason)
			}
		})
	}
}

// TestBackendIsNotCutOff: a server that is still writing when the verdict is clear can finish; otherwise it would log
// a broken pipe at each probe.
func TestBackendIsNotCutOff(t *testing.T) {
	wrote := make(chan error, 1)
	script := func(conn net.Conn, head *http.Request) {
		says("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")(conn, head)
		var err error
		for range 60 {
			time.Sleep(time.Millisecond / 2)
			if _, err = conn.Write(make([]byte, 1000)); err != nil {
				break
			}
		}
		wrote <- err
	}
	r := &recorder{reported: make(chan flip, 1)}
	checker := New(Options{Config: Config{Interval: time.Hour, Timeout: 5 * time.Second}, Pool: r, Dial: dialTCP})
	checker.Join(backend(serve(t, "tcp", "127.0.0.1:0", script)))
	checker.Start(t.Context())
	if f := r.await(t); !f.up {
		t.Errorf("down: %s", f.reason)
	}
	if err := <-wrote; err != nil {
		t.Errorf("the server's write failed: %v", err)
	}
	checker.Stop()
}

// TestWithPool takes a backend of a real pool down and up again.
func TestWithPool(t *testing.T) {
	statuses := make(chan string, 1)
	statuses <- "200 OK"
	script := func(conn net.Conn, head *http.Request) {
		status := <-statuses
		says("HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")(conn, head)
		statuses <- status
	}
	address := serve(t, "tcp", "127.0.0.1:0", script)
	p := pool.New(pool.Options{Name: "app", Members: []pool.Member{{Address: address}}, HealthChecks: true})
	b := p.Backend(address)
	config := Config{Interval: 5 * time.Millisecond, FastInterval: time.Millisecond, Timeout: 5 * time.Second}
	checker := New(Options{Config: config, Pool: p, Dial: dialTCP})
	checker.Join(b)
	if b.ActiveState() != pool.ActiveUnknown {
		t.Errorf("active %v before the first probe", b.ActiveState())
	}
	checker.Start(t.Context())
	awaitActive(t, b, pool.ActiveUp)
	<-statuses
	statuses <- "503 Busy"
	awaitActive(t, b, pool.ActiveDown)
	if change := b.Status().LastChange; change == nil || change.Reason != "status 503, want 200-399" {
		t.Errorf("last change %+v", change)
	}
	if n := b.Metrics.ChecksFailed.Get(); n < 3 {
		t.Errorf("down after %d failures, want 3 or more", n)
	}
	<-statuses
	statuses <- "200 OK"
	awaitActive(t, b, pool.ActiveUp)
	if n := b.Metrics.ChecksPassed.Get(); n < 3 {
		t.Errorf("up again after %d passes in all, want 3 or more", n)
	}
	checker.Stop()
}

func awaitActive(t *testing.T, b *pool.Backend, want pool.Active) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); b.ActiveState() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("active %v, want %v", b.ActiveState(), want)
		}
	}
}
