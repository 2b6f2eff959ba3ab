package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/http1"
	"lb/listener"
	"lb/netloop"
	"lb/proxy"
	"lb/route"
	"lb/telemetry"
)

// greet responds to a form. It may block: it runs in a separate goroutine.
func greet(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; charset=utf-8")
	fmt.Fprintf(ctx, "Hello, %s!", ctx.FormValue("name"))
}

// A program serves a fasthttp handler on a route.
func ExampleHandle() {
	address, stop, err := serve(&proxy.Handle{Handler: greet, MaxBody: 64 << 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	response, err := http.PostForm("http://"+address+"/greet", url.Values{"name": {"Ada"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body), err)
	// Output: 200 OK Hello, Ada! <nil>
}

// serve has an action respond to all requests below /greet, behind the filters. stop ends that when the requests in flight have ended.
func serve(action proxy.Action, filters ...filter.Request) (address string, stop func(), err error) {
	scope := telemetry.NewRegistry().NewScope()
	site := &proxy.Site{Name: "example", Metrics: proxy.NewSiteMetrics(scope, "example")}
	site.Paths.Add(&route.Rule[*proxy.Route]{Pattern: "/greet", Path: "/greet", Action: &proxy.Route{Prefix: "/greet", Action: action, Filters: filters}})
	state := &proxy.State{NoSite: &proxy.Site{Metrics: proxy.NewSiteMetrics(scope, "")}}
	state.Hosts.Add("", site)
	handler := proxy.NewHandler(proxy.NewRejections(scope), bodyStatus)
	handler.Swap(state)

	running, end := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{})
	if err := loops.Start(running); err != nil {
		end()
		return "", nil, err
	}
	var workers []*proxy.Worker
	for _, l := range loops.All() {
		workers = append(workers, &proxy.Worker{Loop: l})
	}
	set := listener.New(listener.Options{
		Loops: loops, Listeners: []listener.ListenerOptions{{Address: "127.0.0.1:0"}},
		Limits: listener.Limits{Limits: http1.Limits{BodySize: 1 << 20}},
		Handler: func(s *http1.Stream) {
			c := s.Conn()
			in := proxy.Inbound{Peer: c.Info.Peer}
			handler.Serve(workers[c.Worker().Loop.Index()], s, in, func(x *proxy.Exchange) { s.Exchange = x })
		},
	})
	handler.Panicked = set.Panicked
	served := make(chan error, 1)
	stop = func() {
		_ = set.Shutdown(context.Background())
		<-served
		end()
		loops.Wait()
	}
	if err := set.Listen(); err != nil {
		served <- nil
		stop()
		return "", nil, err
	}
	go func() { served <- set.Serve() }()
	return set.Listeners()[0].Addr().String(), stop, nil
}

// bodyStatus returns the status for a request whose body cannot be read.
func bodyStatus(err error) int {
	switch err {
	case http1.ErrBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case http1.ErrBodyTimeout:
		return http.StatusRequestTimeout
	case http1.ErrTrailerFields:
		return http.StatusRequestHeaderFieldsTooLarge
	case http1.ErrBodyMalformed, http1.ErrBodyShort:
		return http.StatusBadRequest
	}
	return 0 // the client has disconnected
}
