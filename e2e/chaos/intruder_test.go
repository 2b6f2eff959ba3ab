//go:build e2e

package chaos

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// intruder is a client of the torture test: it pipelines, sends in pieces, disconnects in the middle, and checks that
// all it receives is for its own requests.
type intruder struct {
	address string
	secure  bool
	random  *rand.Rand
	tokens  *atomic.Uint64
	tally   *tally

	conn   net.Conn
	reader *bufio.Reader
}

// tally is what all intruders saw.
type tally struct {
	responses, own, left, cut atomic.Int64 // from backends, from lb itself, disconnected by the client, cut off by lb

	mu    sync.Mutex
	wrong []string
}

func (t *tally) report(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wrong) < 50 {
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
}

// sent is a request in flight.
type sent struct {
	token  string
	method string
	do     string
}

func (c *intruder) dial() error {
	dialer := net.Dialer{Timeout: deadline}
	conn, err := dialer.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.conn = conn
	if c.secure {
		c.conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c.reader = bufio.NewReader(c.conn)
	return nil
}

func (c *intruder) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// round sends a few requests at once and reads the responses.
func (c *intruder) round() {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			c.tally.report("cannot connect: %v", err)
			return
		}
	}
	_ = c.conn.SetDeadline(time.Now().Add(deadline))
	var all []sent
	var text []byte
	for range 1 + c.random.IntN(4)*c.random.IntN(2) {
		s, request := c.make()
		all, text = append(all, s), append(text, request...)
	}
	leaves := c.random.IntN(8) == 0
	if leaves {
		text = text[:1+c.random.IntN(len(text))]
	}
	var sending sync.WaitGroup
	sending.Go(func() { c.send(c.conn, text, leaves) })
	if !c.receive(all, leaves) {
		c.close()
	}
	sending.Wait()
	if leaves {
		c.close()
	}
}

// make returns a request and its bytes.
func (c *intruder) make() (sent, []byte) {
	misdeed := c.random.IntN(len(misdeeds))
	s := sent{token: tokenOf(misdeed, c.tokens.Add(1)), do: misdeeds[misdeed]}
	s.method = []string{"GET", "GET", "GET", "HEAD", "HEAD", "POST", "PUT", "DELETE"}[c.random.IntN(8)]
	route := []string{"/", "/", "/sticky/", "/buffered/", "/own/", "/files/", "/nothing/"}[c.random.IntN(7)]
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s?t=%s&do=%s&size=%d HTTP/1.1\r\nHost: torture\r\nX-Token: %s\r\nCookie: id=%s\r\nTE: trailers\r\n",
		s.method, route, s.token, s.do, sizes(c.random), s.token, s.token)
	length := 0
	if s.method == "POST" || s.method == "PUT" {
		length = sizes(c.random)
		if c.random.IntN(2) == 0 {
			fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\nTrailer: X-Trailer-Token\r\n\r\n")
			for body := tokenBody(s.token, length); len(body) > 0; {
				n := min(len(body), 1+c.random.IntN(9000))
				fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
				body = body[n:]
			}
			fmt.Fprintf(&b, "0\r\nX-Trailer-Token: %s\r\n\r\n", s.token)
			return s, b.Bytes()
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	b.WriteString("\r\n")
	b.Write(tokenBody(s.token, length))
	return s, b.Bytes()
}

// send writes in pieces. An intruder disconnects by a reset, a close, or a half-close.
func (c *intruder) send(conn net.Conn, text []byte, leaves bool) {
	r := rand.New(rand.NewPCG(uint64(len(text)), 0))
	for len(text) > 0 {
		n := len(text)
		if r.IntN(3) == 0 {
			n = 1 + r.IntN(n)
		}
		if _, err := conn.Write(text[:n]); err != nil {
			return
		}
		text = text[n:]
	}
	if !leaves {
		return
	}
	time.Sleep(time.Duration(r.IntN(4000)) * time.Microsecond) // the moment of the disconnect is what is tested
	switch plain, _ := conn.(*net.TCPConn); r.IntN(3) {
	case 0:
		if plain != nil {
			_ = plain.SetLinger(0)
		}
		conn.Close()
	case 1:
		conn.Close()
	default:
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
}

// receive reads the responses to the requests, in their order, and reports whether the connection stays open.
func (c *intruder) receive(all []sent, leaves bool) bool {
	for _, s := range all {
		response, err := c.read(&s)
		if err != nil {
			switch {
			case leaves:
				c.tally.left.Add(1)
			case err == errUpgraded || strings.Contains(err.Error(), "malformed"):
				c.tally.report("%s %s %s: %v", s.method, s.do, s.token, err)
			default:
				c.tally.cut.Add(1)
			}
			return false
		}
		body, err := io.ReadAll(response.Body)
		c.check(&s, response, body)
		if err != nil || response.Close {
			return false
		}
	}
	return true
}

var errUpgraded = errors.New("an upgrade that was not requested")

// read returns the final response; interim ones before it must be for the same request.
func (c *intruder) read(s *sent) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.reader, &http.Request{Method: s.method})
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return nil, errUpgraded
		}
		c.check(s, response, nil)
	}
}

// check compares every token in a response with the request's.
func (c *intruder) check(s *sent, response *http.Response, body []byte) {
	foreign := func(where, text string) {
		for _, found := range tokenPattern.FindAllString(text, -1) {
			if found != s.token {
				c.tally.report("%s %s %s got %s of %s %s", s.method, s.do, s.token, where, misdeedOf(found), found)
			}
		}
	}
	for name, values := range response.Header {
		foreign("field "+name, strings.Join(values, " "))
	}
	foreign("the body", string(body))
	foreign("a trailer", response.Trailer.Get("X-Trailer-Token"))
	if response.Header.Get("X-Token") == "" {
		c.tally.own.Add(1)
	} else {
		c.tally.responses.Add(1)
		if !bytes.Equal(body, tokenBody(s.token, len(body))) {
			c.tally.report("%s %s %s: the body is corrupted: %.100q", s.method, s.do, s.token, body)
		}
	}
	if bytes.IndexByte(body, poisoned) >= 0 {
		c.tally.report("%s %s %s: bytes of a freed buffer", s.method, s.do, s.token)
	}
}
