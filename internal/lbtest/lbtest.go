// Package lbtest has scripted clients and backends on real sockets for tests of all packages: the
// bytes that go over the wire are the test's own, and those that come are shown as they came.
package lbtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
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
	Addr  string // "127.0.0.1:port"
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

// NewBackendOn is NewBackend on a given address.
func NewBackendOn(t testing.TB, address string, script func(c *Conn)) *Backend {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("cannot start a backend: %v", err)
	}
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
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	nc.Close()
}

// Conn is one end of a connection whose bytes the test writes and reads itself.
type Conn struct {
	net.Conn
	N  int // of the backend's connections, from 1
	br *bufio.Reader
}

func newConn(nc net.Conn) *Conn {
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &Conn{Conn: nc, br: bufio.NewReaderSize(nc, 64<<10)}
}

// Send writes s; an error shows at the next read.
func (c *Conn) Send(s string) { _, _ = io.WriteString(c.Conn, s) }

// Reset ends the connection with a reset.
func (c *Conn) Reset() { reset(c.Conn) }

// CloseWrite says that nothing more comes.
func (c *Conn) CloseWrite() { _ = c.Conn.(*net.TCPConn).CloseWrite() }

// Read reads what was buffered first.
func (c *Conn) Read(p []byte) (int, error) { return c.br.Read(p) }

// ReadHead returns the bytes up to and with the next blank line; "" if the peer ended the connection.
func (c *Conn) ReadHead() string {
	var head strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return head.String()
		}
	}
}

// ReadRequest returns the next request's exact bytes, head and body; "" if there is none or it was cut.
func (c *Conn) ReadRequest() (head, body string) {
	head = c.ReadHead()
	if head == "" {
		return "", ""
	}
	body, err := c.readBody(head, false)
	if err != nil {
		return "", ""
	}
	return head, body
}

// Response is an answer as it came.
type Response struct {
	Head string // the exact bytes, blank line included
	Body string // without chunk framing
	Err  error  // io.ErrUnexpectedEOF or a reset: the answer was cut
}

// Status is the number in the status line; 0 if there is none.
func (r Response) Status() int {
	fields := strings.SplitN(r.Head, " ", 3)
	if len(fields) < 2 {
		return 0
	}
	status, _ := strconv.Atoi(fields[1])
	return status
}

// Field returns the values of a field, joined by "|".
func (r Response) Field(name string) string { return strings.Join(Fields(r.Head, name), "|") }

// Fields returns the values of the fields of that name in a head, in their order.
func Fields(head, name string) []string {
	var values []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

// ReadResponse reads one answer to a request with that method, interim ones not skipped.
func (c *Conn) ReadResponse(method string) Response {
	r := Response{Head: c.ReadHead()}
	if r.Head == "" {
		r.Err = io.ErrUnexpectedEOF
		return r
	}
	if s := r.Status(); method == "HEAD" || s < 200 || s == 204 || s == 304 {
		return r
	}
	r.Body, r.Err = c.readBody(r.Head, true)
	return r
}

func (c *Conn) readBody(head string, response bool) (string, error) {
	if te := Fields(head, "Transfer-Encoding"); len(te) > 0 {
		return c.readChunks()
	}
	if cl := Fields(head, "Content-Length"); len(cl) > 0 {
		n, err := strconv.Atoi(cl[0])
		if err != nil {
			return "", err
		}
		b := make([]byte, n)
		k, err := io.ReadFull(c.br, b)
		if err != nil {
			err = io.ErrUnexpectedEOF
		}
		return string(b[:k]), err
	}
	if !response {
		return "", nil
	}
	b, err := io.ReadAll(c.br)
	return string(b), err
}

func (c *Conn) readChunks() (string, error) {
	var body strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return body.String(), io.ErrUnexpectedEOF
		}
		n, err := strconv.ParseInt(strings.TrimRight(line, "\r\n"), 16, 64)
		if err != nil {
			return body.String(), errors.New("bad chunk size " + strconv.Quote(line))
		}
		if n == 0 {
			for {
				line, err := c.br.ReadString('\n')
				if err != nil {
					return body.String(), io.ErrUnexpectedEOF
				}
				if line == "\r\n" {
					return body.String(), nil
				}
			}
		}
		b := make([]byte, n+2)
		k, err := io.ReadFull(c.br, b)
		body.Write(b[:max(0, min(k, int(n)))])
		if err != nil {
			return body.String(), io.ErrUnexpectedEOF
		}
	}
}

// Ended waits for the peer to end the connection. It returns what came before, and whether the end was
// an orderly one.
func (c *Conn) Ended() (rest string, orderly bool) {
	b, err := io.ReadAll(c.br)
	return string(b), err == nil
}

// Dial connects a client; the connection ends with the test.
func Dial(t testing.TB, address string) *Conn {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("cannot connect: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return newConn(nc)
}

// Get sends one request on a new connection that ends after it, and returns the answer.
func Get(t testing.TB, address, path string, lines ...string) Response {
	t.Helper()
	c := Dial(t, address)
	defer c.Close()
	extra, hosted := "", false
	for _, line := range lines {
		extra += line + "\r\n"
		hosted = hosted || strings.HasPrefix(strings.ToLower(line), "host:")
	}
	if !hosted {
		extra += "Host: test\r\n"
	}
	c.Send("GET " + path + " HTTP/1.1\r\n" + extra + "Connection: close\r\n\r\n")
	return c.ReadResponse("GET")
}

// Eventually polls cond until it holds, and fails the test with what it waits for if that takes too long.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// Answer returns a script that gives every request the same answer.
func Answer(response string) func(*Conn) {
	return func(c *Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(response)
		}
	}
}

// OK makes an answer 200 with that body.
func OK(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// TryDial returns a connection, nil if there is none to be had.
func TryDial(address string) net.Conn {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil
	}
	return nc
}
