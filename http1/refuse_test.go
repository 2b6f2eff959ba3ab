package http1

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRefusals: an invalid request gets a response that says so, on a new and on a kept-alive connection, and no handler gets it
// or what follows.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name, sent string
		status     int
	}{
		{"LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"LF ends a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
		{"LF as blank line, with a second request", get + "\nGET /admin HTTP/1.1\r\nHost: b\r\n\r\n", 400},
		{"LFs alone, no CRLF ever", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"CR alone", get + "X: a\rb\r\n\r\n", 400},
		{"fold", get + "X: a\r\n b\r\n\r\n", 400},
		{"space in a name", get + "X Y: a\r\n\r\n", 400},
		{"space before the colon", get + "Content-Length : 5\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", get + "Host: a\r\n\r\n", 400},
		{"other host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"length and chunked", get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two lengths", get + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"other coding", get + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
		{"fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400},
		{"HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"expectation", get + "Expect: miracles\r\n\r\n", 417},
		{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"NULs in a head without an end", get + "\x00\x00", 400},
		{"CR and a byte before the request line", "\rX" + get + "\r\n", 400},
		{"CR and a byte after an empty line", "\r\n\rX" + get + "\r\n", 400},
		{"many blank lines", strings.Repeat("\r\n", 9) + get + "\r\n", 400},
		{"large head", get + "X: " + strings.Repeat("a", 1100) + "\r\n\r\n", 431},
		{"large head without an end", "GET /" + strings.Repeat("a", 1100), 431},
		{"many fields", get + strings.Repeat("a: b\r\n", 20) + "\r\n", 431},
	}
	s := startServer(t, Limits{HeaderSize: 1024, HeaderFields: 20})
	served := int64(0)
	for _, tc := range tests {
		for _, before := range []string{"", get + "\r\n"} { // on a new and on a kept connection
			c := s.dial(before + tc.sent)
			if before != "" {
				want(t, c, "GET", 200, "GET /")
				served++
			}
			r := c.ReadResponse("GET")
			if r.Status() != tc.status || r.Field("Connection") != "close" || len(r.Field("X-Request-Id")) != 32 || r.Body == "" || r.Field("Date") == "" {
				t.Errorf("%s: %q %q, want %d, closing, with an id", tc.name, r.Head, r.Body, tc.status)
			}
			if strings.HasPrefix(tc.name, "TLS") && !strings.Contains(r.Body, "plain http") {
				t.Errorf("%s: %q", tc.name, r.Body)
			}
			if tc.status == 405 && r.Field("Allow") == "" {
				t.Errorf("%s: no Allow field", tc.name)
			}
			c.CloseWrite()
			if rest, orderly := c.Ended(); rest != "" || !orderly {
				t.Errorf("%s: after the refusal: %q, orderly: %v", tc.name, rest, orderly)
			}
		}
	}
	if n := s.ended.Load(); n != served {
		t.Errorf("the handler saw %d requests, want %d", n, served)
	}
	labels := make(map[string]int)
	for _, r := range s.takeRefusals() {
		labels[r.Label]++
		if r.BytesOut == 0 {
			t.Errorf("%+v: nothing was sent", r)
		}
	}
	if labels[LabelBadRequest] != 2*(len(tests)-3) || labels[LabelHeaderSize] != 4 || labels[LabelHeaderFields] != 2 {
		t.Errorf("counted: %v", labels)
	}
}

// TestRefusalOfHead: a refusal of HEAD has no body.
func TestRefusalOfHead(t *testing.T) {
	s := startServer(t, Limits{HeaderSize: 1024})
	for request, status := range map[string]int{
		"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n": 417,
		"HEAD / HTTP/1.1\nHost: a\r\n\r\n":                400,
		"\r\nHEAD / HTTP/1.1\r\nHost: a\n":                400,
		"HEAD /" + strings.Repeat("a", 1100):              431,
	} {
		c := s.dial(request)
		r := c.ReadResponse("HEAD")
		c.CloseWrite()
		if rest, orderly := c.Ended(); r.Status() != status || rest != "" || !orderly || r.Field("Content-Length") == "" || r.Field("Content-Length") == "0" {
			t.Errorf("%.40q: %q, then %q, orderly: %v", request, r.Head, rest, orderly)
		}
	}
}

// TestBodyOverTheLimit: a body over the limit is neither read nor requested, and the connection ends with the response.
func TestBodyOverTheLimit(t *testing.T) {
	s := startServer(t, Limits{BodySize: 10})
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		c := s.dial("")
		send := func(length int) {
			c.Send(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n", expect, length) + strings.Repeat("x", length))
		}
		send(10)
		r := c.ReadResponse("POST")
		if r.Status() == 100 { // the head arrived before the body
			r = c.ReadResponse("POST")
		}
		if r.Status() != 200 || r.Body != "xxxxxxxxxx" {
			t.Errorf("10 bytes: %q %q", r.Head, r.Body)
		}
		send(11)
		if r := want(t, c, "POST", 413, ErrBodyTooLarge.Error()); r.Field("Connection") != "close" {
			t.Errorf("%q", r.Head)
		}
		c.CloseWrite()
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%q after the refusal, orderly: %v", rest, orderly)
		}
	}
}

// TestRefusalReachesAClientThatSends: a client that is still sending gets the refusal; no reset destroys it.
func TestRefusalReachesAClientThatSends(t *testing.T) {
	s := startServer(t, Limits{BodySize: 1000})
	c := s.dial("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	for range 10 {
		c.Send(strings.Repeat("x", 100_000))
	}
	want(t, c, "POST", 413, ErrBodyTooLarge.Error())
}

// TestDrippingHead: a client that sends single bytes gets no more time for its head than others.
func TestDrippingHead(t *testing.T) {
	s := startServer(t, Limits{HeaderTimeout: 100 * time.Millisecond})
	c := s.dial("")
	over := make(chan struct{})
	dripping := make(chan struct{})
	go func() {
		defer close(dripping)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		c.Send("GET /")
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				c.Send("a")
			}
		}
	}()
	if r := c.ReadResponse("GET"); r.Status() != 408 {
		t.Errorf("%q", r.Head)
	}
	close(over)
	<-dripping
}
