// Package lbtest has scripted clients and backends on real sockets for tests of all packages: the
// test writes the bytes that are sent, and sees the received ones unchanged.
package lbtest

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait; a test that reaches it has failed.
const patience = 20 * time.Second

// Backend is a server that runs a script on every connection.
type Backend struct {
	Addr  string // "127.0.0.1:port" or "unix:/path"
	Conns atomic.Int64

	ln      net.Listener
	mu      sync.Mutex
	open    map[net.Conn]bool
	running sync.WaitGroup
}

// NewBackend starts a backend on a loopback port; it ends with the test. script runs in a goroutine for each
// connection, which is closed when it returns.
func NewBackend(t testing.TB, script func(c *Conn)) *Backend {
	t.Helper()
	return NewBackendOn(t, "127.0.0.1:0", script)
}

// NewBackendOn is NewBackend on a given address, "host:port" or "unix:/path".
func NewBackendOn(t testing.TB, address string, script func(c *Conn)) *Backend {
	t.Helper()
	ln, err := net.Listen(network(address))
	if err != nil {
		t.Fatalf("cannot start a backend: %v", err)
	}
	b := serve(t, ln, script)
	if ln.Addr().Network() == "unix" {
		b.Addr = address
	}
	return b
}

// NewTLSBackend is NewBackend behind TLS; a connection's script begins after the handshake, and
// does not if that fails.
func NewTLSBackend(t testing.TB, conf *tls.Config, script func(c *Conn)) *Backend {
	t.Helper()
	return NewTLSBackendOn(t, "127.0.0.1:0", conf, script)
}

// NewTLSBackendOn is NewTLSBackend on a given address, as for NewBackendOn.
func NewTLSBackendOn(t testing.TB, address string, conf *tls.Config, script func(c *Conn)) *Backend {
	t.Helper()
	network, rest := network(address)
	ln, err := tls.Listen(network, rest, conf)
	if err != nil {
		t.Fatalf("cannot start a backend: %v", err)
	}
	b := serve(t, ln, func(c *Conn) {
		if c.Conn.(*tls.Conn).Handshake() == nil {
			script(c)
		}
	})
	if network == "unix" {
		b.Addr = address
	}
	return b
}

func network(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

func serve(t testing.TB, ln net.Listener, script func(c *Conn)) *Backend {
	b := &Backend{Addr: ln.Addr().String(), ln: ln, open: map[net.Conn]bool{}}
	b.running.Go(func() { b.accept(script) })
	t.Cleanup(b.Kill)
	return b
}

func (b *Backend) accept(script func(c *Conn)) {
	for {
		nc, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.open == nil {
			b.mu.Unlock()
			nc.Close()
			return
		}
		b.open[nc] = true
		b.mu.Unlock()
		c := newConn(nc)
		c.N = int(b.Conns.Add(1))
		b.running.Go(func() {
			defer b.forget(nc)
			script(c)
		})
	}
}

func (b *Backend) forget(nc net.Conn) {
	nc.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, nc)
}

// WaitIdle waits until the scripts of all connections have ended; new ones may still be opened.
func (b *Backend) WaitIdle(t testing.TB) {
	t.Helper()
	Eventually(t, "the backend's connections have ended", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.open) == 0
	})
}

// Kill ends the backend as a killed process would: no new connections, those open reset.
func (b *Backend) Kill() {
	b.ln.Close()
	b.mu.Lock()
	for nc := range b.open {
		reset(nc)
	}
	b.open = nil
	b.mu.Unlock()
	b.running.Wait()
}

func reset(nc net.Conn) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	nc.Close()
}
