package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lb/internal/lbtest"
)

// decoder returns a reader that takes a coding off.
func decoder(t testing.TB, name string, r io.Reader) io.Reader {
	t.Helper()
	switch name {
	case "":
		return r
	case "br":
		return brotli.NewReader(r)
	case "gzip":
		d, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return d
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	}
	t.Fatalf("there is no coding %q", name)
	return nil
}

// plain returns the body of a response without its coding.
func plain(t testing.TB, r lbtest.Response) string {
	t.Helper()
	body, err := io.ReadAll(decoder(t, r.Field("Content-Encoding"), strings.NewReader(r.Body)))
	if err != nil {
		t.Errorf("the body cannot be decoded: %v", err)
	}
	return string(body)
}

// compressing is proxyTo for a route with compress.
func compressing(compress, backend string) string {
	return strings.Replace(proxyTo("", backend), "    proxy {", compress+"\n    proxy {", 1)
}

// TestCompress: which responses are compressed, and what becomes of their fields.
func TestCompress(t *testing.T) {
	body := compressible(5000)
	html := "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5000\r\n"
	for _, c := range []struct {
		name, request, head string // the head of the response without its blank line
		coding, vary        string
		fields              string // all others, but for the length and what differs from run to run
	}{
		{"zstd", "GET / HTTP/1.1\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n", html, "zstd", "Accept-Encoding", ""},
		{"br", "GET / HTTP/1.1\r\nAccept-Encoding: gzip, br\r\n", html, "br", "Accept-Encoding", ""},
		{"gzip", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html, "gzip", "Accept-Encoding", ""},
		{"weights", "GET / HTTP/1.1\r\nAccept-Encoding: gzip;q=0.5\r\nAccept-Encoding: br;q=0.4, zstd;q=0\r\n", html, "gzip", "Accept-Encoding", ""},
		{"POST", "POST / HTTP/1.1\r\nContent-Length: 0\r\nAccept-Encoding: gzip\r\n", html, "gzip", "Accept-Encoding", ""},
		{"an error", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", strings.Replace(html, "200 OK", "500 E", 1), "gzip", "Accept-Encoding", ""},
		{"fields", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n",
			html + "ETag: \"a\"\r\nVary: Cookie\r\nX-Own: 1\r\nAccept-Ranges: bytes\r\nVary: Origin\r\nCache-Control: public\r\n",
			"gzip", "Cookie, Origin, Accept-Encoding", "X-Own: 1|Cache-Control: public|ETag: W/\"a\""},
		{"a weak tag", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html + "ETag: W/\"a\"\r\nVary: accept-encoding\r\n",
			"gzip", "accept-encoding", "ETag: W/\"a\""},
		{"Vary of all", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html + "Vary: *\r\n", "gzip", "*", ""},

		{"none accepted", "GET / HTTP/1.1\r\n", html + "ETag: \"a\"\r\nAccept-Ranges: bytes\r\n", "", "Accept-Encoding",
			"ETag: \"a\"|Accept-Ranges: bytes"},
		{"none known", "GET / HTTP/1.1\r\nAccept-Encoding: deflate, gzip;q=0\r\n", html, "", "Accept-Encoding", ""},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n", html, "", "Accept-Encoding", ""},
		{"refused by the client", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nCache-Control: no-cache, no-transform\r\n", html, "", "Accept-Encoding", ""},
		{"refused by the backend", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html + "Cache-Control: private,No-Transform\r\n", "", "",
			"Cache-Control: private,No-Transform"},
		{"encoded", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html + "Content-Encoding: x\r\n", "x", "", ""},
		{"a digest", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", html + "Repr-Digest: sha-256=:a:\r\n", "", "", "Repr-Digest: sha-256=:a:"},
		{"a part", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nRange: bytes=0-4999\r\n",
			strings.Replace(html, "200 OK", "206 P", 1) + "Content-Range: bytes 0-4999/6000\r\n", "", "", "Content-Range: bytes 0-4999/6000"},
		{"another type", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", strings.Replace(html, "text/html; charset=utf-8", "image/png", 1), "", "", ""},
		{"gRPC", "POST / HTTP/1.1\r\nContent-Length: 0\r\nAccept-Encoding: gzip\r\n",
			strings.Replace(html, "text/html; charset=utf-8", "application/grpc+json", 1), "", "", ""},
		{"no type", "GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n", "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5000\r\n", "", "", ""},
	} {
		t.Run(name(c.name), func(t *testing.T) {
			b := lbtest.NewBackend(t, lbtest.Respond(c.head+"\r\n"+body))
			lb := start(t, compressing("compress = true", b.Addr))
			conn := lb.dial()
			conn.Send(c.request + "Host: a\r\n\r\n")
			r := conn.ReadResponse("GET")
			if got := r.Field("Content-Encoding"); got != c.coding {
				t.Fatalf("Content-Encoding %q\n%s", got, r.Head)
			}
			if got := r.Field("Vary"); got != c.vary {
				t.Errorf("Vary %q, want %q", got, c.vary)
			}
			compressed := c.coding != "" && c.coding != "x"
			if compressed && plain(t, r) != body || !compressed && r.Body != body {
				t.Errorf("%s%.100q", r.Head, r.Body)
			}
			if compressed && len(r.Body) > len(body)/3 {
				t.Errorf("%d bytes", len(r.Body))
			}
			lines := strings.Split(without(r.Head, "Content-Length", "Transfer-Encoding", "Content-Encoding", "Vary", "X-Request-Id", "Date",
				"Content-Type", "Connection"), "\r\n")
			if got := strings.Trim(strings.Join(lines[1:], "|"), "|"); got != c.fields {
				t.Errorf("fields %q, want %q", got, c.fields)
			}
			if (r.Field("Content-Length") == "") == (r.Field("Transfer-Encoding") == "") {
				t.Errorf("framing: %s", r.Head)
			}
		})
	}
}

// name makes the name of a test.
func name(s string) string { return strings.ReplaceAll(s, " ", "_") }

// TestCompressHead: the response to HEAD has the fields of the one to GET.
func TestCompressHead(t *testing.T) {
	body := compressible(5000)
	for _, length := range []string{"Content-Length: 5000\r\n", "Transfer-Encoding: chunked\r\n"} {
		b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
			for {
				head, _ := c.ReadRequest()
				if head == "" {
					return
				}
				c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nETag: \"a\"\r\n" + length + "\r\n")
				if strings.HasPrefix(head, "GET") {
					c.Send(map[bool]string{true: body, false: fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)}[length[0] == 'C'])
				}
			}
		})
		lb := start(t, compressing("compress = true", b.Addr))
		c := lb.dial()
		for range 2 {
			c.Send("HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
			r := c.ReadResponse("HEAD")
			if r.Field("Content-Encoding") != "br" || r.Field("Vary") != "Accept-Encoding" || r.Field("ETag") != `W/"a"` || r.Field("Content-Length") != "" {
				t.Errorf("%s", r.Head)
			}
			c.Send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
			if r := c.ReadResponse("GET"); plain(t, r) != body || r.Field("Content-Encoding") != "br" {
				t.Errorf("%s", r.Head)
			}
		}
	}
}

// TestCompressNotModified: a 304 confirms the tag under which the client has the compressed response.
func TestCompressNotModified(t *testing.T) {
	b := lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"))
	lb := start(t, compressing("compress = true", b.Addr))
	for sent, want := range map[string]string{`W/"a"`: `W/"a"`, `"b", W/"a"`: `W/"a"`, `"a"`: `"a"`, `W/"b"`: `"a"`} {
		r := lb.get("/", "Accept-Encoding: gzip", "If-None-Match: "+sent)
		if r.Status() != 304 || r.Field("ETag") != want || (r.Field("Vary") != "") != (want[0] == 'W') {
			t.Errorf("%s: %s", sent, r.Head)
		}
	}
}

// TestCompressBlock: the types, the size and the level of a block hold.
func TestCompressBlock(t *testing.T) {
	body := compressible(600)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			path := strings.Fields(head)[1]
			size, _ := strconv.Atoi(path[strings.LastIndexByte(path, '/')+1:])
			c.Send("HTTP/1.1 200 OK\r\nContent-Type: " + path[1:strings.LastIndexByte(path, '/')] + "\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + body[:size])
		}
	})
	lb := start(t, compressing("compress {\n  types = [\"text/html\", \"image/*\", \"*+x\"]\n  min_size = 500\n  level = 6\n}\n", b.Addr))
	for path, want := range map[string]string{
		"/text/html/600": "gzip", "/image/png/500": "gzip", "/a/b+x/600": "gzip", "/text/html/499": "", "/text/css/600": "", "/image/png/0": "",
	} {
		r := lb.get(path, "Accept-Encoding: gzip")
		if got := r.Field("Content-Encoding"); got != want || !strings.HasPrefix(body, plain(t, r)) {
			t.Errorf("%s: %q %s", path, got, r.Head)
		}
	}
	if !strings.Contains(lb.admin("GET", "/api/v1/explain?url=http://a/"), "level 6") {
		t.Error("lb explain does not know it")
	}
}

// TestCompressPrompt: each event of a stream reaches the client before the next one exists, and so does the beginning of a page whose end
// takes its time.
func TestCompressPrompt(t *testing.T) {
	for _, media := range []string{"text/event-stream", "text/html"} {
		for _, coding := range []string{"zstd", "br", "gzip"} {
			t.Run(name(media[5:]+" "+coding), func(t *testing.T) {
				next := make(chan string)
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadRequest()
					c.Send("HTTP/1.1 200 OK\r\nContent-Type: " + media + "\r\nTransfer-Encoding: chunked\r\n\r\n")
					for event := range next {
						c.Send(fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
					}
					c.Send("0\r\n\r\n")
				})
				lb := start(t, compressing("compress = true", b.Addr))
				c := lb.dial()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + coding + "\r\n\r\n")
				head := c.ReadHead()
				if !strings.Contains(head, "Content-Encoding: "+coding) || !strings.Contains(head, "Transfer-Encoding: chunked") {
					t.Fatalf("%s", head)
				}
				read, write := io.Pipe()
				defer read.Close()
				go func() {
					body := chunks{c: c}
					_, err := io.Copy(write, &body)
					write.CloseWithError(err)
				}()
				var r io.Reader
				for i := range 3 {
					event := fmt.Sprintf("data: event %d\n\n", i)
					next <- event
					if r == nil {
						r = decoder(t, coding, read)
					}
					got := make([]byte, len(event))
					if _, err := io.ReadFull(r, got); err != nil || string(got) != event {
						t.Fatalf("%q %v", got, err)
					}
				}
				close(next)
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
					t.Errorf("%q %v", rest, err)
				}
			})
		}
	}
}

// chunks reads a chunked body as it comes.
type chunks struct {
	c    *lbtest.Conn
	left int
}

func (b *chunks) Read(p []byte) (int, error) {
	line := func() string {
		var s []byte
		for !bytes.HasSuffix(s, []byte("\r\n")) {
			one := make([]byte, 1)
			if _, err := io.ReadFull(b.c, one); err != nil {
				return ""
			}
			s = append(s, one...)
		}
		return string(s[:len(s)-2])
	}
	if b.left == 0 {
		n, err := strconv.ParseInt(line(), 16, 32)
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if n == 0 {
			return 0, io.EOF
		}
		b.left = int(n)
	}
	n, err := b.c.Read(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 && err == nil {
		line()
	}
	return n, err
}

// TestCompressLarge: a large body arrives whole, in any pieces, at a client with small windows, with and without a buffer, over both
// protocols, with its trailers.
func TestCompressLarge(t *testing.T) {
	body := compressible(300 << 10)
	noise := make([]byte, 300<<10) // which does not become smaller
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	body += string(noise)
	for _, buffer := range []string{"", "buffer_response = \"8MiB\"\n"} {
		for _, piece := range []int{1000, 1 << 20} {
			b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
				for {
					if head, _ := c.ReadRequest(); head == "" {
						return
					}
					c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
					var all strings.Builder
					for rest := body; len(rest) > 0; {
						p := rest[:min(piece, len(rest))]
						fmt.Fprintf(&all, "%x\r\n%s\r\n", len(p), p)
						rest = rest[len(p):]
					}
					all.WriteString("0\r\nX-Sum: 1\r\n\r\n")
					c.Send(all.String())
				}
			})
			lb := start(t, plainHTTP2+strings.Replace(compressing("compress = true", b.Addr), "pool = \"app\"\n", "pool = \"app\"\n"+buffer, 1))
			for _, coding := range []string{"zstd", "br", "gzip"} {
				c := lb.dial()
				_ = c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
				c.Send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + coding + "\r\n\r\n")
				r := c.ReadResponse("GET")
				if r.Err != nil || r.Field("Content-Encoding") != coding || plain(t, r) != body {
					t.Errorf("%q %d %s: %v, %d bytes", buffer, piece, coding, r.Err, len(r.Body))
				}
			}
			h := lb.dialHTTP2()
			h.Get(1, "/", "accept-encoding", "gzip")
			s := h.Await(1)
			got, err := io.ReadAll(decoder(t, s.Field("content-encoding"), strings.NewReader(string(s.Body))))
			if s.Field("content-encoding") != "gzip" || err != nil || string(got) != body || s.Trailer("x-sum") != "1" {
				t.Errorf("HTTP/2: %q, %v, %d bytes, trailer %q", s.Field("content-encoding"), err, len(got), s.Trailer("x-sum"))
			}
		}
	}
}

// TestCompressEnds: a response that the backend does not finish is cut, and clients that disconnect keep no encoder.
func TestCompressEnds(t *testing.T) {
	part := compressible(100_000)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		c.ReadRequest()
		c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200000\r\n\r\n" + part)
		if c.N%2 == 0 {
			c.ReadHead() // until the client has disconnected
		}
	})
	lb := start(t, compressing("compress = true", b.Addr))
	for range 140 { // twice that is more than there may be encoders
		if r := lb.get("/", "Accept-Encoding: gzip"); r.Err == nil && r.Status() == 200 {
			t.Fatalf("a part is taken for the whole: %s", r.Head)
		} else if r.Field("Content-Encoding") != "gzip" {
			t.Fatalf("there is no encoder any more: %s", r.Head)
		}
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
		if !strings.Contains(c.ReadHead(), "gzip") {
			t.Fatal("there is no encoder any more")
		}
		c.Reset()
	}
}
