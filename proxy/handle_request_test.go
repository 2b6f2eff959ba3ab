package proxy

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"lb/http1"
	"lb/internal/lbtest"
	"lb/route"
)

// handles are options with an action at the root for each path that begins with one of the names.
func handles(actions map[string]*Handle) options {
	return options{site: func(b *balancer) {
		for path, action := range actions {
			b.site.Paths.Add(&route.Rule[*Route]{Pattern: path, Path: path, Action: &Route{Prefix: path, Action: action}})
		}
	}}
}

// respondBody responds with the body as the handler has it in memory.
func respondBody(ctx *fasthttp.RequestCtx) {
	fmt.Fprintf(ctx, "%d %x", len(ctx.PostBody()), sum(ctx.PostBody()))
}

func sum(p []byte) (n uint32) {
	for _, c := range p {
		n = n*31 + uint32(c)
	}
	return n
}

// echo responds with the body as it is received.
func echo(ctx *fasthttp.RequestCtx) { ctx.SetBodyStream(ctx.RequestBodyStream(), -1) }

// count responds with the received size of a body, and why it ended.
func count(ctx *fasthttp.RequestCtx) {
	n, err := io.Copy(io.Discard, ctx.RequestBodyStream())
	fmt.Fprint(ctx, n, err)
}

func post(target string, lines ...string) string {
	return strings.Replace(get(target, lines...), "GET", "POST", 1)
}

func sized(target, body string) string {
	return post(target, fmt.Sprint("Content-Length: ", len(body))) + body
}

func chunked(target string, pieces ...string) string {
	all := post(target, "Transfer-Encoding: chunked")
	for _, p := range pieces {
		all += fmt.Sprintf("%x\r\n%s\r\n", len(p), p)
	}
	return all + "0\r\n\r\n"
}

// TestHandleBody: a handler gets the body, complete or as a stream, however it arrives, and the connection continues.
func TestHandleBody(t *testing.T) {
	b := start(t, handles(map[string]*Handle{
		"/whole": {Handler: respondBody}, "/echo": {Handler: echo, Stream: true}, "/count": {Handler: count, Stream: true},
	}))
	large := strings.Repeat("0123456789abcdef", 50_000)
	for _, body := range []string{"", "hello", large} {
		for _, piece := range []int{len(body) + 1000, len(body)/20 + 7} {
			c := lbtest.Dial(t, b.address)
			for range 2 {
				requests := sized("/whole", body) + get("/fixed")
				requests += sized("/echo", body) + sized("/count", body) + sized("/whole", body)
				if body != "" {
					requests += chunked("/whole", body[:len(body)/2], body[len(body)/2:]) + chunked("/echo", body[:1], body[1:])
				}
				sending := make(chan struct{})
				go func() {
					defer close(sending)
					c.SendPieces(requests, piece)
				}()
				whole := fmt.Sprintf("%d %x", len(body), sum([]byte(body)))
				want(t, c, "POST", 200, whole)
				want(t, c, "GET", 200, "fixed")
				want(t, c, "POST", 200, body)
				want(t, c, "POST", 200, fmt.Sprint(len(body), nil))
				want(t, c, "POST", 200, whole)
				if body != "" {
					want(t, c, "POST", 200, whole)
					want(t, c, "POST", 200, body)
				}
				<-sending
			}
		}
	}
}

// TestHandleForms: form values and multipart forms, in memory and streamed, including files larger than memory.
func TestHandleForms(t *testing.T) {
	form := func(ctx *fasthttp.RequestCtx) {
		f, err := ctx.MultipartForm()
		if err != nil {
			ctx.Error(err.Error(), 400)
			return
		}
		file, err := f.File["file"][0].Open()
		if err != nil {
			ctx.Error(err.Error(), 500)
			return
		}
		defer file.Close()
		content, err := io.ReadAll(file)
		fmt.Fprintf(ctx, "%s %d %x %v", ctx.FormValue("name"), len(content), sum(content), err)
	}
	b := start(t, handles(map[string]*Handle{
		"/values": {Handler: func(ctx *fasthttp.RequestCtx) { fmt.Fprintf(ctx, "%s %s", ctx.FormValue("a"), ctx.FormValue("q")) }},
		"/form":   {Handler: form},
		"/stream": {Handler: form, Stream: true},
	}))
	c := lbtest.Dial(t, b.address)
	c.Send(post("/values?q=2", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 7") + "a=b%20c")
	want(t, c, "POST", 200, "b c 2")
	for _, size := range []int{10, 1_000_000} {
		content := bytes.Repeat([]byte("abcdefghij"), size/10)
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		_ = w.WriteField("name", "value")
		part, err := w.CreateFormFile("file", "file.txt")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(content)
		_ = w.Close()
		for _, path := range []string{"/form", "/stream"} {
			c.Send(post(path, "Content-Type: "+w.FormDataContentType(), fmt.Sprint("Content-Length: ", body.Len())) + body.String())
			want(t, c, "POST", 200, fmt.Sprintf("value %d %x %v", size, sum(content), nil))
		}
		c.Send(post("/stream", "Content-Type: "+w.FormDataContentType(), fmt.Sprint("Content-Length: ", body.Len()/2)) + body.String()[:body.Len()/2])
		if r := c.ReadResponse("POST"); r.Status() != 400 {
			t.Errorf("a form that is cut short: %q", r.Head)
		}
	}
}

// TestHandleRefusesBodies: for a body that a handler cannot get, lb responds itself, and a handler that needs the complete body is
// not called.
func TestHandleRefusesBodies(t *testing.T) {
	var calls atomic.Int64
	called := func(ctx *fasthttp.RequestCtx) { calls.Add(1) }
	o := handles(map[string]*Handle{
		"/whole": {Handler: called, MaxBody: 10}, "/stream": {Handler: count, MaxBody: 10, Stream: true},
		"/large": {Handler: called, MaxBody: 1 << 20}, "/unread": {Handler: called, Stream: true},
	})
	o.limits = http1.Limits{HeaderSize: 16 << 10, HeaderFields: 10, BodySize: 1000, BodyIdleTimeout: 50 * time.Millisecond}
	b := start(t, o)
	for name, c := range map[string]struct {
		request string
		status  int
		ends    bool
	}{
		"announced":   {post("/PATH", "Content-Length: 11") + "hello", 413, false},
		"expected":    {post("/PATH", "Content-Length: 11", "Expect: 100-continue"), 413, false},
		"chunks":      {chunked("/PATH", "hello", "world!"), 413, false},
		"slow":        {post("/PATH", "Content-Length: 10") + "hello", 408, false},
		"slow chunks": {post("/PATH", "Transfer-Encoding: chunked") + "a\r\nhello", 408, false},
		"malformed":   {post("/PATH", "Transfer-Encoding: chunked") + "5\r\nhelloworld\r\n", 400, false},
		"trailers":    {strings.TrimSuffix(chunked("/PATH", "hello"), "\r\n") + strings.Repeat("A: b\r\n", 20) + "\r\n", 431, false},
		"ends early":  {post("/PATH", "Content-Length: 10") + "hello", 400, true},
	} {
		for _, path := range []string{"whole", "stream"} {
			t.Run(name+" "+path, func(t *testing.T) {
				client := lbtest.Dial(t, b.address)
				client.Send(strings.Replace(c.request, "PATH", path, 1))
				if c.ends {
					client.CloseWrite()
				}
				if r := client.ReadResponse("POST"); r.Status() != c.status || r.Err != nil {
					t.Errorf("%q %v, want %d", r.Head, r.Err, c.status)
				}
				if rest, _ := client.Ended(); rest != "" {
					t.Errorf("then %q", rest)
				}
			})
		}
	}
	client := lbtest.Dial(t, b.address)
	client.Send(sized("/large", strings.Repeat("x", 1001)))
	if r := client.ReadResponse("POST"); r.Status() != 413 {
		t.Errorf("over the listener's limit: %q", r.Head)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("handlers were called %d times", n)
	}
	client = lbtest.Dial(t, b.address)
	client.Send(sized("/whole", "0123456789") + chunked("/whole", "01234", "56789") + sized("/stream", "0123456789"))
	want(t, client, "POST", 200, "")
	want(t, client, "POST", 200, "")
	want(t, client, "POST", 200, "10 <nil>")
	client.Send(post("/unread", "Content-Length: 10", "Expect: 100-continue"))
	want(t, client, "POST", 200, "")
	if rest, _ := client.Ended(); rest != "" {
		t.Errorf("a client that waits for 100 got %q", rest)
	}
}

// TestHandleAsksForBody: a client that waits for 100 gets one when the body is wanted.
func TestHandleAsksForBody(t *testing.T) {
	b := start(t, handles(map[string]*Handle{"/whole": {Handler: respondBody}, "/echo": {Handler: echo, Stream: true}, "/count": {Handler: count, Stream: true}}))
	c := lbtest.Dial(t, b.address)
	for path, body := range map[string]string{"/whole": fmt.Sprintf("5 %x", sum([]byte("hello"))), "/count": "5 <nil>"} {
		c.Send(post(path, "Content-Length: 5", "Expect: 100-continue"))
		if head := c.ReadHead(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%s: %q", path, head)
		}
		c.Send("hello")
		want(t, c, "POST", 200, body)
	}
}

// TestHandleSeesRequest: the handler sees the same fields, address and URI that lb uses.
func TestHandleSeesRequest(t *testing.T) {
	see := handles(map[string]*Handle{"/see": {Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("X-URI", ctx.URI().String())
		ctx.Response.Header.Set("X-Request-URI", string(ctx.RequestURI()))
		fmt.Fprintf(ctx, "%s %s %s %s %q %v", ctx.Method(), ctx.Host(), ctx.Path(), ctx.QueryArgs(), ctx.Request.Header.Peek("Trailer"), ctx.RemoteAddr())
	}}, "/redirects": {Handler: func(ctx *fasthttp.RequestCtx) { ctx.Redirect("/there", 302) }}})
	b := start(t, see)
	c := lbtest.Dial(t, b.address)
	from := c.LocalAddr().(*net.TCPAddr)
	c.Send(post("/see?c=d", "Cookie: id=42", "Transfer-Encoding: chunked", "Trailer: Content-Length, X-T") + "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
	r := want(t, c, "POST", 200, fmt.Sprintf("POST a /see c=d \"\" %v", from))
	if r.Field("X-URI") != "http://a/see?c=d" || r.Field("X-Request-Id") == "" || r.Field("Date") == "" {
		t.Errorf("%q", r.Head)
	}
	c.Send("GET /see HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	want(t, c, "GET", 200, fmt.Sprintf("GET  /see  \"\" %v", from))
	for target, path := range map[string]string{
		"//see/://b": "/see/:/b", "//see//b": "/see/b", "http://a/see/x": "/see/x", "/see/%41%20b": "/see/A b", "/see/a%252fb": "/see/a%2fb",
		"/x/..//see/y": "/see/y", "/see/a://b": "/see/a:/b", "/see/%3fq": "/see/?q",
	} {
		c.Send(get(target))
		if r := want(t, c, "GET", 200, fmt.Sprintf("GET a %s  \"\" %v", path, from)); r.Field("X-Request-URI") != target {
			t.Errorf("%s: %q", target, r.Head)
		}
	}
	routes := see.site
	secure := start(t, options{site: func(b *balancer) {
		routes(b)
		b.secure, b.trusted = true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}})
	c = lbtest.Dial(t, secure.address)
	c.Send(get("/see", "X-Forwarded-For: 192.0.2.7"))
	if r := want(t, c, "GET", 200, "GET a /see  \"\" 192.0.2.7:0"); r.Field("X-URI") != "https://a/see" {
		t.Errorf("%q", r.Head)
	}
	c.Send(get("/redirects"))
	if r := c.ReadResponse("GET"); r.Status() != 302 || r.Field("Location") != "https://a/there" {
		t.Errorf("%q", r.Head)
	}
}
