// Package proxy answers one request: it finds the site and the route, and forwards to a backend,
// again to another one where that is safe, relaying the answer as it comes.
package proxy

import (
	"net/netip"
	"sync/atomic"

	"lb/route"
	"lb/telemetry"
)

// State is everything that requests need, immutable but for counters. A request loads it once
// and lives with it to its end, whatever is reloaded meanwhile.
type State struct {
	Hosts          route.Hosts[*Site]
	Nowhere        *Site // counts and answers the requests whose host no site has; required
	TrustedProxies []netip.Prefix
	AccessLog      *telemetry.AccessLog // nil: none
}

// Site is what is served for a set of hosts.
type Site struct {
	Name  string
	Paths route.Paths[*Route]
	// Maintenance is nil if the site has none.
	Maintenance *Maintenance
	// ErrorPages are HTML bodies for the balancer's own answers, by status.
	ErrorPages map[int][]byte
	Metrics    SiteMetrics
}

// Maintenance is the page for bad times, and the switch that shows it.
type Maintenance struct {
	Page []byte       // HTML; nil: the balancer's own words
	On   *atomic.Bool // the file that asks for maintenance exists; may be nil
}

// Route is what a request meets where its rule matches.
type Route struct {
	Prefix   string // the rule's path, for strip_prefix and {rest}
	Action   Action
	Local    bool              // the action goes by the clean path alone: no backend gets the one that the client wrote
	Request  route.HeaderRules // towards the backend
	Response ResponseRules     // towards the client
}

// ResponseRules change the fields of a route's responses. The second and third are the first without the fields that
// those responses need as they are.
type ResponseRules struct {
	Any     route.HeaderRules
	Typed   route.HeaderRules // without Content-Type: the balancer's own errors, and several ranges with a boundary
	Outages route.HeaderRules // without Cache-Control either: 503, which nobody may keep longer than it is true
}

// Action answers requests. It must answer every exchange exactly once.
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
type Rejections struct {
	ACL, AmbiguousPath, BadRequest, BodySize, BodyTimeout, HeaderFields, NoRoute, NoSite, Method, Misdirected, Maintenance, Loop *telemetry.Counter
}

// NewRejections resolves the counters.
func NewRejections(s *telemetry.Scope) Rejections {
	reason := func(r string) *telemetry.Counter { return s.Counter("lb_rejected_requests_total", "reason", r) }
	return Rejections{
		ACL: reason("acl"), AmbiguousPath: reason("ambiguous_path"), BadRequest: reason("bad_request"), BodySize: reason("body_size"), BodyTimeout: reason("body_timeout"), HeaderFields: reason("header_fields"),
		NoRoute: reason("no_route"), NoSite: reason("no_site"), Method: reason("method"), Misdirected: reason("misdirected"), Maintenance: reason("maintenance"), Loop: reason("loop"),
	}
}
