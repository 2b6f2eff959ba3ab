//go:build e2e

package chaos

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// request is one request and the behaviour of its client.
type request struct {
	id      uint64
	method  string
	key     bool // with an Idempotency-Key
	length  int  // of its body
	chunked bool
	size    int    // of the response's body
	as      string // how the backend is to frame it
	status  int    // the backend's response
	work    int    // milliseconds before the backend responds
	slow    bool   // the client sends and reads slowly
	leave   bool   // the client disconnects before the end
}

// kept is the pool's retry.body: longer request bodies are sent once.
const kept = 64 << 10

func (r *request) idempotent() bool { return r.method != http.MethodPost || r.key }

// streamed reports whether lb cannot send the body twice.
func (r *request) streamed() bool { return r.chunked || r.length > kept }

// outcome is what the client of a request saw.
type outcome struct {
	request
	start, end time.Time
	status     int    // 0: there was no head of a response
	origin     string // the backend's name; "" in responses of lb's own
	whole      bool   // the response ended as its framing says
	wrong      string // an error that no fault explains
	err        error
}

// numbers are the requests' ids.
type numbers struct{ last atomic.Uint64 }

// next returns a random request; calm ones get no 503, and their client does not disconnect.
func (n *numbers) next(r *rand.Rand, calm bool) request {
	q := request{id: n.last.Add(1), method: "GET", status: http.StatusOK}
	switch i := r.IntN(20); {
	case i < 4:
		q.method, q.length = "POST", sizes(r)
	case i < 6:
		q.method, q.length, q.key = "POST", sizes(r), true
	case i < 9:
		q.method, q.length = "PUT", sizes(r)
	case i < 10:
		q.method = "HEAD"
	case i < 11:
		q.method = "DELETE"
	}
	q.chunked = q.length > 0 && r.IntN(4) == 0
	q.size = sizes(r)
	q.as = []string{"length", "length", "chunked", "close"}[r.IntN(4)]
	q.slow = r.IntN(25) == 0
	q.work = max(0, r.IntN(50)-20)
	if !calm {
		q.leave = r.IntN(40) == 0
		if r.IntN(100) == 0 {
			q.status = http.StatusServiceUnavailable
		}
	}
	return q
}

// sizes returns a size of a body: mostly small, sometimes none, up to 300 KB.
func sizes(r *rand.Rand) int {
	switch i := r.IntN(20); {
	case i < 2:
		return 0
	case i < 15:
		return r.IntN(4 << 10)
	case i < 18:
		return r.IntN(kept + 1)
	default:
		return r.IntN(largest)
	}
}

// client sends requests on one connection until a response, or the client itself, ends it.
type client struct {
	address string
	random  *rand.Rand
	conn    net.Conn
	reader  *bufio.Reader
}

// deadline limits an exchange: far more than all of lb's timeouts together.
const deadline = 30 * time.Second

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// do performs a request.
func (c *client) do(q request) (o outcome) {
	o = outcome{request: q, start: time.Now()}
	defer func() { o.end = time.Now() }()
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.address, deadline)
		if err != nil {
			o.err = fmt.Errorf("cannot connect: %w", err)
			return o
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(deadline))
	again := c.random.IntN(5) > 0
	if q.leave {
		conn := c.conn
		leaving := time.AfterFunc(time.Duration(c.random.IntN(30_000))*time.Microsecond, func() { conn.Close() })
		defer leaving.Stop()
		again = false
	}
	sent := make(chan error, 1)
	go func(conn net.Conn) { sent <- send(conn, &q, again) }(c.conn)
	closing := c.receive(&o)
	if closing || !again || o.err != nil || o.wrong != "" {
		c.close() // which ends a request whose response came before it was sent
		<-sent
		return o
	}
	if err := <-sent; err != nil {
		o.wrong = fmt.Sprintf("the connection goes on, but the request was not taken: %v", err)
		c.close()
	}
	return o
}

// send writes the request.
func send(conn net.Conn, q *request, again bool) error {
	var head strings.Builder
	fmt.Fprintf(&head, "%s /?size=%d&as=%s&status=%d&work=%d HTTP/1.1\r\nHost: chaos\r\nX-Request-Id: %d\r\n",
		q.method, q.size, q.as, q.status, q.work, q.id)
	if q.key {
		fmt.Fprintf(&head, "Idempotency-Key: %d\r\n", q.id)
	}
	if !again {
		head.WriteString("Connection: close\r\n")
	}
	switch {
	case q.chunked:
		head.WriteString("Transfer-Encoding: chunked\r\n")
	case q.length > 0 || q.method == "POST" || q.method == "PUT":
		fmt.Fprintf(&head, "Content-Length: %d\r\n", q.length)
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(conn, head.String()); err != nil {
		return err
	}
	for b := body(q.id, "up", q.length); len(b) > 0; {
		n := min(len(b), 8<<10)
		piece := b[:n]
		if q.chunked {
			piece = fmt.Appendf(nil, "%x\r\n%s\r\n", n, piece)
		}
		if q.slow {
			time.Sleep(2 * time.Millisecond) // a slow client, not a wait
		}
		if _, err := conn.Write(piece); err != nil {
			return err
		}
		b = b[n:]
	}
	if q.chunked {
		_, err := io.WriteString(conn, "0\r\n\r\n")
		return err
	}
	return nil
}

// receive reads the response and compares it with the only right one. It reports whether the
// connection ends with it.
func (c *client) receive(o *outcome) (closing bool) {
	response, err := http.ReadResponse(c.reader, &http.Request{Method: o.method})
	if err != nil {
		o.err = fmt.Errorf("no response: %w", err)
		return true
	}
	defer response.Body.Close()
	o.status, o.origin = response.StatusCode, response.Header.Get("X-Origin")
	if id := response.Header.Get("X-Request-Id"); id != fmt.Sprint(o.id) {
		o.wrong = fmt.Sprintf("X-Request-Id is %q", id)
	}
	if response.ContentLength < 0 && len(response.TransferEncoding) == 0 && o.method != "HEAD" {
		o.wrong = "the end of the connection alone ends the response"
	}
	var source io.Reader = response.Body
	if o.slow {
		source = slowly{source}
	}
	got, err := io.ReadAll(source)
	o.whole, o.err = err == nil, err
	if o.origin == "" {
		if o.status < 500 {
			o.wrong = fmt.Sprintf("status %d from lb itself", o.status)
		}
		return response.Close
	}
	want := body(o.id, "down", o.size)
	if o.method == "HEAD" {
		want = nil
	}
	if p := proof(o.id, o.method, body(o.id, "up", o.length)); response.Header.Get("X-Proof") != p {
		o.wrong = fmt.Sprintf("the response is to %q instead of %q", response.Header.Get("X-Proof"), p)
	} else if o.status != o.request.status {
		o.wrong = fmt.Sprintf("status %d instead of %d", o.status, o.request.status)
	} else if !bytes.HasPrefix(want, got) {
		o.wrong = "the response's body is corrupted"
	} else if o.whole && len(got) < len(want) {
		o.wrong = fmt.Sprintf("%d of %d bytes look whole", len(got), len(want))
	}
	return response.Close
}

// slowly reads in small pieces with pauses.
type slowly struct{ io.Reader }

func (s slowly) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond) // a slow client, not a wait
	return s.Reader.Read(b[:min(len(b), 4<<10)])
}

// left reports whether the client disconnected before it had a response.
func (o *outcome) left() bool { return o.leave && o.err != nil }
