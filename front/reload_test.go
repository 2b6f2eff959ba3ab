package front

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func shutdown(t testing.TB, f *Front) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// freePort returns an address that nobody listens on.
func freePort(t testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestApplyMovesListeners(t *testing.T) {
	stays, goes, comes := freePort(t), freePort(t), freePort(t)
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: stays}, {Address: goes}}}
	f := start(t, o)
	socketBefore := f.sockets[stays].ln
	connect := func(address string) *client {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, nc)
	}
	kept, leaving, idle := connect(stays), connect(goes), connect(goes)
	for _, c := range []*client{kept, leaving, idle} {
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	o.Listeners = []ListenerOptions{{Address: stays}, {Address: comes}}
	leaving.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n") // is in a request
	if err := f.Apply(o); err != nil {
		t.Fatal(err)
	}
	if f.sockets[stays].ln != socketBefore {
		t.Error("the socket that stays was opened anew")
	}
	c := connect(comes)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	kept.send(ok + "\r\n")
	if resp, _ := kept.answer("GET"); resp.Close {
		t.Error("a connection of a listener that did not change was told to close")
	}
	if got := idle.closed(); got != "" {
		t.Errorf("idle connection of a listener that left: %q", got)
	}
	leaving.send("x")
	leaving.answer("POST")
	leaving.closed()
	eventually(t, func() bool {
		nc, err := net.Dial("tcp", goes)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	// What cannot be bound changes nothing.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := f.Apply(Options{Handler: echo, Listeners: []ListenerOptions{{Address: goes}, {Address: taken.Addr().String()}}}); err == nil {
		t.Error("a taken port was bound")
	}
	kept.send(ok + "\r\n")
	if resp, _ := kept.answer("GET"); resp.Close {
		t.Error("a reload that failed ended a connection")
	}
	if nc, err := net.Dial("tcp", goes); err == nil {
		nc.Close()
		t.Error("a reload that failed opened a listener")
	}
}

func TestApplyNewLimits(t *testing.T) {
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}}}
	f := start(t, o)
	c := dial(t, f)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	o.Limits = Limits{HeaderSize: 512}
	if err := f.Apply(o); err != nil {
		t.Fatal(err)
	}
	c.send(ok + "\r\n")
	if resp, _ := c.answer("GET"); !resp.Close {
		t.Error("a connection under the old limits goes on for ever")
	}
	c.closed()
	c = dial(t, f)
	c.send("GET /" + strings.Repeat("a", 600) + " HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := c.answer("GET"); resp.StatusCode != 431 {
		t.Errorf("%d under the new limits", resp.StatusCode)
	}
}

// No request is lost while the front is reloaded over and over.
func TestReloadLosesNothing(t *testing.T) {
	address := freePort(t)
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: address}}}
	f := start(t, o)
	var done atomic.Bool
	var requests atomic.Int32
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			hc := &http.Client{Transport: transport, Timeout: patience}
			for !done.Load() {
				// POST is not tried again by the client on its own.
				resp, err := hc.Post("http://"+address+"/", "text/plain", nil)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				requests.Add(1)
			}
		})
	}
	for i := range 20 {
		o.Limits.HeaderSize = 1024 + i%2
		if err := f.Apply(o); err != nil {
			t.Error(err)
		}
		at := requests.Load()
		eventually(t, func() bool { return requests.Load() > at+5 || t.Failed() })
	}
	done.Store(true)
	clients.Wait()
}

func TestShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	f := start(t, Options{Handler: func(c *Conn) {
		if string(c.Request().Target) == "/slow" {
			close(entered)
			<-release
		}
		echo(c)
	}})
	silent, idle, slow := dial(t, f), dial(t, f), dial(t, f)
	idle.send(ok + "\r\n")
	idle.expect("GET / ")
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- f.Shutdown(ctx)
	}()
	if silent.closed() != "" || idle.closed() != "" {
		t.Error("a connection without a request was responded")
	}
	if !f.Draining() {
		t.Error("not draining")
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait for a request: %v", err)
	default:
	}
	close(release)
	if resp, body := slow.answer("GET"); body != "GET /slow " || !resp.Close {
		t.Errorf("%q, closing %v", body, resp.Close)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", f.Listeners()[0].Addr().String()); err == nil {
		t.Error("still listening")
	}
}

// A request that is on its way to an idle connection when the shutdown begins is served.
func TestShutdownServesWhatIsOnItsWay(t *testing.T) {
	for range 20 {
		f := start(t, Options{})
		c := dial(t, f)
		c.send(ok + "\r\n")
		c.expect("GET / ")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			shutdown(t, f)
		}()
		eventually(t, f.Draining)
		c.send(ok + "\r\n")
		if resp, _ := c.answer("GET"); !resp.Close {
			t.Error("the last answer does not say so")
		}
		c.closed()
		<-ended
	}
}

func TestShutdownCutsWhatIsLeft(t *testing.T) {
	for _, upgraded := range []bool{false, true} {
		entered := make(chan struct{})
		f := start(t, Options{Handler: func(c *Conn) {
			close(entered)
			if upgraded {
				reply(c, []byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), nil)
				io.Copy(io.Discard, c.Upgrade(nil))
				return
			}
			io.Copy(io.Discard, c.Body())
			echo(c)
		}})
		c := dial(t, f)
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		<-entered
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		cancel()
		if n := f.open.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
		c.closed()
	}
}

// A descriptor handed on keeps the queue: the next process serves what the first did not accept.
func TestFilesHandOver(t *testing.T) {
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}}}
	first := New(o)
	if err := first.Listen(); err != nil {
		t.Fatal(err)
	}
	files, err := first.Files()
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, first)
	c.send(ok + "\r\n")
	ln, err := net.FileListener(files["127.0.0.1:0"])
	files["127.0.0.1:0"].Close()
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, first)
	o.Inherited = map[string]net.Listener{"127.0.0.1:0": ln}
	start(t, o)
	c.expect("GET / ")
}
