package front

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A handler that waits for something else than its client is told that the client was cut, so that it need not be waited for.
func TestShutdownTellsHandlersOfTheCut(t *testing.T) {
	for _, body := range []string{"", "Expect: 100-continue\r\nContent-Length: 5\r\n"} {
		entered := make(chan struct{})
		f := start(t, Options{Handler: func(c *Conn) {
			gone := make(chan struct{})
			c.Await(func() { close(gone) })
			close(entered)
			<-gone
			c.EndAwait()
			c.Abort()
		}})
		c := dial(t, f)
		c.send(ok + body + "\r\n")
		<-entered
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := f.Shutdown(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "still run") {
			t.Errorf("%v", err)
		}
	}
}

// What is half there when the shutdown begins has a second to be whole, however much time it has otherwise.
func TestShutdownHurriesHalfAHead(t *testing.T) {
	for name, tc := range map[string]struct {
		listener ListenerOptions
		sent     string
		status   int // 0: no answer
	}{
		"head":         {ListenerOptions{}, "GET / HTTP/1.1\r\nHo", 408},
		"handshake":    {oneListener(t, true)[0], "\x16\x03\x01", 0},
		"PROXY header": {ListenerOptions{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "PROX", 0},
	} {
		tc.listener.Address = "127.0.0.1:0"
		f := start(t, Options{Listeners: []ListenerOptions{tc.listener}, Limits: Limits{HeaderTimeout: time.Hour}})
		c := dial(t, f)
		c.send(tc.sent)
		shutdown(t, f)
		if tc.status == 0 {
			c.closed()
		} else if resp, _ := c.answer("GET"); resp.StatusCode != tc.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}

// A stop waits no longer than until no connection is left and none can come any more, whichever comes last.
func TestSocketIsDrainedAfterTheLastConnection(t *testing.T) {
	first, second := &Conn{}, &Conn{}
	var s *socket
	steps := map[string]func(){
		"close":         func() { s.closeListener() },
		"accept first":  func() { s.add(first) },
		"accept second": func() { s.add(second) },
		"park first":    func() { s.setParked(first, true) },
		"wake first":    func() { s.setParked(first, false) },
		"end first":     func() { s.remove(first) },
		"end second":    func() { s.remove(second) },
	}
	for _, order := range [][]string{
		{"close"},
		{"accept first", "end first", "close"},
		{"accept first", "close", "park first", "wake first", "end first"},
		{"accept first", "accept second", "park first", "end second", "close", "wake first", "end first"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s = newSocket(New(Options{}), ln, "127.0.0.1:0")
		for i, step := range order {
			steps[step]()
			drained := false
			select {
			case <-s.drained:
				drained = true
			default:
			}
			if last := i == len(order)-1; drained != last {
				t.Errorf("%q: after %q drained is %v", order, step, drained)
			}
		}
	}
}
