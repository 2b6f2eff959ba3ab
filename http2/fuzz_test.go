package http2

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/http1"
	"lb/internal/fieldsection"
	"lb/internal/lbtest"
	"lb/message"
)

// FuzzRequest: whatever fields a header block has, a request that is made of them is one request of HTTP/1 to every parser, with the same method, target
// and host. A field is a line of the input: a name, a tab or an equals sign, and a value; "\r", "\n" and "\0" stand for those bytes.
func FuzzRequest(f *testing.F) {
	begin := ":method=GET\n:scheme=http\n:path=/\n:authority=a.test\n"
	for _, s := range []string{
		begin, begin + "cookie=a\nx=y\ncookie=b\n", ":method=POST\n:scheme=https\n:path=/a?b\n:authority=[::1]:80\ncontent-length=3\n",
		":path=*\n:method=OPTIONS\n:scheme=http\nhost=a\n", begin + "host=A.test\n", begin + "transfer-encoding=chunked\n", begin + "a=b\\r\\nc: d\n",
		begin + "trailer=a, host\nte=trailers\n", ":method=CONNECT\n:protocol=websocket\n:scheme=http\n:path=/\n:authority=a\n", begin + "expect=100-continue\n",
		":method=GET / HTTP/1.1\\r\\nx: y\n:scheme=http\n:path=/\n:authority=a\n", begin + "content-length =3\n", begin + "content_length=3\nx-forwarded-for=1\n",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	limits := fieldsection.Limits{HeaderSize: 16 << 10, HeaderFields: 100}
	unescape := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00")
	f.Fuzz(func(t *testing.T, text string, ended bool) {
		var h fieldsection.Section
		h.Begin(limits, nil, false)
		for line := range strings.SplitSeq(text, "\n") {
			if name, value, ok := strings.Cut(line, "="); ok {
				h.Add(unescape.Replace(name), unescape.Replace(value))
			}
		}
		var r message.Request
		if h.Request(&r, version, ended) != nil || r.Length > 1<<16 {
			return
		}
		out := message.Request{Method: r.Method, Target: r.Target, Length: r.Length, Announced: r.Announced, Upgrade: r.Upgrade}
		for _, field := range r.Fields {
			if !field.Hop && field.Kind != message.ContentLengthField && field.Kind != message.Expect {
				out.Fields = append(out.Fields, field)
			}
		}
		b := string(http1.AppendRequest(nil, &out))
		body, framed := strings.Repeat("x", int(max(r.Length, 0))), ""
		if framed = body; r.Length < 0 {
			body, framed = "abc", "3\r\nabc\r\n0\r\n\r\n"
		}
		want := lbtest.Request{Method: string(r.Method), Target: string(r.Target), Host: string(r.Authority), Chunked: r.Length < 0, Body: body}
		next := lbtest.Request{Method: "POST", Target: "/next", Host: "next", Body: "next"}
		for _, reader := range lbtest.Readers() {
			got, err := reader.Read([]byte(b + framed + "POST /next HTTP/1.1\r\nHost: next\r\nContent-Length: 4\r\n\r\nnext"))
			if err != nil && len(got) == 0 && lbtest.Stricter(err) {
				continue
			}
			if err != nil || len(got) != 2 || got[0] != want || got[1] != next {
				t.Fatalf("%q became %q: %+v; %s reads %+v, %v", text, b, want, reader.Name, got, err)
			}
		}
	})
}

// FuzzFrames: whatever a client sends, the connection ends when the client closes it, all of its streams end with it, and all
// borrowed buffers are returned.
func FuzzFrames(f *testing.F) {
	record := func(frames func(c *xhttp2.Framer, block func(fields ...string) []byte)) {
		var b strings.Builder
		framer := xhttp2.NewFramer(&b, nil)
		framer.AllowIllegalWrites = true
		block := (&lbtest.HTTP2{}).Block
		frames(framer, block)
		f.Add([]byte(b.String()))
	}
	head := []string{":method", "POST", ":scheme", "http", ":path", "/echo", ":authority", "a"}
	record(func(c *xhttp2.Framer, block func(...string) []byte) {
		c.WriteSettings()
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(head...), EndHeaders: true})
		c.WriteData(1, false, []byte("abc"))
		c.WriteDataPadded(1, true, []byte("d"), make([]byte, 3))
		c.WriteWindowUpdate(0, 100)
		c.WritePing(false, [8]byte{})
	})
	record(func(c *xhttp2.Framer, block func(...string) []byte) {
		c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 3})
		b := block(append(head, "priority", "u=1, i")...)
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:5]})
		c.WriteContinuation(1, true, b[5:])
		c.WriteData(1, false, []byte("abcdefgh"))
		c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block("x-sum", "1"), EndHeaders: true, EndStream: true})
		c.WritePriorityUpdate(1, "u=0")
		c.WriteWindowUpdate(1, 4)
		c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
		c.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
	})
	s := startServerOf(f, Limits{HeaderTimeout: time.Minute}, "echo")
	f.Fuzz(func(t *testing.T, frames []byte) {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = io.WriteString(c, Preface)
			_, _ = c.Write(frames)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("the connection has not ended")
		}
		lbtest.Eventually(t, "all streams have ended", func() bool { return s.streams.Load() == 0 && s.open.Load() == 0 })
	})
}
