package proxy

import (
	"context"
	"strings"
	"testing"

	"lb/filter"
	"lb/internal/lbtest"
	"lb/message"
	"lb/route"
)

// failing is an action that panics: at once, after work in a goroutine, or in the middle of a response.
type failing struct{}

func (failing) Serve(x *Exchange) {
	switch string(x.path) {
	case "/fail/later":
		x.InBackground(func(context.Context) {}, func() { panic("later") }, nil)
	case "/fail/begun":
		x.InBackground(func(context.Context) {}, func() {
			x.response.Reset(200)
			x.response.Length = 100
			x.client.Respond(&x.response, []byte("a part"), true, false)
			panic("begun")
		}, nil)
	default:
		panic("at once")
	}
}

// failingFilter is a response filter that panics, for a backend's response and lb's own.
type failingFilter struct{}

func (failingFilter) Response(filter.Exchange, *message.Response, filter.Kind) { panic("filter") }

// TestPanic: a panic ends only its exchange. What the exchange held is released, and the client gets 500 if the response has not
// begun.
func TestPanic(t *testing.T) {
	back := backend(t, func(head, body string) string { return lbtest.OK("fine") })
	b := start(t, options{site: func(b *balancer) {
		b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/fail", Path: "/fail", Action: &Route{Prefix: "/fail", Action: failing{}}})
		r := &Route{Prefix: "/filter", Action: b.forward}
		r.Response = []filter.Response{failingFilter{}}
		b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/filter", Path: "/filter", Action: r})
	}}, back.Addr)
	panics := int64(0)
	for _, target := range []string{"/fail/now", "/fail/later", "/filter"} {
		c := lbtest.Dial(t, b.address)
		for range 3 { // the connection continues
			c.Send(get(target))
			if r := c.ReadResponse("GET"); r.Status() != 500 || !strings.Contains(r.Body, "the balancer failed") {
				t.Errorf("%s: %q %q", target, r.Head, r.Body)
			}
			c.Send(get("/fixed"))
			want(t, c, "GET", 200, "fixed")
			panics++
		}
	}
	c := lbtest.Dial(t, b.address)
	c.Send(get("/fail/begun"))
	if r := c.ReadResponse("GET"); r.Err == nil {
		t.Errorf("a response that was cut counts as whole: %q", r.Body)
	}
	panics++
	if n := b.panics.Load(); n != panics {
		t.Errorf("%d panics were reported, want %d", n, panics)
	}
	lbtest.Eventually(t, "nothing is held", func() bool {
		active := 0
		for _, backend := range b.pool.Backends() {
			active += int(backend.InFlight())
		}
		return active == 0 && b.site.Metrics.InFlight.Get() == 0
	})
	other := lbtest.Dial(t, b.address)
	other.Send(get("/"))
	want(t, other, "GET", 200, "fine")
}
