package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/internal/lbtest"
	"lb/route"
)

// TestRandomHandlers: in whatever pieces clients send their requests, read the responses and disconnect, each request to a handler
// ends once, releases everything, and gets no byte of another, with and without filters that ask.
func TestRandomHandlers(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			b := start(t, randomHandlers())
			var clients sync.WaitGroup
			for i := range 8 {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				clients.Go(func() {
					for n := range 10 {
						randomHandlerClient(t, b.address, fmt.Sprintf("%d.%d.%d", seed, i, n), random)
					}
				})
			}
			clients.Wait()
		})
	}
}

// randomHandlers are handlers that respond with the body of their request.
func randomHandlers() options {
	actions := map[string]*Handle{
		"/memory": {Handler: func(ctx *fasthttp.RequestCtx) {
			body := ctx.PostBody()
			runtime.Gosched()
			ctx.SetBody(body)
		}},
		"/stream": {Handler: echo, Stream: true},
		"/writer": {Handler: func(ctx *fasthttp.RequestCtx) {
			body := ctx.PostBody()
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				for piece := range bytes.SplitAfterSeq(body, []byte("|")) {
					if _, err := w.Write(piece); err != nil || w.Flush() != nil {
						return
					}
				}
			})
		}},
		"/reads": {Stream: true, Handler: func(ctx *fasthttp.RequestCtx) {
			body, err := io.ReadAll(ctx.RequestBodyStream())
			if err == nil {
				ctx.SetBody(body)
			}
		}},
		"/unread": {Stream: true, Handler: func(ctx *fasthttp.RequestCtx) {}},
	}
	asks := filterFunc(func(x filter.Exchange) filter.Verdict {
		refuse := bytes.Contains(x.Message().Target, []byte("refuse"))
		return filter.Verdict{Ask: func(context.Context) *filter.Refusal {
			runtime.Gosched()
			if refuse {
				return forbidden
			}
			return nil
		}}
	})
	return options{site: func(b *balancer) {
		for path, action := range actions {
			b.site.Paths.Add(&route.Rule[*Route]{Pattern: path, Path: path, Action: &Route{Prefix: path, Action: action}})
			b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/asks" + path, Path: "/asks" + path, Action: &Route{Prefix: "/asks", Action: action, Filters: []filter.Request{asks}}})
		}
	}}
}

// randomHandlerClient sends some requests on one connection and reads as much of the responses as it likes.
func randomHandlerClient(t *testing.T, address, name string, random *rand.Rand) {
	c := lbtest.Dial(t, address)
	defer c.Close()
	type expected struct {
		status int
		body   string
	}
	var all strings.Builder
	var responses []expected
	for i := range 1 + random.IntN(4) {
		path := []string{"/memory", "/stream", "/writer", "/reads", "/unread"}[random.IntN(5)]
		body := strings.Repeat(fmt.Sprintf("%s.%d|", name, i), random.IntN(3)*random.IntN(6000))
		e := expected{200, body}
		if path == "/unread" {
			e.body = ""
		}
		switch random.IntN(4) {
		case 0:
			path = "/asks" + path
		case 1:
			path, e = "/asks"+path+"?refuse", expected{403, ""}
		}
		responses = append(responses, e)
		if random.IntN(2) == 0 {
			all.WriteString(sized(path, body))
		} else {
			half := random.IntN(len(body) + 1)
			all.WriteString(chunked(path, nonEmpty(body[:half], body[half:])...))
		}
	}
	text := all.String()
	if random.IntN(8) == 0 {
		text = text[:random.IntN(len(text))]
	}
	piece := len(text)/50 + 1 + random.IntN(len(text)+1)
	half := random.IntN(5) == 0
	var sending sync.WaitGroup
	defer sending.Wait()
	defer c.Close() // the sender may be waiting
	sending.Go(func() {
		c.SendPieces(text, piece)
		if half {
			c.CloseWrite()
		}
	})
	if len(text) < all.Len() {
		return
	}
	for _, e := range responses {
		if random.IntN(10) == 0 {
			c.Reset()
			return
		}
		r := c.ReadResponse("POST")
		// A response that does not need the body may end the connection, and reset it while the client sends.
		if e.body == "" && r.Err != nil {
			return
		}
		if r.Status() != e.status || e.status == 200 && (r.Body != e.body || r.Err != nil) {
			t.Errorf("%q, %d bytes %.100q (%v), want %d and %d bytes %.100q", r.Head, len(r.Body), r.Body, r.Err, e.status, len(e.body), e.body)
			return
		}
		if r.Field("Connection") == "close" {
			return
		}
	}
}

func nonEmpty(pieces ...string) (kept []string) {
	for _, p := range pieces {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}
