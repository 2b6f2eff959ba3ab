// Package proxy handles one request: it finds the site and the route, runs the filters, and executes the route's action. The main
// action forwards the request to a backend, retries where that is safe, and relays the response.
package proxy

import (
	"net/netip"
	"sync/atomic"

	"lb/filter"
	"lb/route"
	"lb/telemetry"
)

// State is the configuration that requests need, immutable except for counters. A request loads it once and uses it to its end, even
// if the configuration is reloaded meanwhile.
type State struct {
	Hosts          route.Hosts[*Site]
	NoSite         *Site // for requests whose host no site has; required
	TrustedProxies []netip.Prefix
	AccessLog      *telemetry.AccessLog // nil: none

	holds holds
}

// Site is what is served for a set of hosts.
type Site struct {
	Name    string
	Paths   route.Paths[*Route]
	Filters []filter.Request // run before the route is looked up
	// MaintenancePage is the HTML body of 503 responses; nil: lb's own text.
	MaintenancePage []byte
	// ErrorPages are HTML bodies for lb's own error responses, by status.
	ErrorPages map[int][]byte
	Metrics    SiteMetrics
}

// Route says how a request is handled whose rule matches.
type Route struct {
	Prefix   string           // the rule's path, for strip_prefix and {rest}
	Filters  []filter.Request // run before the action
	Action   Action
	Request  route.HeaderRules // for requests to the backend
	Response []filter.Response // for responses to the client
	Compress *filter.Compress  // of responses from backends; nil: none
	Hints    EarlyHints        // sent before the action responds; nil: none
}

// Action responds to requests. It must respond to each exchange exactly once.
type Action interface {
	Serve(x *Exchange)
}

// SiteMetrics are the series of one site.
type SiteMetrics struct {
	Requests *telemetry.CodeCounters
	Duration *telemetry.Histogram
	BytesIn  *telemetry.LoopCounter
	BytesOut *telemetry.LoopCounter
	InFlight *telemetry.LoopCounter
	Upgraded *atomic.Int64 // upgraded connections, such as WebSockets; in flight too
}

// NewSiteMetrics creates the series of a site.
func NewSiteMetrics(s *telemetry.Scope, site string) SiteMetrics {
	m := SiteMetrics{
		Requests: s.CodeCounters("lb_requests_total", "site", site),
		Duration: s.LoopHistogram("lb_request_duration_seconds", "site", site),
		BytesIn:  s.LoopCounter("lb_request_bytes_total", "site", site),
		BytesOut: s.LoopCounter("lb_response_bytes_total", "site", site),
		InFlight: telemetry.NewLoopCounter(),
		Upgraded: new(atomic.Int64),
	}
	s.Gauge("lb_requests_in_flight", func() float64 { return float64(m.InFlight.Get()) }, "site", site)
	s.Gauge("lb_upgraded_connections", func() float64 { return float64(m.Upgraded.Load()) }, "site", site)
	return m
}

// Rejections are counters of refused requests, by reason.
type Rejections map[string]*telemetry.Counter

// NewRejections creates the counters.
func NewRejections(s *telemetry.Scope) Rejections {
	r := Rejections{}
	for _, reason := range []string{
		"acl", "ambiguous_path", "auth", "bad_request", "ban", "body_size", "body_timeout", "concurrency", "rate_limit", "extension", "header_fields", "no_route", "no_site", "method", "misdirected", "maintenance", "loop", "long_path",
	} {
		r[reason] = s.Counter("lb_rejected_requests_total", "reason", reason)
	}
	return r
}

// Inc counts a request that was refused for that reason; unknown reasons and "" are not counted.
func (r Rejections) Inc(reason string) {
	if c := r[reason]; c != nil {
		c.Inc()
	}
}
