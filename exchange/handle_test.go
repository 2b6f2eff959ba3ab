package exchange

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"lb/message"
)

// TestHandle: a handler that is written for fasthttp sees the request as it came, and what it leaves of a response is one.
func TestHandle(t *testing.T) {
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7}
	r := &message.Request{
		Method: []byte("POST"), Target: []byte("/a%2Fb?c=d"), Version: "HTTP/1.1", Length: 5, Announced: true,
		Fields: message.Lines([]byte("Host: clock.example\r\nCookie: id=42; x=y\r\nContent-Length: 5\r\nX-Long: "+strings.Repeat("l", 2*contextHead)+"\r\n"), nil),
	}
	c := contexts.Get().(*requestContext)
	for range 2 {
		if err := c.fill(r, strings.NewReader("hello"), remote); err != nil {
			t.Fatal(err)
		}
		ctx := &c.ctx
		body, err := io.ReadAll(ctx.RequestBodyStream())
		if string(ctx.Method()) != "POST" || string(ctx.RequestURI()) != "/a%2Fb?c=d" || string(ctx.Host()) != "clock.example" || string(ctx.QueryArgs().Peek("c")) != "d" ||
			string(ctx.Request.Header.Cookie("id")) != "42" || len(ctx.Request.Header.Peek("X-Long")) != 2*contextHead || string(body) != "hello" || err != nil || ctx.RemoteAddr() != net.Addr(remote) {
			t.Errorf("%s %s from %v, %q, %v", ctx.Method(), ctx.URI(), ctx.RemoteAddr(), body, err)
		}
		ctx.SetStatusCode(fasthttp.StatusTeapot)
		ctx.SetContentType("text/x")
		ctx.Response.Header.Add("X-Two", "1")
		ctx.Response.Header.Add("X-Two", "2")
		ctx.Response.Header.Set("Transfer-Encoding", "chunked")
		ctx.Response.Header.Set("Date", "yesterday")
		var cookie fasthttp.Cookie
		cookie.SetKey("k")
		cookie.SetValue("v")
		ctx.Response.Header.SetCookie(&cookie)
		ctx.SetBodyString("body")
		got := ""
		for _, f := range c.fields(ctx.Response.StatusCode(), 4) {
			got += string(f.Line)
		}
		if want := "Content-Type: text/x\r\nSet-Cookie: k=v\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 4\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		c.release()
		c = contexts.Get().(*requestContext)
	}
	if err := c.fill(&message.Request{Method: []byte("GET"), Target: []byte("/"), Version: "HTTP/1.1", Fields: r.Fields[:1]}, nil, nil); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{200: "Content-Length: 0\r\n", 204: "", 304: "Content-Length: 0\r\n"} {
		got := ""
		for _, f := range c.fields(status, 0) {
			got += string(f.Line)
		}
		if got != want || mayHaveBody(status) != (status == 200) {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

// BenchmarkHandle is what it costs to have a handler that is written for fasthttp respond.
func BenchmarkHandle(b *testing.B) {
	r := &message.Request{
		Method: []byte("GET"), Target: []byte("/some/path?query=1"), Version: "HTTP/1.1",
		Fields: message.Lines([]byte("Host: clock.example\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: id=42; x=y\r\n"), nil),
	}
	f := NewFixed(200, "text/plain", "pong")
	b.ReportAllocs()
	for b.Loop() {
		c := contexts.Get().(*requestContext)
		if err := c.fill(r, nil, nil); err != nil {
			b.Fatal(err)
		}
		f.handle(&c.ctx)
		if len(c.fields(200, int64(len(c.ctx.Response.Body())))) != 2 {
			b.Fatal("fields")
		}
		c.release()
	}
}
