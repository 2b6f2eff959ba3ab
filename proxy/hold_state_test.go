package proxy

import (
	"testing"

	"lb/internal/lbtest"
	"lb/pool"
)

// TestUnused: a State is in use while a request waits before its backend is chosen, and no longer.
func TestUnused(t *testing.T) {
	asked, respond := make(chan string, 10), make(chan struct{}, 10)
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			asked <- body
			<-respond
			c.Send(lbtest.OK(body))
		}
	})
	a := newAsker()
	o := asks(a)
	o.forward = func(f *Forward) { f.Buffer = Buffering{Request: 1000} }
	o.pool = func(po *pool.Options) {
		for i := range po.Members {
			po.Members[i].MaxConns = 1
		}
	}
	b := start(t, o, back.Addr)
	state := b.handler.state.Load()
	inUse := func(what string, want bool) {
		t.Helper()
		if got := !state.Unused(b.loops.All()); got != want {
			t.Errorf("%s: in use: %v", what, got)
		}
	}
	inUse("no request", false)

	first := lbtest.Dial(t, b.address)
	first.Send("POST /asks HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	lbtest.Wait(t, "the question", a.asked)
	inUse("a question", true)
	a.results <- nil
	lbtest.Eventually(t, "the body is waited for", func() bool { return state.holds.begun.Load() == 2 })
	inUse("a body", true)
	first.Send("world")
	lbtest.Wait(t, "the request", asked)
	inUse("the backend responds", false)

	second := lbtest.Dial(t, b.address)
	second.Send(get("/"))
	lbtest.Eventually(t, "the queue", func() bool { return state.holds.begun.Load() == 3 })
	inUse("the queue", true)
	respond <- struct{}{}
	want(t, first, "POST", 200, "helloworld")
	lbtest.Wait(t, "the second request", asked)
	inUse("the backend responds again", false)
	respond <- struct{}{}
	want(t, second, "GET", 200, "")

	third := lbtest.Dial(t, b.address)
	third.Send(get("/asks"))
	lbtest.Wait(t, "the question", a.asked)
	inUse("another question", true)
	third.Close()
	lbtest.Wait(t, "the end of the context", a.ended)
	a.results <- nil
	lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
	inUse("all have ended", false)
}
