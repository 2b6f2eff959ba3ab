package listener

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lb/http1"
	"lb/message"
	"lb/netloop"
)

func TestShutdown(t *testing.T) {
	var w waiting
	s := start(t, Options{Handler: w.serve})
	silent, idle, slow := dial(t, s), dial(t, s), dial(t, s)
	idle.send(ok + "\r\n")
	idle.expect("GET / ")
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, func() bool { return w.count() == 1 })
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	if silent.closed() != "" || idle.closed() != "" {
		t.Error("a connection without a request got a response")
	}
	if !s.Draining() {
		t.Error("not draining")
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait for a request: %v", err)
	default:
	}
	w.release()
	if resp, body := slow.response("GET"); body != "slow" || !resp.Close {
		t.Errorf("%q, closing %v", body, resp.Close)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Listeners()[0].Addr().String()); err == nil {
		t.Error("still listening")
	}
}

// TestShutdownServesWhatIsOnItsWay: a request that is in transit on an idle connection when the shutdown begins is served.
func TestShutdownServesWhatIsOnItsWay(t *testing.T) {
	for range 20 {
		s := start(t, Options{})
		c := dial(t, s)
		c.send(ok + "\r\n")
		c.expect("GET / ")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			shutdown(t, s)
		}()
		eventually(t, s.Draining)
		c.send(ok + "\r\n")
		if resp, _ := c.response("GET"); !resp.Close {
			t.Error("the last response does not say so")
		}
		c.closed()
		<-ended
	}
}

// TestShutdownLimitsIncompleteHeads: a head, handshake or PROXY header that is incomplete when the shutdown begins has a second to be
// completed, even if the usual timeout is longer.
func TestShutdownLimitsIncompleteHeads(t *testing.T) {
	for name, tc := range map[string]struct {
		listener ListenerOptions
		sent     string
		status   int // 0: no response
	}{
		"head":         {ListenerOptions{}, "GET / HTTP/1.1\r\nHo", 408},
		"handshake":    {oneListener(t, true)[0], "\x16\x03\x01", 0},
		"PROXY header": {ListenerOptions{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "PROX", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.listener.Address = "127.0.0.1:0"
			s := start(t, Options{Listeners: []ListenerOptions{tc.listener}, Limits: Limits{Limits: http1.Limits{HeaderTimeout: time.Hour}}})
			c := dial(t, s)
			c.send(tc.sent)
			shutdown(t, s)
			if tc.status == 0 {
				c.closed()
			} else if resp, _ := c.response("GET"); resp.StatusCode != tc.status {
				t.Errorf("%d", resp.StatusCode)
			}
		})
	}
}

// TestShutdownOfSilentConnections: connections that have sent nothing close soon, in any phase, and lingering ones at once.
func TestShutdownOfSilentConnections(t *testing.T) {
	plain, secure, proxied := ListenerOptions{Address: freePort(t)}, oneListener(t, true)[0], ListenerOptions{Address: freePort(t), ProxyProtocol: true,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	s := start(t, Options{Listeners: []ListenerOptions{plain, secure, proxied}, Limits: Limits{Limits: http1.Limits{HeaderTimeout: time.Hour}}})
	var all []*client
	for _, l := range s.Listeners() {
		for range 2 * visitsAtOnce {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, newClient(t, nc))
		}
	}
	lingers := dial(t, s)
	lingers.send(refused)
	lingers.response("GET")
	eventually(t, func() bool { return s.Open() == len(all)+1 })
	shutdown(t, s)
	for _, c := range all {
		if got := c.closed(); got != "" {
			t.Errorf("%q", got)
		}
	}
}

func TestShutdownCutsWhatIsLeft(t *testing.T) {
	var w waiting
	s := start(t, Options{Handler: w.serve})
	half, slow := dial(t, s), dial(t, s)
	half.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, func() bool { return w.count() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if n := s.Open(); n != 0 || w.disconnected != 1 {
		t.Errorf("%d connections left, %d exchanges disconnected", n, w.disconnected)
	}
	half.closed()
	slow.closed()
}

// upgraded is an exchange of an upgraded connection. If it is polite, it closes when it is notified that it will be cut.
type upgraded struct {
	exchange
	polite   bool
	notified *atomic.Int32
	socket   netloop.Stream
}

func (u *upgraded) ClientReady(ev netloop.Events) {
	if ev&netloop.Failed != 0 {
		u.s.End()
		return
	}
	for {
		if _, err := u.socket.Read(u.socket.Loop().Scratch()); err == netloop.ErrWouldBlock {
			return
		} else if err != nil {
			u.s.End()
			return
		}
	}
}

func (u *upgraded) Ending() {
	u.notified.Add(1)
	u.socket.Write([]byte("bye"), nil)
	if u.polite {
		u.s.End()
	}
}

// TestShutdownNotifiesUpgraded: an upgraded connection is notified once that it will be cut, and is cut if it does not close.
func TestShutdownNotifiesUpgraded(t *testing.T) {
	for _, polite := range []bool{false, true} {
		var notified atomic.Int32
		s := start(t, Options{Handler: func(s *http1.Stream) {
			u := &upgraded{exchange: exchange{s: s}, polite: polite, notified: &notified}
			s.Exchange = u
			r := message.Response{Status: 101}
			r.Add("Upgrade", "a")
			s.Respond(&r, nil, false, true)
			u.socket, _ = s.Upgrade(u)
		}})
		c := dial(t, s)
		c.send(ok + "Connection: Upgrade\r\nUpgrade: a\r\n\r\n")
		if resp, err := readHead(c); err != nil || resp != "HTTP/1.1 101 Switching Protocols\r\n" {
			t.Fatal(resp, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if err := s.Shutdown(ctx); polite != (err == nil) {
			t.Errorf("polite: %v: %v", polite, err)
		}
		cancel()
		if got := c.closed(); got != "bye" || notified.Load() != 1 {
			t.Errorf("polite: %v: %q, notified %d times", polite, got, notified.Load())
		}
	}
}

// readHead reads the head of a response and returns its first line.
func readHead(c *client) (first string, err error) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return first, err
		}
		if first == "" {
			first = line
		}
	}
}

// TestShutdownBeforeServe: a set that was bound and never served is closed.
func TestShutdownBeforeServe(t *testing.T) {
	s := prepare(t, Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	address := s.Listeners()[0].Addr().String()
	shutdown(t, s)
	if err := s.Serve(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("still listening")
	}
	if err := s.Shutdown(context.Background()); err == nil {
		t.Error("shut down twice")
	}
}

// TestSocketIsDrainedAfterTheLastConnection: a socket is drained as soon as no connection is left and none can be accepted,
// whichever happens last.
func TestSocketIsDrainedAfterTheLastConnection(t *testing.T) {
	var k *socket
	steps := map[string]func(){
		"close": func() { k.closed.Store(true); k.checkDrained() },
		"come":  func() { k.open.Add(1) },
		"end":   func() { k.leave() },
	}
	for _, order := range [][]string{{"close"}, {"come", "end", "close"}, {"come", "close", "end"}, {"come", "come", "end", "close", "end"}} {
		k = &socket{drained: make(chan struct{})}
		for i, step := range order {
			steps[step]()
			if last := i == len(order)-1; k.hasDrained() != last {
				t.Errorf("%q: after %q drained is %v", order, step, !last)
			}
		}
	}
}

// TestConnectionsDuringShutdown: connections that are opened while the listener closes are served or refused, and none is lost.
func TestConnectionsDuringShutdown(t *testing.T) {
	s := start(t, Options{})
	address := s.Listeners()[0].Addr().String()
	var clients sync.WaitGroup
	var refusedOnes atomic.Int32
	for range 4 {
		clients.Go(func() {
			for {
				nc, err := net.Dial("tcp", address)
				if err != nil {
					refusedOnes.Add(1)
					return
				}
				nc.SetDeadline(time.Now().Add(patience))
				io.WriteString(nc, "GET / HTTP/1.0\r\n\r\n")
				io.Copy(io.Discard, nc)
				nc.Close()
			}
		})
	}
	eventually(t, func() bool {
		_, accepted := s.Listeners()[0].Connections()
		return accepted > 50
	})
	shutdown(t, s)
	clients.Wait()
	if open, _ := s.Listeners()[0].Connections(); open != 0 || refusedOnes.Load() != 4 {
		t.Errorf("%d connections are open", open)
	}
}
