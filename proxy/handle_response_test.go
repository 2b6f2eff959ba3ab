package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/http1"
	"lb/internal/lbtest"
	"lb/netloop"
)

// TestHandleStatuses: HEAD, 204 and 304 get no body, whatever the handler sets, and the connection continues.
func TestHandleStatuses(t *testing.T) {
	closed := make(chan struct{}, 1)
	b := start(t, handles(map[string]*Handle{
		"/memory": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(ctx.QueryArgs().GetUintOrZero("status"))
			ctx.SetBodyString("hello")
		}},
		"/stream": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(ctx.QueryArgs().GetUintOrZero("status"))
			ctx.SetBodyStream(closer{strings.NewReader("hello"), closed}, ctx.QueryArgs().GetUintOrZero("size")-1)
		}},
		"/length": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.SkipBody = true
			ctx.Response.Header.SetContentLength(7)
		}},
		"/close": {Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetConnectionClose() }},
	}))
	c := lbtest.Dial(t, b.address)
	for _, tc := range []struct {
		method, target string
		status         int
		length, chunks string
		body           string
	}{
		{"GET", "/memory?status=200", 200, "5", "", "hello"},
		{"HEAD", "/memory?status=200", 200, "5", "", ""},
		{"GET", "/memory?status=204", 204, "", "", ""},
		{"GET", "/memory?status=304", 304, "", "", ""},
		{"HEAD", "/memory?status=404", 404, "5", "", ""},
		{"GET", "/stream?status=200&size=6", 200, "5", "", "hello"},
		{"GET", "/stream?status=200", 200, "", "chunked", "hello"},
		{"HEAD", "/stream?status=200&size=6", 200, "5", "", ""},
		{"HEAD", "/stream?status=200", 200, "", "chunked", ""},
		{"GET", "/stream?status=204", 204, "", "", ""},
		{"GET", "/stream?status=304&size=6", 304, "", "", ""},
		{"HEAD", "/length", 200, "7", "", ""},
		{"GET", "/memory?status=100", 500, "66", "", "500 Internal Server Error: the handler failed\n"},
	} {
		c.Send(strings.Replace(get(tc.target), "GET", tc.method, 1))
		r := c.ReadResponse(tc.method)
		if tc.status == 500 {
			tc.length = r.Field("Content-Length")
		}
		if r.Status() != tc.status || r.Err != nil || r.Body != tc.body || r.Field("Content-Length") != tc.length || r.Field("Transfer-Encoding") != tc.chunks {
			t.Errorf("%s %s: %q %q %v", tc.method, tc.target, r.Head, r.Body, r.Err)
		}
		if strings.HasPrefix(tc.target, "/stream") {
			lbtest.Wait(t, "the stream is closed", closed)
		}
	}
	c.Send(get("/close"))
	if r := c.ReadResponse("GET"); r.Field("Connection") != "close" {
		t.Errorf("%q", r.Head)
	}
	c.Ended()
	c = lbtest.Dial(t, b.address)
	c.Send("GET /stream?status=200 HTTP/1.0\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Body != "hello" || r.Field("Connection") != "close" {
		t.Errorf("HTTP/1.0: %q %q", r.Head, r.Body)
	}
}

// closer reports when it is closed.
type closer struct {
	io.Reader
	closed chan struct{}
}

func (c closer) Close() error {
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return nil
}

// TestHandleStreams: the client gets each piece as soon as it is written, and one that is too short is not taken for complete.
func TestHandleStreams(t *testing.T) {
	step := make(chan string)
	b := start(t, handles(map[string]*Handle{
		"/events": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for piece := range step {
					_, _ = w.WriteString(piece)
					_ = w.Flush()
				}
			})
		}},
		"/short": {Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyStream(strings.NewReader("hello"), 6) }},
		"/long":  {Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyStream(strings.NewReader("hello"), 4) }},
		"/breaks": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyStream(io.MultiReader(strings.NewReader("hello"), broken{}), -1)
		}},
		"/panics": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyStream(io.MultiReader(strings.NewReader("hello"), panics{}), -1)
		}},
	}))
	c := lbtest.Dial(t, b.address)
	c.Send(get("/events"))
	if head := c.ReadHead(); !strings.Contains(head, "Transfer-Encoding: chunked") { // before there is a piece
		t.Fatalf("%q", head)
	}
	for range 3 {
		step <- "piece"
		if !c.Expect(t, "5\r\npiece\r\n") {
			return
		}
	}
	close(step)
	c.Expect(t, "0\r\n\r\n")
	c.Send(get("/long"))
	want(t, c, "GET", 200, "hell")
	for _, path := range []string{"/short", "/breaks", "/panics"} {
		c = lbtest.Dial(t, b.address)
		c.Send(get(path))
		if r := c.ReadResponse("GET"); r.Status() != 200 || r.Err == nil {
			t.Errorf("%s: %q %q", path, r.Head, r.Body)
		}
	}
	if n := b.panics.Load(); n != 1 {
		t.Errorf("%d panics were reported", n)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("as asked") }

// TestHandleBackPressure: a handler writes no more than the client reads, and the client gets all of it, also of a body in the
// handler's memory.
func TestHandleBackPressure(t *testing.T) {
	const size = 32 << 20
	line := strings.Repeat("0123456789abcdef", 4096)
	var written atomic.Int64
	ended := make(chan struct{})
	b := start(t, handles(map[string]*Handle{
		"/stream": {Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				defer close(ended)
				for n := 0; n < size; n += len(line) {
					if _, err := w.WriteString(line); err != nil {
						return
					}
					written.Add(int64(len(line)))
				}
			})
		}},
		"/memory": {Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(strings.Repeat(line, 256)) }},
	}))
	c := lbtest.Dial(t, b.address)
	c.Send(get("/stream"))
	before := int64(-1)
	lbtest.Eventually(t, "the writer waits", func() bool {
		now := written.Load()
		same := now == before && now > 0
		before = now
		return same
	})
	if before == size {
		t.Fatal("all was written before the client read")
	}
	r := c.ReadResponse("GET")
	if r.Err != nil || len(r.Body) != size || r.Body != strings.Repeat(line, size/len(line)) {
		t.Errorf("%d bytes, %v", len(r.Body), r.Err)
	}
	lbtest.Wait(t, "the writer ends", ended)
	c.Send(get("/memory"))
	other := lbtest.Dial(t, b.address)
	for range 20 { // meanwhile other requests use contexts
		other.Send(get("/fixed"))
		want(t, other, "GET", 200, "fixed")
	}
	want(t, c, "GET", 200, strings.Repeat(line, 256))
}

// TestHandleDisconnect: a client that disconnects ends the handler's context, its reads and its writes, and then the exchange.
func TestHandleDisconnect(t *testing.T) {
	for _, how := range []string{"close", "reset", "the loops stop"} {
		for name, handler := range map[string]func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}){
			"waits": func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}) {
				close(begun)
				<-Context(ctx).Done()
				close(ended)
				ctx.SetBodyString("too late")
			},
			"reads": func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}) {
				close(begun)
				if _, err := io.ReadAll(ctx.RequestBodyStream()); err != nil {
					close(ended)
				}
			},
			"streams": func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}) {
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
					close(begun)
					for {
						if _, err := w.WriteString("piece"); err != nil || w.Flush() != nil {
							close(ended)
							return
						}
					}
				})
			},
			"streams nothing": func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}) {
				disconnected := Context(ctx)
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
					close(begun)
					<-disconnected.Done()
					close(ended)
				})
			},
			"streams what blocks": func(ctx *fasthttp.RequestCtx, begun, ended chan struct{}) {
				pipe, _ := io.Pipe()
				context.AfterFunc(Context(ctx), func() {
					close(ended)
					_ = pipe.Close()
				})
				ctx.SetBodyStream(pipe, -1)
				close(begun)
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				begun, ended := make(chan struct{}), make(chan struct{})
				b := start(t, handles(map[string]*Handle{"/x": {Stream: true, Handler: func(ctx *fasthttp.RequestCtx) { handler(ctx, begun, ended) }}}))
				c := lbtest.Dial(t, b.address)
				c.Send(post("/x", "Content-Length: 10") + "hello")
				lbtest.Wait(t, "the handler", begun)
				switch how {
				case "close":
					c.Close()
				case "reset":
					c.Reset()
				default:
					b.stop()
				}
				lbtest.Wait(t, "the end", ended)
				lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
			})
		}
	}
}

// TestHandleSlowReader: a client that does not read ends the response as a disconnect does.
func TestHandleSlowReader(t *testing.T) {
	ended := make(chan error, 1)
	o := handles(map[string]*Handle{"/x": {Handler: func(ctx *fasthttp.RequestCtx) {
		disconnected := Context(ctx)
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			for {
				if _, err := w.WriteString("piece"); err != nil {
					<-disconnected.Done()
					ended <- err
					return
				}
			}
		})
	}}})
	o.limits = http1.Limits{BodyIdleTimeout: 50 * time.Millisecond}
	b := start(t, o)
	c := lbtest.Dial(t, b.address)
	c.Send(get("/x"))
	lbtest.Wait(t, "the end", ended)
	lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
}

// TestHandleFails: panics, hijacking, and timeouts.
func TestHandleFails(t *testing.T) {
	release := make(chan struct{})
	left := make(chan error, 1)
	b := start(t, handles(map[string]*Handle{
		"/panics":  {Handler: func(ctx *fasthttp.RequestCtx) { panic("as asked") }},
		"/hijacks": {Handler: func(ctx *fasthttp.RequestCtx) { ctx.Hijack(func(net.Conn) {}) }},
		"/late": {Stream: true, Handler: fasthttp.TimeoutWithCodeHandler(func(ctx *fasthttp.RequestCtx) {
			stream := ctx.RequestBodyStream()
			<-release
			ctx.SetBodyString("too late")
			_, err := io.ReadAll(stream)
			left <- err
		}, time.Millisecond, "it took too long", http.StatusGatewayTimeout)},
	}))
	c := lbtest.Dial(t, b.address)
	for range 3 {
		c.Send(get("/panics"))
		if r := c.ReadResponse("GET"); r.Status() != 500 || strings.Contains(r.Body, "as asked") {
			t.Errorf("%q %q", r.Head, r.Body)
		}
		c.Send(get("/hijacks"))
		if r := c.ReadResponse("GET"); r.Status() != 500 {
			t.Errorf("%q %q", r.Head, r.Body)
		}
	}
	if n := b.panics.Load(); n != 3 {
		t.Errorf("%d panics were reported", n)
	}
	c.Send(sized("/late", "hello"))
	want(t, c, "POST", 504, "it took too long")
	c.Send(get("/fixed"))
	want(t, c, "GET", 200, "fixed")
	close(release)
	if err, _ := lbtest.Wait(t, "the rest of the handler", left); err == nil {
		t.Error("a handler that has timed out could still read")
	}
}

// TestHandleBlocks: while handlers block, the loops serve others.
func TestHandleBlocks(t *testing.T) {
	release := make(chan struct{})
	b := start(t, handles(map[string]*Handle{"/blocks": {Handler: func(ctx *fasthttp.RequestCtx) {
		<-release
		fmt.Fprintf(ctx, "%s", ctx.PostBody())
	}}}))
	var clients []*lbtest.Conn
	for i := range 8 {
		c := lbtest.Dial(t, b.address)
		c.Send(sized("/blocks", fmt.Sprint("body", i)) + get("/fixed"))
		clients = append(clients, c)
	}
	for range 8 {
		c := lbtest.Dial(t, b.address)
		c.Send(get("/fixed"))
		want(t, c, "GET", 200, "fixed")
	}
	close(release)
	for i, c := range clients {
		want(t, c, "POST", 200, fmt.Sprint("body", i))
		want(t, c, "GET", 200, "fixed")
	}
}

// TestEventsOfHandler: whatever event occurs while a handler runs, the client gets its response, and only the end of the handler,
// or a disconnect, ends the exchange.
func TestEventsOfHandler(t *testing.T) {
	for ev := range events {
		if ev == eventDone {
			continue // the handler sends it
		}
		t.Run(fmt.Sprint(ev), func(t *testing.T) {
			release := make(chan struct{})
			exchanges := make(chan askedBy, 1)
			o := handles(map[string]*Handle{"/x": {Stream: true, Handler: func(ctx *fasthttp.RequestCtx) {
				<-release
				echo(ctx)
			}}})
			routes := o.site
			o.site = func(b *balancer) {
				routes(b)
				b.inbound = append(b.inbound, exchangeFilter(func(x *Exchange) *filter.Refusal {
					select {
					case exchanges <- askedBy{x, x.worker.Loop}:
					default:
					}
					return nil
				}))
			}
			b := start(t, o)
			c := lbtest.Dial(t, b.address)
			c.Send(post("/x", "Content-Length: 10") + "hello")
			x, _ := lbtest.Wait(t, "the exchange", exchanges)
			fed := make(chan string)
			x.loop.Post(netloop.TaskFunc(func() {
				if ev == eventDisconnected {
					x.Disconnected(net.ErrClosed)
				} else {
					x.take(ev)
				}
				fed <- fmt.Sprint(x.phase == phaseHandler, x.status, x.client.Begun())
			}))
			if got, _ := lbtest.Wait(t, "the event", fed); got != "true 0 false" {
				t.Errorf("with the handler, status, begun: %s", got)
			}
			close(release)
			if ev == eventDisconnected {
				lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
				return
			}
			c.Send("world")
			want(t, c, "POST", 200, "helloworld")
		})
	}
}
