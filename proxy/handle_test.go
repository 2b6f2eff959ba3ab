package proxy

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"lb/message"
)

// TestHandle: a fasthttp handler sees the request as the client sent it, and its response is sent.
func TestHandle(t *testing.T) {
	r := &message.Request{
		Method: []byte("POST"), Target: []byte("/a%2Fb?c=d"), Version: "HTTP/1.1", Length: 5, Announced: true,
		Fields: message.Lines([]byte("Host: clock.example\r\nCookie: id=42; x=y\r\nContent-Length: 5\r\nX-Long: "+strings.Repeat("l", 2*contextHead)+"\r\n"), nil),
	}
	c := contexts.Get().(*requestContext)
	for range 2 {
		if err := c.fill(r); err != nil {
			t.Fatal(err)
		}
		ctx := &c.ctx
		if string(ctx.Method()) != "POST" || string(ctx.RequestURI()) != "/a%2Fb?c=d" || string(ctx.Host()) != "clock.example" || string(ctx.QueryArgs().Peek("c")) != "d" ||
			string(ctx.Request.Header.Cookie("id")) != "42" || len(ctx.Request.Header.Peek("X-Long")) != 2*contextHead {
			t.Errorf("%s %s", ctx.Method(), ctx.URI())
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
		for _, f := range c.fields(&ctx.Response, 4) {
			got += string(f.Line)
		}
		if want := "Content-Type: text/x\r\nSet-Cookie: k=v\r\nX-Two: 1\r\nX-Two: 2\r\nContent-Length: 4\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		c.release()
		c = contexts.Get().(*requestContext)
	}
	if err := c.fill(&message.Request{Method: []byte("GET"), Target: []byte("/"), Version: "HTTP/1.1", Fields: r.Fields[:1]}); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{200: "Content-Length: 0\r\n", 204: "", 304: ""} {
		got := ""
		c.ctx.SetStatusCode(status)
		for _, f := range c.fields(&c.ctx.Response, 0) {
			got += string(f.Line)
		}
		if got != want || mayHaveBody(status) != (status == 200) {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

// BenchmarkHandle measures a response by a fasthttp handler.
func BenchmarkHandle(b *testing.B) {
	r := &message.Request{
		Method: []byte("GET"), Target: []byte("/some/path?query=1"), Version: "HTTP/1.1",
		Fields: message.Lines([]byte("Host: clock.example\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: id=42; x=y\r\n"), nil),
	}
	f := NewFixed(200, "text/plain", "pong")
	b.ReportAllocs()
	for b.Loop() {
		c := contexts.Get().(*requestContext)
		if err := c.fill(r); err != nil {
			b.Fatal(err)
		}
		f.handle(&c.ctx)
		if len(c.fields(&c.ctx.Response, int64(len(c.ctx.Response.Body())))) != 2 {
			b.Fatal("fields")
		}
		c.release()
	}
}
