package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/internal/lbtest"
	"lb/proxy"
)

// TestShutdownWaits: a shutdown waits for a handler, and for the question of a filter.
func TestShutdownWaits(t *testing.T) {
	for _, what := range []string{"handler", "question"} {
		t.Run(what, func(t *testing.T) {
			begun, release := make(chan struct{}), make(chan struct{})
			wait := func() {
				close(begun)
				<-release
			}
			var action proxy.Action = &proxy.Handle{Handler: func(ctx *fasthttp.RequestCtx) {
				wait()
				fmt.Fprintf(ctx, "%s", bytes.ToUpper(ctx.PostBody()))
			}}
			var filters []filter.Request
			if what == "question" {
				action = &proxy.Handle{Handler: func(ctx *fasthttp.RequestCtx) { fmt.Fprintf(ctx, "%s", bytes.ToUpper(ctx.PostBody())) }}
				filters = append(filters, question(wait))
			}
			address, stop, err := serve(action, filters...)
			if err != nil {
				t.Fatal(err)
			}
			c := lbtest.Dial(t, address)
			c.Send("POST /greet HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
			lbtest.Wait(t, what, begun)
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				stop()
			}()
			lbtest.Eventually(t, "nothing is accepted any more", func() bool {
				nc := lbtest.TryDial(address)
				if nc != nil {
					nc.Close()
				}
				return nc == nil
			})
			select {
			case <-stopped:
				t.Fatal("the shutdown did not wait")
			default:
			}
			close(release)
			if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != "HELLO" || r.Field("Connection") != "close" {
				t.Errorf("%q %q", r.Head, r.Body)
			}
			lbtest.Wait(t, "the end", stopped)
		})
	}
}

// question is a filter that lets a request pass after a wait.
type question func()

func (q question) Request(filter.Exchange) filter.Verdict {
	return filter.Verdict{Ask: func(context.Context) *filter.Refusal {
		q()
		return nil
	}}
}
