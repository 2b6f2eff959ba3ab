package lbtest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Conn is one end of a connection whose bytes the test writes and reads itself.
type Conn struct {
	net.Conn
	N  int // of the backend's connections, from 1
	br *bufio.Reader
	// timed says that the test has set a deadline, which then stands. Otherwise each wait has patience.
	timed atomic.Bool
}

func newConn(nc net.Conn) *Conn {
	c := &Conn{Conn: nc, br: bufio.NewReaderSize(nc, 64<<10)}
	c.renew()
	return c
}

// renew gives the next wait its time. A busy connection thus lives as long as its test.
func (c *Conn) renew() {
	if !c.timed.Load() {
		_ = c.Conn.SetDeadline(time.Now().Add(patience))
	}
}

// SetDeadline is for a wait that ends sooner, or that has no end.
func (c *Conn) SetDeadline(d time.Time) error {
	c.timed.Store(true)
	return c.Conn.SetDeadline(d)
}

// SetReadDeadline is SetDeadline for reads.
func (c *Conn) SetReadDeadline(d time.Time) error {
	c.timed.Store(true)
	return c.Conn.SetReadDeadline(d)
}

// SetWriteDeadline is SetDeadline for writes.
func (c *Conn) SetWriteDeadline(d time.Time) error {
	c.timed.Store(true)
	return c.Conn.SetWriteDeadline(d)
}

// Send writes s; an error shows at the next read.
func (c *Conn) Send(s string) {
	c.renew()
	_, _ = io.WriteString(c.Conn, s)
}

// SendPieces writes s in pieces of n bytes, each in a write of its own.
func (c *Conn) SendPieces(s string, n int) {
	for len(s) > 0 {
		piece := s[:min(n, len(s))]
		c.Send(piece)
		s = s[len(piece):]
	}
}

// Expect reads exactly want, and fails the test on other bytes or an early end. In a script it
// must be followed by a return if it says false.
func (c *Conn) Expect(t testing.TB, want string) bool {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.br, got)
	if string(got[:n]) != want {
		t.Errorf("read %q (%v), want %q", got[:n], err, want)
		return false
	}
	return true
}

// Wait waits for a signal of the test; false means that it timed out and the test has failed.
func Wait[T any](t testing.TB, what string, signal <-chan T) (value T, ok bool) {
	t.Helper()
	select {
	case value = <-signal:
		return value, true
	case <-time.After(patience):
		t.Errorf("not within %v: %s", patience, what)
		return value, false
	}
}

// Reset ends the connection with a reset.
func (c *Conn) Reset() { reset(c.Conn) }

// CloseWrite closes the writing side.
func (c *Conn) CloseWrite() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// Read reads what was buffered first.
func (c *Conn) Read(p []byte) (int, error) {
	c.renew()
	return c.br.Read(p)
}

// ReadHead returns the bytes up to and with the next blank line; "" if the peer ended the connection.
func (c *Conn) ReadHead() string {
	c.renew()
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

// ReadBody returns the body of the request with that head, without chunk framing.
func (c *Conn) ReadBody(head string) (string, error) { return c.readBody(head, false) }

// Response is a response as it was received.
type Response struct {
	Head string // the exact bytes, blank line included
	Body string // without chunk framing
	Err  error  // io.ErrUnexpectedEOF or a reset: the response was cut
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

// ReadResponse reads one response to a request with that method, without skipping interim ones.
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

// Ended waits for the peer to end the connection. It returns the bytes before it, and whether the end was
// an orderly one.
func (c *Conn) Ended() (rest string, orderly bool) {
	b, err := io.ReadAll(c.br)
	return string(b), err == nil
}
