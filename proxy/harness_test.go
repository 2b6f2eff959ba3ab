package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/filter"
	"lb/http1"
	"lb/internal/lbtest"
	"lb/netloop"
	"lb/pool"
	"lb/route"
	"lb/telemetry"
	"lb/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// balancer is everything that a request needs: client connections on loops, exchanges, a pool and connections to its backends.
type balancer struct {
	t        testing.TB
	address  string
	loops    *netloop.Loops
	workers  []*http1.Worker
	own      []*Worker
	handler  *Handler
	forward  *Forward
	pool     *pool.Pool
	site     *Site
	settings http1.Settings
	open     atomic.Int64
	stop     context.CancelFunc // of the loops; the cleanup calls it as well
	scope    *telemetry.Scope
	panics   atomic.Int64 // of work beside the loops
	inbound  []filter.Request
	secure   bool
	trusted  []netip.Prefix // proxies
}

// options change the parts of a balancer.
type options struct {
	forward   func(*Forward)
	pool      func(*pool.Options)
	transport func(*transport.Options)
	limits    http1.Limits
	site      func(*balancer) // before anything is accepted
}

func start(t testing.TB, o options, backends ...string) *balancer {
	t.Helper()
	b := &balancer{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	b.loops = netloop.New(netloop.Options{Loops: 2, Poison: func(p []byte) {
		for i := range p {
			p[i] = '!'
		}
	}})
	if err := b.loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	backendWorkers := transport.NewWorkers(b.loops.All())
	for _, l := range b.loops.All() {
		b.workers = append(b.workers, &http1.Worker{Loop: l})
		b.own = append(b.own, &Worker{Loop: l})
	}
	po := pool.Options{
		Name: "p", QueueLimit: 100, QueueTimeout: 5 * time.Second, RetryBudget: 1,
		Connect: func(backend *pool.Backend) pool.Connections {
			opt := transport.Options{Address: backend.Address(), Connect: 5 * time.Second, MaxIdle: 64, IdleTimeout: time.Minute,
				Timeouts: transport.Timeouts{Response: 10 * time.Second, Idle: 10 * time.Second}}
			if o.transport != nil {
				o.transport(&opt)
			}
			return transport.New(opt, backendWorkers)
		},
	}
	for _, a := range backends {
		po.Members = append(po.Members, pool.Member{Address: a, Weight: 1})
	}
	if o.pool != nil {
		o.pool(&po)
	}
	b.pool = pool.New(po)
	b.pool.Start(ctx)
	b.forward = &Forward{
		Pool: b.pool, Retry: Retry{Attempts: 2, Body: 64 << 10, Connect: true, Reset: true},
	}
	if o.forward != nil {
		o.forward(b.forward)
	}
	b.scope = telemetry.NewRegistry().NewScope()
	scope := b.scope
	b.site = &Site{Name: "s", Metrics: NewSiteMetrics(scope, "s")}
	b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/", Path: "/", Action: &Route{Prefix: "/", Action: b.forward}})
	b.site.Paths.Add(&route.Rule[*Route]{Pattern: "/fixed", Path: "/fixed", Exact: true, Action: &Route{Prefix: "/fixed", Action: NewFixed(200, "text/plain", "fixed")}})
	if o.site != nil {
		o.site(b)
	}
	state := &State{TrustedProxies: b.trusted, NoSite: &Site{Name: "-", Metrics: NewSiteMetrics(scope, "-")}}
	state.Hosts.Add("", b.site)
	b.handler = NewHandler(NewRejections(scope), bodyStatus)
	b.handler.Panicked = func(any, []byte) { b.panics.Add(1) }
	b.handler.Swap(state)
	if o.limits.HeaderSize == 0 {
		o.limits.HeaderSize = 16 << 10
	}
	b.settings = http1.Settings{Limits: o.limits, Handler: b}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = listener.Addr().String()
	if _, err := b.loops.Listen(listener, b.accept, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lbtest.Eventually(t, "no request is in flight", func() bool { return b.site.Metrics.InFlight.Get() == 0 })
		for _, backend := range b.pool.Backends() {
			if n := backend.InFlight(); n != 0 {
				t.Errorf("%d requests are in flight at %s", n, backend.Address())
			}
			active, _ := pool.Conns[*transport.Client](backend).Counts()
			if active != 0 {
				t.Errorf("%d connections to %s are in use", active, backend.Address())
			}
		}
		cancel()
		b.loops.Wait()
		b.pool.Wait()
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
	return b
}

func bodyStatus(err error) int {
	switch {
	case errors.Is(err, http1.ErrBodyTooLarge):
		return 413
	case errors.Is(err, http1.ErrBodyTimeout):
		return 408
	case errors.Is(err, http1.ErrTrailerFields):
		return 431
	case errors.Is(err, http1.ErrBodyMalformed), errors.Is(err, http1.ErrBodyShort):
		return 400
	}
	return 0
}

type clientConn struct {
	netloop.Socket
	http1.Conn
	b  *balancer
	in Inbound
}

func (c *clientConn) Ready(ev netloop.Events) { c.Conn.Ready(ev) }
func (c *clientConn) Retiring() bool          { return false }
func (c *clientConn) Ending() bool            { return false }
func (c *clientConn) Linger() bool            { return true }
func (c *clientConn) Closed()                 { c.b.open.Add(-1) }

func (b *balancer) accept(in *netloop.Incoming) {
	c := &clientConn{b: b, in: Inbound{Peer: netip.AddrPortFrom(in.Peer().Addr().Unmap(), in.Peer().Port())}}
	if in.Open(&c.Socket, c) == nil {
		b.open.Add(1)
		c.Conn.Init(b.workers[in.Loop().Index()], &c.Socket, &b.settings, c, http1.Info{Peer: in.Peer(), Listener: c}, nil)
		c.Conn.Run()
	}
}

func (b *balancer) Serve(s *http1.Stream) {
	c := s.Conn().Info.Listener.(*clientConn)
	c.in.Filters, c.in.Secure = b.inbound, b.secure
	b.handler.Serve(b.own[c.Loop().Index()], s, c.in, func(x *Exchange) { s.Exchange = x })
}

func (b *balancer) Refused(*http1.Conn, *http1.Refusal) {}
func (b *balancer) Panicked(v any)                      { b.t.Errorf("panic: %v", v); panic(v) }

// backend starts a scripted backend that responds to each request by a function of its head and body.
func backend(t testing.TB, respond func(head, body string) string) *lbtest.Backend {
	return lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send(respond(head, body))
		}
	})
}

func get(target string, lines ...string) string {
	var b bytes.Buffer
	b.WriteString("GET " + target + " HTTP/1.1\r\nHost: a\r\n")
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}
