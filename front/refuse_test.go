package front

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"lb/telemetry"
)

const ok = "GET / HTTP/1.1\r\nHost: a\r\n"

func TestRefusals(t *testing.T) {
	handled := make(chan string, 100)
	registry := telemetry.NewRegistry()
	f := start(t, Options{
		Metrics: registry,
		Limits:  Limits{HeaderSize: 1024},
		Handler: func(c *Conn) { handled <- string(c.Request().Target); echo(c) },
	})
	tests := []struct {
		name, sent string
		status     int
	}{
		{"LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"LF ends a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
		{"LF as blank line, with a second request", ok + "\nGET /admin HTTP/1.1\r\nHost: b\r\n\r\n", 400},
		{"LFs alone, no CRLF ever", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"CR alone", ok + "X: a\rb\r\n\r\n", 400},
		{"fold", ok + "X: a\r\n b\r\n\r\n", 400},
		{"space in a name", ok + "X Y: a\r\n\r\n", 400},
		{"space before the colon", ok + "Content-Length : 5\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", ok + "Host: a\r\n\r\n", 400},
		{"other host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"length and chunked", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"other coding", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
		{"fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400},
		{"HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"expectation", ok + "Expect: miracles\r\n\r\n", 417},
		{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"NULs in a head without an end", ok + "\x00\x00", 400},
		{"CR and a byte before the request line", "\rX" + ok + "\r\n", 400},
		{"CR and a byte after an empty line", "\r\n\rX" + ok + "\r\n", 400},
		{"many blank lines", strings.Repeat("\r\n", 9) + ok + "\r\n", 400},
		{"large head", ok + "X: " + strings.Repeat("a", 1100) + "\r\n\r\n", 431},
		{"large head without an end", "GET /" + strings.Repeat("a", 1100), 431},
	}
	for _, tc := range tests {
		for _, before := range []string{"", ok + "\r\n"} { // on a fresh and on a kept connection
			c := dial(t, f)
			c.send(before + tc.sent)
			if before != "" {
				c.expect("GET / ")
				<-handled
			}
			resp, body := c.answer("GET")
			if resp.StatusCode != tc.status || !resp.Close || len(resp.Header.Get("X-Request-Id")) != 32 || body == "" || resp.Header.Get("Date") == "" {
				t.Errorf("%s: %d %v %q, want %d, closing, with an id", tc.name, resp.StatusCode, resp.Header, body, tc.status)
			}
			if tc.status == 405 && resp.Header.Get("Allow") == "" {
				t.Errorf("%s: no Allow field", tc.name)
			}
			c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			if rest := c.closed(); rest != "" {
				t.Errorf("%s: after the refusal: %q", tc.name, rest)
			}
		}
	}
	select {
	case h := <-handled:
		t.Errorf("the handler saw %q", h)
	default:
	}
	var out bytes.Buffer
	registry.WritePrometheus(&out)
	for _, want := range []string{
		fmt.Sprintf(`lb_rejected_requests_total{reason="bad_request"} %d`, 2*(len(tests)-2)),
		`lb_rejected_requests_total{reason="header_size"} 4`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, grep(out.String(), "rejected"))
		}
	}
}

func grep(text, word string) string {
	found := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found += line
		}
	}
	return found
}

// A refusal of HEAD has no body, and the one after a HEAD that went well has one.
func TestRefusalOfHead(t *testing.T) {
	f := start(t, Options{Limits: Limits{HeaderSize: 1024}})
	for request, status := range map[string]int{
		"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n": 417,
		"HEAD / HTTP/1.1\nHost: a\r\n\r\n":                400,
		"\r\nHEAD / HTTP/1.1\r\nHost: a\n":                400,
		"HEAD /" + strings.Repeat("a", 1100):              431,
	} {
		c := dial(t, f)
		c.send(request)
		resp, _ := c.answer("HEAD")
		c.CloseWriteNow()
		if rest := c.closed(); resp.StatusCode != status || rest != "" || resp.ContentLength <= 0 {
			t.Errorf("%.40q: %d, Content-Length %d, then %q", request, resp.StatusCode, resp.ContentLength, rest)
		}
	}
}

func (c *client) CloseWriteNow() { c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// A body over the limit is for the handler to refuse; it can read nothing of it, and sends no 100 by trying.
func TestBodyOverTheLimit(t *testing.T) {
	f := start(t, Options{Limits: Limits{BodySize: 10}, Handler: refuseLarge(t)})
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		c := dial(t, f)
		for _, length := range []int{10, 11} {
			status := map[int]int{10: 204, 11: 413}[length]
			c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n", expect, length) + strings.Repeat("x", length))
			if resp, _ := c.answer("POST"); resp.StatusCode != status {
				t.Errorf("%d bytes: %d, want %d", length, resp.StatusCode, status)
			}
		}
		c.CloseWriteNow()
		if rest := c.closed(); rest != "" {
			t.Errorf("%q after the refusal", rest)
		}
	}
}

// refuseLarge answers 413 to a body over the limit, else 204.
func refuseLarge(t *testing.T) Handler {
	return func(c *Conn) {
		b, err := io.ReadAll(c.Body())
		if c.BodyTooLarge() != (err == ErrBodyTooLarge) || err != nil && len(b) > 0 {
			t.Errorf("too large: %v; %d bytes were read, %v", c.BodyTooLarge(), len(b), err)
		}
		if err == nil {
			reply(c, []byte("HTTP/1.1 204 No Content\r\n\r\n"), nil)
			return
		}
		c.EndAfter()
		reply(c, []byte("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), nil)
	}
}

// The client hears of a refusal although it is still sending: the answer is not lost in a reset.
func TestRefusalReachesAClientThatSends(t *testing.T) {
	f := start(t, Options{Limits: Limits{BodySize: 1000}, Handler: refuseLarge(t)})
	c := dial(t, f)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	piece := strings.Repeat("x", 100_000)
	for range 10 {
		c.send(piece)
	}
	if resp, _ := c.answer("POST"); resp.StatusCode != 413 {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestHeaderTimeout(t *testing.T) {
	f := start(t, Options{Limits: Limits{HeaderTimeout: 50 * time.Millisecond}})
	c := dial(t, f)
	if got := c.closed(); got != "" {
		t.Errorf("a silent connection got %q", got)
	}
	c = dial(t, f)
	c.send("GET / HTTP/1.1\r\nHo")
	if resp, _ := c.answer("GET"); resp.StatusCode != 408 || !resp.Close {
		t.Errorf("half a head: %d", resp.StatusCode)
	}
	// A client that sends now and then does not renew the time of the whole head.
	c = dial(t, f)
	began := time.Now()
	for b := 0; time.Since(began) < patience; b++ {
		if _, err := io.WriteString(c, "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[b%30:b%30+1]); err != nil {
			break
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := c.r.Peek(1); err == nil {
			break
		}
	}
	c.SetDeadline(time.Now().Add(patience))
	if resp, _ := c.answer("GET"); resp.StatusCode != 408 && resp.StatusCode != 400 {
		t.Errorf("drip: %d", resp.StatusCode)
	}
}

func TestIdleTimeout(t *testing.T) {
	f := start(t, Options{Limits: Limits{IdleTimeout: 50 * time.Millisecond}})
	c := dial(t, f)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	if got := c.closed(); got != "" {
		t.Errorf("an idle connection got %q", got)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		switch string(c.Request().Target) {
		case "/before":
			panic("before")
		case "/within":
			reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), nil)
			panic("within")
		case "/nothing":
			return
		}
		echo(c)
	}})
	for _, path := range []string{"/before", "/nothing"} {
		c := dial(t, f)
		c.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, _ := c.answer("GET"); resp.StatusCode != 500 || !resp.Close {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	c := dial(t, f)
	c.send("GET /within HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil {
			t.Errorf("an answer broken off passed for whole: %q", body)
		}
	}
	c = dial(t, f)
	c.send(ok + "\r\n")
	c.expect("GET / ")
}
