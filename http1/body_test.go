package http1

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestBodyErrors: an invalid body is detected, and reported while the client reads.
func TestBodyErrors(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked\r\n\r\n"
	prompt, patient := startServer(t, Limits{BodyIdleTimeout: 50 * time.Millisecond}), startServer(t, Limits{BodySize: 1 << 20})
	for _, tc := range []struct {
		name, sent string
		stalls     bool
		ends       bool
		want       error
	}{
		{"complete", chunked + "3\r\nabc\r\n0\r\n\r\n", false, false, nil},
		{"chunks of one byte", chunked + strings.Repeat("1\r\na\r\n", 50_000) + "0\r\n\r\n", false, false, nil},
		{"bare LF in a chunk line", chunked + "3\nabc\r\n0\r\n\r\n", false, false, ErrBodyMalformed},
		{"no CRLF after a chunk", chunked + "3\r\nabcd\r\n0\r\n\r\n", false, false, ErrBodyMalformed},
		{"long extension", chunked + "3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n", false, false, ErrBodyMalformed},
		{"much framing for little payload", chunked + strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 1000), false, false, ErrBodyMalformed},
		{"too large", chunked + "100001\r\n" + strings.Repeat("a", 1<<20+1) + "\r\n0\r\n\r\n", false, false, ErrBodyTooLarge},
		{"stalled", chunked + "3\r\nab", true, false, ErrBodyTimeout},
		{"stalled, fixed length", "Content-Length: 3\r\n\r\nab", true, false, ErrBodyTimeout},
		{"ended early", chunked + "3\r\nabc\r\n0\r\n", false, true, ErrBodyShort},
		{"ended early, fixed length", "Content-Length: 3\r\n\r\nab", false, true, ErrBodyShort},
	} {
		t.Run(name(tc.name), func(t *testing.T) {
			s := patient
			if tc.stalls {
				s = prompt
			}
			c := s.dial("")
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				c.Send("POST /echo HTTP/1.1\r\nHost: a\r\n" + tc.sent)
				if tc.ends {
					c.CloseWrite()
				}
			}()
			r := c.ReadResponse("POST")
			if status := statusOf(tc.want); r.Status() != status || tc.want != nil && r.Body != tc.want.Error() {
				t.Errorf("%d %.100q, want %d %v", r.Status(), r.Body, status, tc.want)
			}
			<-sent
		})
	}
}

// name makes a subtest's name from some words.
func name(words string) string { return strings.ReplaceAll(words, " ", "_") }

// TestTrickledBody: a body that arrives more slowly than the least rate is cut after a window of waiting.
func TestTrickledBody(t *testing.T) {
	s := startServer(t, Limits{BodyMinRate: 1000, RateWindow: 200 * time.Millisecond})
	c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	over, trickling := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(trickling)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				c.Send("x")
			}
		}
	}()
	want(t, c, "POST", 408, ErrBodyTimeout.Error())
	close(over)
	<-trickling
}

// TestShortBodiesOverALongWay: each body of a connection is measured separately. Short ones that each arrive a little after their
// head, as over a long distance, do not add up to a slow one.
func TestShortBodiesOverALongWay(t *testing.T) {
	s := startServer(t, Limits{BodyMinRate: 1000, RateWindow: 500 * time.Millisecond})
	c := s.dial("")
	way := time.NewTicker(50 * time.Millisecond)
	defer way.Stop()
	for range 15 {
		c.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
		<-way.C
		c.Send("ab")
		want(t, c, "POST", 200, "ab")
	}
}

// TestExpectedBody: the client gets a 100 when its body is read, unless it has sent the body, and none where the response does not
// depend on the body.
func TestExpectedBody(t *testing.T) {
	s := startServer(t, Limits{})
	const head = " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	c := s.dial("PUT /echo" + head)
	if head := c.ReadHead(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%q", head)
	}
	c.Send("hello")
	want(t, c, "PUT", 200, "hello")
	c.Send("PUT /echo" + head + "hello") // in one piece, so that it needs no 100
	want(t, c, "PUT", 200, "hello")
	c.Send("PUT /status/403" + head)
	if r := c.ReadResponse("PUT"); r.Status() != 403 || r.Field("Connection") != "close" {
		t.Errorf("%q, want the final response at once", r.Head)
	}
	c.CloseWrite()
	if rest, orderly := c.Ended(); rest != "" || !orderly {
		t.Errorf("%q, orderly: %v", rest, orderly)
	}
}

// TestLeftBody: the unread rest of a body is dropped if it is small, and ends the connection if it is large. It is never taken for
// a request.
func TestLeftBody(t *testing.T) {
	s := startServer(t, Limits{HeaderTimeout: time.Minute})
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n" // of 0x22 bytes
	frames := []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(hidden), hidden),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden),
	}
	t.Run("whole response", func(t *testing.T) {
		for _, f := range frames {
			c := s.dial("POST /a HTTP/1.1\r\nHost: a\r\n" + f + request("/b"))
			if r := want(t, c, "POST", 200, "POST /a"); r.Field("Connection") != "close" {
				t.Errorf("the response does not announce the end: %q", r.Head)
			}
			if rest, orderly := c.Ended(); rest != "" || !orderly {
				t.Errorf("%q, orderly: %v", rest, orderly)
			}
		}
	})
	t.Run("response in pieces", func(t *testing.T) {
		for _, f := range frames {
			c := s.dial("POST /stream/2/3 HTTP/1.1\r\nHost: a\r\n" + f + request("/b"))
			want(t, c, "POST", 200, "bbbaaa")
			want(t, c, "GET", 200, "GET /b")
		}
	})
	t.Run("the rest comes after the response", func(t *testing.T) {
		c := s.dial("")
		for range 2 {
			c.Send("POST /stream/2/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
			want(t, c, "POST", 200, "bbbaaa")
			c.Send("cde")
		}
		c.Send(request("/b"))
		want(t, c, "GET", 200, "GET /b")
	})
	t.Run("malformed", func(t *testing.T) {
		c := s.dial("PUT /stream/2/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden + hidden)
		want(t, c, "PUT", 200, "bbbaaa")
		c.CloseWrite()
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%q, orderly: %v", rest, orderly)
		}
	})
	t.Run("much", func(t *testing.T) {
		c := s.dial(fmt.Sprintf("POST /stream/2/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 2*dropLimit))
		want(t, c, "POST", 200, "bbbaaa")
		c.Send(strings.Repeat("x", 2*dropLimit) + "\r\n0\r\n\r\n" + request("/b"))
		if rest, err := io.ReadAll(c); string(rest) != "" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// TestBodyWithGet: a body with GET is framed like any other.
func TestBodyWithGet(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial("GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + request("/b"))
	want(t, c, "GET", 200, "hello")
	want(t, c, "GET", 200, "GET /b")
}
