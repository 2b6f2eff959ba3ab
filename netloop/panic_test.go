package netloop

import (
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"
	"testing"
)

// TestPanicked: a panic in a handler resets its socket, although it panics again when it gets Failed, and neither that nor one in a timer or a task ends the loop.
func TestPanicked(t *testing.T) {
	var panics atomic.Int64
	ls := startLoops(t, Options{Loops: 1, Panicked: func(value any, stack []byte) {
		if value == "test" && len(stack) > 0 {
			panics.Add(1)
		}
	}})
	l := ls.All()[0]
	address := serve(t, ls, func(c *conn) {
		c.ready = func(c *conn, e Events) { panic("test") }
	})
	peer := dial(t, address)
	peer.Write([]byte("x"))
	if _, err := io.ReadAll(peer); err == nil {
		t.Error("the connection ended without a reset")
	}
	l.Post(TaskFunc(func() { panic("test") }))
	expired := make(chan struct{})
	on(t, l, func() {
		l.Later(TaskFunc(func() { panic("test") }))
		c := &conn{}
		c.expired = func(*conn) {
			defer close(expired)
			panic("test")
		}
		timer := &Timer{}
		timer.Init(l, c)
		timer.Reset(1)
	})
	wait(t, expired, "the timer")
	on(t, l, func() {})
	if n := panics.Load(); n != 5 {
		t.Errorf("%d panics were reported, want 5", n)
	}
	echoing := serve(t, ls, echo)
	exchange(t, dial(t, echoing), 1000)
}

// TestPanickedHandlerReleases: a handler that has panicked gets Failed once, with the cause, to release what it holds.
func TestPanickedHandlerReleases(t *testing.T) {
	var panics atomic.Int64
	ls := startLoops(t, Options{Loops: 1, Panicked: func(any, []byte) { panics.Add(1) }})
	failures := make(chan error, 10)
	for _, again := range []bool{false, true} {
		address := serve(t, ls, func(c *conn) {
			c.ready = func(c *conn, e Events) {
				if e&Failed == 0 {
					panic("first")
				}
				failures <- c.Err()
				if again {
					panic("again")
				}
			}
		})
		peer := dial(t, address)
		peer.Write([]byte("x"))
		if _, err := io.ReadAll(peer); err == nil {
			t.Error("the connection ended without a reset")
		}
		if err := wait(t, failures, "Failed"); !errors.Is(err, errPanicked) {
			t.Errorf("failed with %v", err)
		}
	}
	on(t, ls.All()[0], func() {})
	if n := panics.Load(); n != 3 || len(failures) > 0 {
		t.Errorf("%d panics were reported, want 3; %d further failures", n, len(failures))
	}
}

// TestPanickedHandshake: a panic in a function of the TLS configuration ends its handshake alone, and occupies no place of another.
func TestPanickedHandshake(t *testing.T) {
	var panics atomic.Int64
	ls := startLoops(t, Options{Loops: 1, Handshakes: 1, Panicked: func(any, []byte) { panics.Add(1) }})
	good, clientConfig := certificates(t)
	failures := make(chan error, 10)
	bad := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "waits" {
			Wait(hello.Conn, func(<-chan struct{}) { panic("test") })
		}
		panic("test")
	}}
	address := serve(t, ls, func(c *conn) {
		c.ready = func(c *conn, e Events) {
			failures <- c.Err()
			c.Close()
		}
		c.ServerTLS(bad, patience)
	})
	for _, name := range []string{"test", "waits"} {
		if err := tls.Client(dial(t, address), &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("the handshake succeeded")
		}
		if err := wait(t, failures, "Failed"); !errors.Is(err, errPanicked) {
			t.Errorf("failed with %v", err)
		}
	}
	if n := panics.Load(); n != 2 {
		t.Errorf("%d panics were reported, want 2", n)
	}
	echoing := serve(t, ls, func(c *conn) { echo(c); c.ServerTLS(good, patience) })
	exchange(t, tls.Client(dial(t, echoing), clientConfig), 10)
}
