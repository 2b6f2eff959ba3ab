package listener

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/http1"
)

// freePort returns an address on which nothing listens.
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
	s := start(t, o)
	before := s.sockets[stays]
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
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	if s.sockets[stays] != before {
		t.Error("the socket that stays was opened again")
	}
	c := connect(comes)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	kept.send(ok + "\r\n")
	if resp, _ := kept.response("GET"); resp.Close {
		t.Error("a connection of an unchanged listener was closed")
	}
	if got := idle.closed(); got != "" {
		t.Errorf("idle connection of a listener that left: %q", got)
	}
	leaving.send("x")
	leaving.response("POST")
	leaving.closed()
	eventually(t, func() bool {
		nc, err := net.Dial("tcp", goes)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	// A listener that cannot be bound changes nothing.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := s.Apply(Options{Handler: echo, Listeners: []ListenerOptions{{Address: goes}, {Address: taken.Addr().String()}}}); err == nil {
		t.Error("a taken port was bound")
	}
	kept.send(ok + "\r\n")
	if resp, _ := kept.response("GET"); resp.Close {
		t.Error("a reload that failed ended a connection")
	}
	if nc, err := net.Dial("tcp", goes); err == nil {
		nc.Close()
		t.Error("a reload that failed opened a listener")
	}
}

func TestApplyNewLimits(t *testing.T) {
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}}}
	s := start(t, o)
	c, refusedOne := dial(t, s), dial(t, s)
	for _, c := range []*client{c, refusedOne} {
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	o.Limits = Limits{Limits: http1.Limits{HeaderSize: 512}}
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	c.send(ok + "\r\n")
	if resp, _ := c.response("GET"); !resp.Close {
		t.Error("a connection under the old limits goes on for ever")
	}
	c.closed()
	// A client that is still sending gets its refusal too.
	refusedOne.send("BAD\r\n\r\n" + strings.Repeat("x", 100_000))
	if resp, _ := refusedOne.response("GET"); resp.StatusCode != 400 {
		t.Errorf("%d", resp.StatusCode)
	}
	c = dial(t, s)
	c.send("GET /" + strings.Repeat("a", 600) + " HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := c.response("GET"); resp.StatusCode != 431 {
		t.Errorf("%d under the new limits", resp.StatusCode)
	}
}

// TestReloadLosesNothing: no request is lost while listeners are reloaded over and over.
func TestReloadLosesNothing(t *testing.T) {
	address := freePort(t)
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: address}}}
	s := start(t, o)
	var done atomic.Bool
	var requests atomic.Int32
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer transport.CloseIdleConnections()
			hc := &http.Client{Transport: transport, Timeout: patience}
			for !done.Load() {
				// The client does not retry a POST by itself.
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
		if err := s.Apply(o); err != nil {
			t.Error(err)
		}
		at := requests.Load()
		eventually(t, func() bool { return requests.Load() > at+5 || t.Failed() })
	}
	done.Store(true)
	clients.Wait()
}

// TestFilesHandOver: a descriptor passed on keeps its accept queue, so that the next process serves what the first did not accept.
func TestFilesHandOver(t *testing.T) {
	for _, serving := range []bool{false, true} {
		o := Options{Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}}}
		first := prepare(t, o)
		if err := first.Listen(); err != nil {
			t.Fatal(err)
		}
		if serving {
			serve(t, first)
		}
		files, err := first.Files()
		if err != nil {
			t.Fatal(err)
		}
		var c *client
		if !serving {
			c = dial(t, first)
		}
		ln, err := net.FileListener(files["127.0.0.1:0"])
		files["127.0.0.1:0"].Close()
		if err != nil {
			t.Fatal(err)
		}
		shutdown(t, first)
		if serving {
			c = dial(t, first)
		}
		c.send(ok + "\r\n")
		o.Inherited = map[string]net.Listener{"127.0.0.1:0": ln}
		start(t, o)
		c.expect("GET / ")
	}
}
