// Package proxy responds to one request: it finds the site and the route, and forwards to a backend,
// again to another one where that is safe, relaying the response as it comes.
package exchange

import (
	"net/netip"
	"sync/atomic"

	"lb/filter"
	"lb/route"
	"lb/telemetry"
)

// State is everything that requests need, immutable but for counters. A request loads it once
// and lives with it to its end, whatever is reloaded meanwhile.
type State struct {
	Hosts          route.Hosts[*Site]
	NoSite         *Site // counts and responds to the requests whose host no site has; required
	TrustedProxies []netip.Prefix
	AccessLog      *telemetry.AccessLog // nil: none
}

// Site is what is served for a set of hosts.
type Site struct {
	Name    string
	Paths   route.Paths[*Route]
	Filters []filter.Request // asked before there is a route
	// MaintenancePage is the body, in HTML, of responses with 503; nil: the balancer's own words.
	MaintenancePage []byte
	// ErrorPages are HTML bodies for the balancer's own responses, by status.
	ErrorPages map[int][]byte
	Metrics    SiteMetrics
}

// Route is what a request meets where its rule matches.
type Route struct {
	Prefix   string           // the rule's path, for strip_prefix and {rest}
	Filters  []filter.Request // asked before the action
	Action   Action
	Request  route.HeaderRules // towards the backend
	Response []filter.Response // towards the client
}

// Action responds to requests. It must respond to every exchange exactly once.
type Action interface {
	Serve(x *Exchange)
}

// SiteMetrics are the series of one site.
type SiteMetrics struct {
	Requests *telemetry.CodeCounters
	Duration *telemetry.Histogram
	BytesIn  *telemetry.Counter
	BytesOut *telemetry.Counter
	InFlight *atomic.Int64
	Upgraded *atomic.Int64 // of those in flight: WebSockets and the like
}

// NewSiteMetrics resolves the series of a site.
func NewSiteMetrics(s *telemetry.Scope, site string) SiteMetrics {
	m := SiteMetrics{
		Requests: s.CodeCounters("lb_requests_total", "site", site),
		Duration: s.Histogram("lb_request_duration_seconds", "site", site),
		BytesIn:  s.Counter("lb_request_bytes_total", "site", site),
		BytesOut: s.Counter("lb_response_bytes_total", "site", site),
		InFlight: new(atomic.Int64),
		Upgraded: new(atomic.Int64),
	}
	s.Gauge("lb_requests_in_flight", func() float64 { return float64(m.InFlight.Load()) }, "site", site)
	s.Gauge("lb_upgraded_connections", func() float64 { return float64(m.Upgraded.Load()) }, "site", site)
	return m
}

// Rejections count the requests that the proxy refuses, by reason.
type Rejections map[string]*telemetry.Counter

// NewRejections resolves the counters.
func NewRejections(s *telemetry.Scope) Rejections {
	r := Rejections{}
	for _, reason := range []string{
		"acl", "ambiguous_path", "bad_request", "body_size", "body_timeout", "header_fields", "no_route", "no_site", "method", "misdirected", "maintenance", "loop",
	} {
		r[reason] = s.Counter("lb_rejected_requests_total", "reason", reason)
	}
	return r
}

// Inc counts a request that was refused for that reason; "" is not counted.
func (r Rejections) Inc(reason string) {
	if c := r[reason]; c != nil {
		c.Inc()
	}
}
