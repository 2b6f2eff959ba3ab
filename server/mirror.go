package server

import (
	"cmp"
	"fmt"
	"time"

	"lb/config"
	"lb/proxy"
	"lb/transport"
)

// mirrored adds the route's mirror to what forwards its requests, if the route has one.
func (s *Server) mirrored(c *config.Route, forward proxy.Action, g *generation) proxy.Action {
	m := c.Mirror
	if m == nil {
		return forward
	}
	to := forwardTo(c.Proxy, m.Pool, template(c.Proxy.Rewrite, c), proxy.Buffering{}, g)
	to.Retry = proxy.Retry{Body: m.MaxBody}
	pool := g.poolPlans[m.Pool].config.Timeouts
	to.Timeouts = &transport.Timeouts{Response: shorter(pool.Response, m.Timeout), Idle: shorter(pool.Idle, m.Timeout)}
	return proxy.NewMirror(proxy.MirrorOptions{
		Action: forward, Route: &proxy.Route{Prefix: c.Path, Action: to, Request: requestRules(c)},
		Share: m.Share, MaxBody: m.MaxBody, Limit: int64(m.Limit), Timeout: m.Timeout,
		Metrics: proxy.NewMirrorMetrics(g.series(s), m.Pool), Loops: len(s.workers),
	})
}

// shorter returns the shorter of two timeouts, of which the first may be 0: none.
func shorter(a, b time.Duration) time.Duration { return min(cmp.Or(a, b), b) }

// mirrorRule describes the mirror of a route.
func mirrorRule(m *config.Mirror) string {
	return fmt.Sprintf("%g %% of the requests with bodies up to %d bytes, also to pool %s, whose responses are dropped", m.Share*100, m.MaxBody, m.Pool)
}
