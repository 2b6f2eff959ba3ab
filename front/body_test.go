package front

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// bodyError reads the body and hands on the error.
func bodyError(got chan<- error) Handler {
	return func(c *Conn) {
		_, err := io.Copy(io.Discard, c.Body())
		got <- err
		reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), nil)
		c.EndAfter()
	}
}

func TestBodyErrors(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	got := make(chan error, 1)
	f := start(t, Options{Handler: bodyError(got), Limits: Limits{BodySize: 1 << 20, BodyIdleTimeout: 50 * time.Millisecond}})
	for _, tc := range []struct {
		name, sent string
		closing    bool
		want       error
	}{
		{"whole", chunked + "3\r\nabc\r\n0\r\n\r\n", false, nil},
		{"bare LF in a chunk line", chunked + "3\nabc\r\n0\r\n\r\n", false, ErrBodyMalformed},
		{"no CRLF after a chunk", chunked + "3\r\nabcd\r\n0\r\n\r\n", false, ErrBodyMalformed},
		{"long extension", chunked + "3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n", false, ErrBodyMalformed},
		{"much framing for little payload", chunked + strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 1000), false, ErrBodyMalformed},
		{"chunks of one byte", chunked + strings.Repeat("1\r\na\r\n", 50_000) + "0\r\n\r\n", false, nil},
		{"too large", chunked + "100001\r\n" + strings.Repeat("a", 1<<20+1) + "\r\n0\r\n\r\n", false, ErrBodyTooLarge},
		{"stalled", chunked + "3\r\nab", false, ErrBodyTimeout},
		{"stalled, fixed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", false, ErrBodyTimeout},
		{"ended early", chunked + "3\r\nabc\r\n0\r\n", true, ErrBodyShort},
		{"ended early, fixed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", true, ErrBodyShort},
	} {
		c := dial(t, f)
		go func() {
			io.WriteString(c, tc.sent)
			if tc.closing {
				c.CloseWriteNow()
			}
		}()
		if err := <-got; !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		c.Close()
	}
}

// A slow upload that moves is not cut: only the time between two reads counts.
func TestSlowUpload(t *testing.T) {
	f := start(t, Options{Limits: Limits{BodyIdleTimeout: 400 * time.Millisecond}})
	c := dial(t, f)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		<-tick.C
		c.send("x")
	}
	c.expect("POST / xxxxxxxxxx")
}

// TestTrickledBody: a body that moves, but more slowly than the least rate, is cut after a window of waiting.
func TestTrickledBody(t *testing.T) {
	got := make(chan error, 1)
	f := start(t, Options{Handler: bodyError(got), Limits: Limits{BodyMinRate: 1000, RateWindow: 200 * time.Millisecond}})
	c := dial(t, f)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(c, "x")
			continue
		case err := <-got:
			if !errors.Is(err, ErrBodyTimeout) {
				t.Errorf("the body ended with %v", err)
			}
		}
		break
	}
}

// TestLimitsOfAHurriedBody: the limits of time of a body hold for one whose reader never waits for long.
func TestLimitsOfAHurriedBody(t *testing.T) {
	for name, limits := range map[string]Limits{
		"stalled":  {BodyIdleTimeout: 200 * time.Millisecond},
		"trickled": {BodyMinRate: 100_000, RateWindow: 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			f := start(t, Options{Limits: limits, Handler: func(c *Conn) {
				piece := make([]byte, 100)
				for {
					c.HurryBody(time.Now().Add(2 * time.Millisecond))
					if _, err := c.Body().Read(piece); err != nil && err != os.ErrDeadlineExceeded {
						got <- err
						c.Abort()
						return
					}
				}
			}})
			c := dial(t, f)
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			late := time.After(20 * time.Second)
			for {
				select {
				case <-tick.C:
					if name == "trickled" {
						_, _ = io.WriteString(c, "x")
					}
					continue
				case err := <-got:
					if !errors.Is(err, ErrBodyTimeout) {
						t.Errorf("the body ended with %v", err)
					}
				case <-late:
					t.Error("the body does not end")
				}
				break
			}
		})
	}
}

// TestShortBodiesOverALongWay: each body of a connection is measured by itself. Short ones that each come a little after
// their head, as over a long way, are not slow together.
func TestShortBodiesOverALongWay(t *testing.T) {
	f := start(t, Options{Limits: Limits{BodyMinRate: 1000, RateWindow: 500 * time.Millisecond}})
	c := dial(t, f)
	way := time.NewTicker(50 * time.Millisecond)
	defer way.Stop()
	for range 15 {
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
		<-way.C
		c.send("ab")
		c.expect("POST / ab")
	}
}

func TestContinueIsSentWhenTheBodyIsRead(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		if string(c.Request().Target) == "/no" {
			if !c.BodyPending() {
				t.Error("the body is not pending")
			}
			reply(c, []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), nil)
			c.EndAfter()
			return
		}
		echo(c)
	}})
	head := " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	c := dial(t, f)
	c.send("PUT /yes" + head)
	if line, _ := c.r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("interim answer %q", line)
	}
	c.r.ReadString('\n')
	c.send("ab")
	c.expect("PUT /yes ab")
	// A client that does not wait needs no 100.
	c.send("PUT /yes" + head + "cd")
	c.expect("PUT /yes cd")
	c.send("PUT /no" + head)
	if resp, _ := c.answer("PUT"); resp.StatusCode != 403 {
		t.Errorf("%d, want the final answer at once", resp.StatusCode)
	}
	c.CloseWriteNow()
	if rest := c.closed(); rest != "" {
		t.Errorf("after a final answer instead of 100: %q", rest)
	}
}

// What the handler leaves of a body is never taken for a request.
func TestBodyLeftByTheHandler(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), c.Request().Method[:2])
	}})
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	c := dial(t, f)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n" + hidden + "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n" + hidden + "\r\n0\r\n\r\n" + ok + "\r\n")
	c.expect("PO")
	c.expect("PU")
	c.expect("GE")
	// A malformed rest ends the connection.
	c.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden + hidden)
	c.expect("PU")
	c.CloseWriteNow()
	if rest := c.closed(); rest != "" {
		t.Errorf("a hidden request was responded: %q", rest)
	}
}

func TestStopBody(t *testing.T) {
	f := start(t, Options{Handler: func(c *Conn) {
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c.Body())
			ended <- err
		}()
		c.StopBody()
		if err := <-ended; !errors.Is(err, ErrBodyStopped) {
			t.Errorf("body: %v", err)
		}
		reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil) // the client sends the rest only now
	}})
	c := dial(t, f)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
	c.expect("")
	c.send("cde" + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
	c.expect("")
}

// TestHurriedBody: a read that would wait beyond the time set fails, and nothing is lost.
func TestHurriedBody(t *testing.T) {
	hurried := make(chan bool)
	f := start(t, Options{Handler: func(c *Conn) {
		c.HurryBody(time.Now().Add(10 * time.Millisecond))
		var body []byte
		buf := make([]byte, 100)
		for {
			n, err := c.Body().Read(buf)
			body = append(body, buf[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.HurryBody(time.Time{})
				hurried <- true
				continue
			}
			if err != nil {
				break
			}
		}
		reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), body)
	}})
	for _, parts := range [][2]string{{"Content-Length: 10\r\n\r\nhello", "world"}, {"Transfer-Encoding: chunked\r\n\r\na\r\nhel", "loworld\r\n0\r\n\r\n"}} {
		c := dial(t, f)
		for range 2 { // the connection goes on
			c.send("POST / HTTP/1.1\r\nHost: a\r\n" + parts[0])
			<-hurried
			c.send(parts[1])
			c.expect("helloworld")
		}
	}
}
