package proxy

import (
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
