package http1

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// wantHeld waits until the connections hold so many bytes that were read and not used.
func (s *testServer) wantHeld(n int) {
	s.t.Helper()
	lbtest.Eventually(s.t, fmt.Sprintf("%d bytes are held", n), func() bool { return s.held() == n })
}

// TestPausedHead: wherever in two requests the client pauses, both get their responses.
func TestPausedHead(t *testing.T) {
	const head = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	const all = head + "POST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nxyz"
	for _, secure := range []bool{false, true} {
		s := startServerOver(t, secure, Limits{})
		cuts := []int{0, 1, len("GET /a HTTP/1.1\r\nHo"), len(head) - 1, len(head), len(head) + 2, strings.Index(all, "Content")}
		clients, held := make([]*lbtest.Conn, len(cuts)), 0
		for i, cut := range cuts {
			clients[i] = s.dial(all[:cut])
			held += cut
			if cut >= len(head) {
				held -= len(head)
			}
		}
		s.wantHeld(held)
		for i, c := range clients {
			c.Send(all[cuts[i]:])
			want(t, c, "GET", 200, "GET /a")
			want(t, c, "POST", 200, "xyz")
		}
		s.wantHeld(0)
	}
}

// TestHeadByteByByte: a head whose bytes are sent one at a time, each after the previous one was read.
func TestHeadByteByByte(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := startServerOver(t, secure, Limits{})
		c := s.dial("")
		head := request("/b")
		for i := range head {
			s.wantHeld(i)
			c.Send(head[i : i+1])
		}
		want(t, c, "GET", 200, "GET /b")
	}
}

// TestPausedHeadIsRefused: an invalid head, and its end, are also detected after a pause.
func TestPausedHeadIsRefused(t *testing.T) {
	const begin = "GET / HTTP/1.1\r\n"
	for more, status := range map[string]int{"\n": 400, "a: b\x00": 400, strings.Repeat("x", 6000): 431} {
		s := startServer(t, Limits{HeaderSize: 4000})
		c := s.dial(begin)
		s.wantHeld(len(begin))
		for ; len(more) > 1000; more = more[1000:] {
			c.Send(more[:1000])
		}
		c.Send(more)
		if r := c.ReadResponse("GET"); r.Status() != status {
			t.Errorf("%.20q: %q", more, r.Head)
		}
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%.20q: %q, orderly: %v", more, rest, orderly)
		}
	}
	s := startServer(t, Limits{})
	c := s.dial(begin)
	s.wantHeld(len(begin))
	c.Close()
	lbtest.Eventually(t, "the connection ends", func() bool { return s.open.Load() == 0 })
}

// TestPausedHeadsKeepTheirOwn: the received part of a head stays unchanged during a pause, though other connections use the same
// buffers.
func TestPausedHeadsKeepTheirOwn(t *testing.T) {
	s := startServer(t, Limits{})
	own := func(value string) string { return "GET /own HTTP/1.1\r\nHost: a\r\nX-Own: " + value + "\r\n\r\n" }
	clients, held := make([]*lbtest.Conn, 50), 0
	value := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("x", i), i) }
	for i := range clients {
		second := strings.TrimSuffix(own(value(i)), "\r\n")
		clients[i] = s.dial(own("first") + second)
		want(t, clients[i], "GET", 200, "first")
		held += len(second)
	}
	s.wantHeld(held)
	for range 2 { // perhaps one on each loop
		busy := s.dial("")
		for range 100 {
			busy.Send(own(strings.Repeat("!", 400)))
			want(t, busy, "GET", 200, strings.Repeat("!", 400))
		}
	}
	for i, c := range clients {
		c.Send("\r\n")
		want(t, c, "GET", 200, value(i))
	}
}

// TestPausedBody: wherever a body pauses, the request continues afterwards, and so does the connection.
func TestPausedBody(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := startServerOver(t, secure, Limits{})
		c := s.dial("")
		read := func(n int64) { // waits until so many bytes of the body have been read
			t.Helper()
			lbtest.Eventually(t, "the body is read", func() (ok bool) {
				s.onLoops(func(w *Worker) {
					s.mu.Lock()
					defer s.mu.Unlock()
					for c := range s.conns {
						if c.worker == w && c.stream != nil {
							ok = c.stream.body.payload == n && c.stream.body.waiting
						}
					}
				})
				return ok
			})
		}
		for range 2 {
			c.Send("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
			sent := int64(0)
			for _, piece := range []string{"abc", "d", "efgh"} {
				read(sent)
				c.Send(piece)
				sent += int64(len(piece))
			}
			read(sent)
			c.Send("ijklPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r")
			want(t, c, "PUT", 200, "abcdefghijkl")
			read(0)
			c.Send("\nxyz\r\n0\r\n")
			read(3)
			c.Send("\r\n")
			want(t, c, "POST", 200, "xyz")
		}
	}
}

// TestHeadsOfAllSizes: heads of any size arrive unchanged, in one piece or two, with requests before and after them. Beyond the
// limit they are refused.
func TestHeadsOfAllSizes(t *testing.T) {
	const limit = 16 << 10
	s := startServer(t, Limits{HeaderSize: limit})
	before := "GET /own HTTP/1.1\r\nHost: a\r\nX-Own: before\r\n\r\n"
	after := strings.ReplaceAll(before, "before", "after")
	const frame = "POST /own HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Own: \r\n\r\n"
	for _, size := range []int{1023, 1024, keptHead - 1, keptHead, keptHead + 1, 3 * keptHead, limit - 1, limit, limit + 1} {
		value := strings.Repeat("v", size-len(frame))
		text := strings.Replace(frame, "X-Own: ", "X-Own: "+value, 1)
		for _, cut := range []int{0, 10, 1024, keptHead - 1, keptHead, size - 1} {
			for _, first := range []string{"", before} {
				cut := min(cut, len(text))
				c := s.dial(first + text[:cut])
				if first != "" {
					want(t, c, "GET", 200, "before")
				}
				c.Send(text[cut:] + "xyz" + after)
				if size > limit {
					if r := c.ReadResponse("POST"); r.Status() != 431 {
						t.Errorf("%d bytes: %q", size, r.Head)
					}
				} else if r := want(t, c, "POST", 200, value); r.Field("Connection") != "close" { // the body is not read
					t.Errorf("%q", r.Head)
				}
				c.Close()
			}
		}
	}
}

// TestPipelineOfAllSizes: more pipelined requests than fit into a buffer get their responses in order.
func TestPipelineOfAllSizes(t *testing.T) {
	s := startServer(t, Limits{})
	c := s.dial("")
	var all strings.Builder
	const n = 300
	value := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("x", i*31%(3*keptHead)), i) }
	for i := range n {
		fmt.Fprintf(&all, "GET /own HTTP/1.1\r\nHost: a\r\nX-Own: %s\r\n\r\n", value(i))
	}
	sent := make(chan error, 1)
	go func() { _, err := io.WriteString(c, all.String()); sent <- err }()
	for i := range n {
		want(t, c, "GET", 200, value(i))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestLingeringClose: a client whose request was refused gets the complete response, whatever it sends before it reads that, and
// is disconnected after it has been silent for a while.
func TestLingeringClose(t *testing.T) {
	const bad = "GET / HTTP/1.1\r\n\r\n" // without Host
	for _, secure := range []bool{false, true} {
		s := startServerOver(t, secure, Limits{})
		lingering := func() {
			t.Helper()
			lbtest.Eventually(t, "the connection lingers", func() (all bool) {
				s.onLoops(func(w *Worker) {
					s.mu.Lock()
					defer s.mu.Unlock()
					for c := range s.conns {
						all = all || c.worker == w && c.phase == phaseLingering
					}
				})
				return all
			})
		}
		c := s.dial(bad)
		for range 3 {
			lingering()
			c.Send(strings.Repeat("x", 10<<10))
		}
		if r := c.ReadResponse("GET"); r.Status() != 400 || !strings.HasSuffix(r.Body, "\n") {
			t.Errorf("TLS %v: %q %q %v", secure, r.Head, r.Body, r.Err)
		}
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("TLS %v: %q, orderly: %v", secure, rest, orderly)
		}
		c.Close()
		lbtest.Eventually(t, "the connection ends", func() bool { return s.open.Load() == 0 })

		s.dial(bad)
		lingering()
		lbtest.Eventually(t, "the silent connection ends", func() bool { return s.open.Load() == 0 })
	}
}
