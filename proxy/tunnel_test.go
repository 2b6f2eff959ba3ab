package proxy

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// side is the balancer's end of a connection that is reset when its peer closes.
type side struct {
	net.Conn
	instead     func() // of a write, which then succeeds; nil: write
	interrupted chan struct{}
	once        sync.Once
}

func (s *side) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err == io.EOF {
		err = syscall.ECONNRESET
	}
	return n, err
}

func (s *side) Write(p []byte) (int, error) {
	if s.instead != nil {
		s.instead()
		return len(p), nil
	}
	return s.Conn.Write(p)
}

func (s *side) SetDeadline(t time.Time) error {
	err := s.Conn.SetDeadline(t)
	s.once.Do(func() { close(s.interrupted) })
	return err
}

func (s *side) CloseWrite() error { return s.Close() }

// TestResetDuringWrite: a tunnel whose backend fails while bytes are on their way to it ends at once: the lane that
// has written them does not overwrite the interruption by its next deadline.
func TestResetDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clientFar, clientNear := net.Pipe()
		backendFar, backendNear := net.Pipe()
		defer clientFar.Close()
		client := &side{Conn: clientNear, interrupted: make(chan struct{})}
		backend := &side{Conn: backendNear, interrupted: make(chan struct{})}
		backend.instead = func() {
			backendFar.Close() // the other lane sees it
			<-client.interrupted
			synctest.Wait()
		}
		begin := time.Now()
		go func() { _, _ = clientFar.Write([]byte("x")) }()
		newTunnel(time.Hour, false).relay(client, backend, nil)
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("it ended after %v", waited)
		}
	})
}

// end is one end of a tunnel whose peer has half closed if said is closed, and takes note of being half
// closed itself.
type end struct {
	net.Conn
	said   chan struct{} // nil: the peer goes on
	broken bool          // a write fails as on a connection that the peer has reset
	told   bool
}

func (e *end) Read(p []byte) (int, error) {
	if e.said != nil {
		<-e.said
		return 0, io.EOF
	}
	return e.Conn.Read(p)
}

func (e *end) Write(p []byte) (int, error) {
	if e.broken {
		return 0, syscall.EPIPE
	}
	return e.Conn.Write(p)
}

func (e *end) CloseWrite() error {
	e.told = true
	return nil
}

func ended() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestHalfOfWebSocketHasTime: behind the end of one side the other may go on with pauses under ten seconds,
// and the connection ends after one of ten.
func TestHalfOfWebSocketHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clientFar, clientNear := net.Pipe()
		backendFar, backendNear := net.Pipe()
		defer clientFar.Close()
		defer backendFar.Close()
		client, backend := &end{Conn: clientNear, said: ended()}, &end{Conn: backendNear}
		got := make(chan string, 1)
		go func() {
			b := make([]byte, 9)
			_, err := io.ReadFull(clientFar, b)
			got <- fmt.Sprint(string(b), err)
		}()
		go func() {
			for range 3 {
				time.Sleep(9 * time.Second)
				_, _ = backendFar.Write([]byte("\x82\x01x"))
			}
		}()
		begin := time.Now()
		newTunnel(time.Hour, true).relay(client, backend, nil)
		if lasted := time.Since(begin); lasted != 37*time.Second || !backend.told {
			t.Errorf("it ended after %v, the backend was told: %v", lasted, backend.told)
		}
		if s := <-got; s != "\x82\x01x\x82\x01x\x82\x01x<nil>" {
			t.Errorf("the client read %q", s)
		}
	})
}

// TestHalfWithoutReader: a client that has ended its stream and reads no more does not hold the connection for
// ever, though nobody waits for bytes of it any more.
func TestHalfWithoutReader(t *testing.T) {
	for websocket, want := range map[bool]time.Duration{true: 10 * time.Second, false: time.Minute} {
		for _, first := range []bool{false, true} { // does the client end before the write begins?
			synctest.Test(t, func(t *testing.T) {
				clientFar, clientNear := net.Pipe()
				backendFar, backendNear := net.Pipe()
				defer clientFar.Close()
				defer backendFar.Close()
				client, backend := &end{Conn: clientNear, said: make(chan struct{})}, &end{Conn: backendNear}
				if first {
					close(client.said)
				}
				go func() {
					synctest.Wait()
					_, _ = backendFar.Write([]byte("\x82\x01x"))
					if synctest.Wait(); !first {
						close(client.said)
					}
				}()
				begin := time.Now()
				tunnel := newTunnel(time.Minute, websocket)
				tunnel.relay(client, backend, nil)
				if !tunnel.brokenTo(&tunnel.toClient) {
					t.Errorf("websocket %v, ended first %v: the client takes what it has for all", websocket, first)
				}
				if lasted := time.Since(begin); lasted != want {
					t.Errorf("websocket %v, ended first %v: it lasted %v", websocket, first, lasted)
				}
			})
		}
	}
}

// TestBrokenTunnel: a failure of one side reaches the other, but does not take back an orderly end that it
// has been told of.
func TestBrokenTunnel(t *testing.T) {
	for _, tc := range []struct {
		name            string
		client, backend func(net.Conn) Stream
		broken          [2]bool // towards client, backend
	}{
		{"both end in order", func(c net.Conn) Stream { return &end{Conn: c, said: ended()} },
			func(c net.Conn) Stream { return &end{Conn: c, said: ended()} }, [2]bool{}},
		{"the backend resets", func(c net.Conn) Stream { return &end{Conn: c} },
			func(c net.Conn) Stream { return &side{Conn: c, interrupted: make(chan struct{})} }, [2]bool{true, false}},
		{"the client resets", func(c net.Conn) Stream { return &side{Conn: c, interrupted: make(chan struct{})} },
			func(c net.Conn) Stream { return &end{Conn: c} }, [2]bool{false, true}},
		{"the backend takes nothing", func(c net.Conn) Stream { return &end{Conn: c} },
			func(c net.Conn) Stream { return &end{Conn: c, broken: true} }, [2]bool{true, false}},
		{"the backend ends, and takes nothing", func(c net.Conn) Stream { return &end{Conn: c} },
			func(c net.Conn) Stream { return &end{Conn: c, broken: true, said: ended()} }, [2]bool{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clientFar, clientNear := net.Pipe()
				backendFar, backendNear := net.Pipe()
				defer clientFar.Close()
				defer backendFar.Close()
				client, backend := tc.client(clientNear), tc.backend(backendNear)
				go func() {
					synctest.Wait() // until the ends that are there at once have been seen
					_, _ = clientFar.Write([]byte("x"))
				}()
				for far, near := range map[net.Conn]Stream{clientFar: client, backendFar: backend} {
					if _, resets := near.(*side); resets {
						far.Close()
					}
				}
				tunnel := newTunnel(time.Hour, false)
				tunnel.relay(client, backend, nil)
				if got := [2]bool{tunnel.brokenTo(&tunnel.toClient), tunnel.brokenTo(&tunnel.toBackend)}; got != tc.broken {
					t.Errorf("%v, want %v", got, tc.broken)
				}
			})
		})
	}
}
