package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"lb/filter"
	"lb/internal/lbtest"
	"lb/netloop"
	"lb/route"
)

// askedBy is an exchange, to be used only on its loop.
type askedBy struct {
	*Exchange
	loop *netloop.Loop
}

// asker is a filter with a question that the test responds to.
type asker struct {
	asked   chan askedBy
	results chan *filter.Refusal
	ended   chan struct{} // a question's context has ended before its result
}

func newAsker() *asker {
	return &asker{asked: make(chan askedBy, 10), results: make(chan *filter.Refusal, 10), ended: make(chan struct{}, 10)}
}

func (a *asker) Request(x filter.Exchange) filter.Verdict {
	by := askedBy{x.(*Exchange), x.(*Exchange).worker.Loop}
	return filter.Verdict{Ask: func(ctx context.Context) *filter.Refusal {
		a.asked <- by
		select {
		case r := <-a.results:
			return r
		case <-ctx.Done():
			a.ended <- struct{}{}
			return <-a.results // late, like a call that cannot be interrupted
		}
	}}
}

var forbidden = &filter.Refusal{Status: http.StatusForbidden, Reason: "no", Rejected: "acl"}

// asks are options with a route "/asks", with that filter, that forwards.
func asks(f filter.Request) options {
	return options{site: func(b *balancer) {
		b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/asks", Path: "/asks", Action: &Route{Prefix: "/asks", Action: b.forward, Filters: []filter.Request{f}}})
	}}
}

// TestQuestion: while a filter asks, the loops continue, and nothing of the request is lost.
func TestQuestion(t *testing.T) {
	back := backend(t, func(head, body string) string { return lbtest.OK(strings.Fields(head)[1] + " " + body) })
	a := newAsker()
	b := start(t, asks(a), back.Addr)
	for _, c := range []struct {
		name, before, after, want string
	}{
		{"no body", get("/asks/1"), "", "/asks/1 "},
		{"whole body", "POST /asks/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "", "/asks/2 hello"},
		{"body meanwhile", "POST /asks/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", "world", "/asks/3 helloworld"},
		{"chunks meanwhile", "POST /asks/4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r", "\nworld\r\n0\r\n\r\n", "/asks/4 helloworld"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := lbtest.Dial(t, b.address)
			client.Send(c.before)
			lbtest.Wait(t, "the question", a.asked)
			for range 8 { // on both loops
				other := lbtest.Dial(t, b.address)
				other.Send("POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz")
				want(t, other, "GET", 200, "fixed")
				other.Close()
			}
			client.Send(c.after + get("/fixed")) // the next request also arrives meanwhile
			a.results <- nil
			want(t, client, "GET", 200, c.want)
			want(t, client, "GET", 200, "fixed")
			client.Send(strings.Replace(c.before+c.after, "/asks/", "/asks/again", 1))
			a.results <- forbidden
			if r := client.ReadResponse("GET"); r.Status() != 403 {
				t.Errorf("%q", r.Head)
			}
			client.Send(get("/fixed"))
			want(t, client, "GET", 200, "fixed")
			<-a.asked
		})
	}
}

// TestQuestionsInOrder: each filter of the listener, the site and the route is asked once, in that order, until one refuses.
func TestQuestionsInOrder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	ask := func(name string, r *filter.Refusal) filter.Request {
		return filterFunc(func(filter.Exchange) filter.Verdict {
			return filter.Verdict{Ask: func(context.Context) *filter.Refusal {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
				return r
			}}
		})
	}
	pass := filterFunc(func(filter.Exchange) filter.Verdict {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, "-")
		return filter.Pass
	})
	b := start(t, options{site: func(b *balancer) {
		b.inbound = []filter.Request{ask("l1", nil), pass, ask("l2", nil)}
		b.site.Filters = []filter.Request{pass, ask("s1", nil)}
		b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/some", Path: "/some", Action: &Route{
			Prefix: "/some", Action: NewFixed(200, "", "some"), Filters: []filter.Request{ask("r1", nil), ask("r2", nil), pass},
		}})
		b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/none", Path: "/none", Action: &Route{
			Prefix: "/none", Action: NewFixed(200, "", "none"), Filters: []filter.Request{ask("r1", forbidden), ask("r2", nil)},
		}})
	}})
	for path, expected := range map[string]string{
		"/some": "200 l1 - l2 - s1 r1 r2 -", "/none": "403 l1 - l2 - s1 r1", "/%zz": "400 l1 - l2 - s1",
	} {
		c := lbtest.Dial(t, b.address)
		c.Send(get(path))
		r := c.ReadResponse("GET")
		mu.Lock()
		if got := fmt.Sprint(r.Status(), " ", strings.Join(order, " ")); got != expected {
			t.Errorf("%s: %s, want %s", path, got, expected)
		}
		order = nil
		mu.Unlock()
	}
}

// filterFunc is a filter that is a function.
type filterFunc func(filter.Exchange) filter.Verdict

func (f filterFunc) Request(x filter.Exchange) filter.Verdict { return f(x) }

// TestDisconnectDuringQuestion: a disconnect ends the context of the question, and the exchange ends as soon as the question has
// returned. The action does not run.
func TestDisconnectDuringQuestion(t *testing.T) {
	for _, how := range []string{"close", "reset", "the loops stop"} {
		t.Run(how, func(t *testing.T) {
			back := backend(t, func(head, body string) string {
				t.Errorf("a backend got %q", head)
				return lbtest.OK("")
			})
			a := newAsker()
			b := start(t, asks(a), back.Addr)
			c := lbtest.Dial(t, b.address)
			c.Send("POST /asks HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
			lbtest.Wait(t, "the question", a.asked)
			switch how {
			case "close":
				c.Close()
			case "reset":
				c.Reset()
			default:
				b.stop()
			}
			lbtest.Wait(t, "the end of the context", a.ended)
			if n := b.site.Metrics.InFlight.Get(); n != 1 {
				t.Errorf("%d in flight before the question has returned", n)
			}
			a.results <- nil
			lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.Requests.Total() == 1 && b.site.Metrics.InFlight.Get() == 0 })
			if n := b.site.Metrics.Requests.Count(statusClientDisconnected); n != 1 {
				t.Errorf("%d were counted as disconnected", n)
			}
		})
	}
}

// TestHalfCloseDuringQuestion: a client that half-closes its connection gets its response.
func TestHalfCloseDuringQuestion(t *testing.T) {
	back := backend(t, func(head, body string) string { return lbtest.OK(body) })
	a := newAsker()
	b := start(t, asks(a), back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send("POST /asks HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	c.CloseWrite()
	lbtest.Wait(t, "the question", a.asked)
	a.results <- nil
	want(t, c, "POST", 200, "hello")
}

// TestReloadDuringQuestion: a request keeps the state that it began with.
func TestReloadDuringQuestion(t *testing.T) {
	back := backend(t, func(head, body string) string { return lbtest.OK("old") })
	a := newAsker()
	b := start(t, asks(a), back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send(get("/asks"))
	lbtest.Wait(t, "the question", a.asked)
	b.handler.Swap(&State{NoSite: b.handler.state.Load().NoSite})
	other := lbtest.Dial(t, b.address)
	other.Send(get("/asks"))
	if r := other.ReadResponse("GET"); r.Status() != 404 {
		t.Errorf("%q", r.Head)
	}
	a.results <- nil
	want(t, c, "GET", 200, "old")
	c.Send(get("/asks"))
	if r := c.ReadResponse("GET"); r.Status() != 404 {
		t.Errorf("%q", r.Head)
	}
}

// TestQuestionPanics: a question that panics causes a 500, and is reported.
func TestQuestionPanics(t *testing.T) {
	b := start(t, asks(filterFunc(func(filter.Exchange) filter.Verdict {
		return filter.Verdict{Ask: func(context.Context) *filter.Refusal { panic("as asked") }}
	})))
	c := lbtest.Dial(t, b.address)
	for range 2 {
		c.Send(get("/asks"))
		if r := c.ReadResponse("GET"); r.Status() != 500 || strings.Contains(r.Body, "as asked") {
			t.Errorf("%q %q", r.Head, r.Body)
		}
	}
	if n := b.panics.Load(); n != 2 {
		t.Errorf("%d panics were reported", n)
	}
}

// TestEventsInBackground: no event but the end of the work takes an exchange out of that phase, whether its client has disconnected before
// or not.
func TestEventsInBackground(t *testing.T) {
	back := backend(t, func(head, body string) string { return lbtest.OK(body) })
	for ev := range events {
		if ev == eventDone {
			continue // the work sends it, below
		}
		for _, disconnected := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %v", ev, disconnected), func(t *testing.T) {
				a := newAsker()
				b := start(t, asks(a), back.Addr)
				c := lbtest.Dial(t, b.address)
				c.Send("POST /asks HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
				x, _ := lbtest.Wait(t, "the question", a.asked)
				if disconnected {
					c.Reset()
					lbtest.Wait(t, "the end of the context", a.ended)
				}
				fed := make(chan string)
				x.loop.Post(netloop.TaskFunc(func() {
					if ev == eventDisconnected {
						x.Disconnected(net.ErrClosed)
					} else {
						x.take(ev)
					}
					fed <- fmt.Sprint(x.phase == phaseBackground, x.status, x.client.Begun())
				}))
				if got, _ := lbtest.Wait(t, "the event", fed); got != "true 0 false" {
					t.Errorf("in background, status, begun: %s", got)
				}
				if disconnected || ev == eventDisconnected {
					a.results <- nil
					lbtest.Eventually(t, "the request ends", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
					return
				}
				c.Send("world")
				a.results <- nil
				want(t, c, "POST", 200, "helloworld")
			})
		}
	}
}
