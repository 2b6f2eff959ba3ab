package main

import (
	"context"
	"slices"
)

// scenario is one comparison: which balancers can take part, what is measured of each, and how.
type scenario struct {
	name   string   // of -only
	groups []string // of -only too
	title  string
	text   string // for the report's reader: what is done, and what it does not say
	need   []feature

	// How the balancer is configured and started.
	log      bool // with an access log to a file
	admin    bool // with an admin listener
	noDelay  bool // the arrival times of pieces of a body matter
	fresh    bool // every measurement has a balancer of its own, because the measurement leaves traces in it
	variants []variant
	kept     int // connections that are open at a time, as far as they are more than the load generator's

	// What it proxies to.
	origin   bool // a backend inside the harness that takes and gives large bodies
	grpc     bool // a gRPC server inside the harness; the requests are unary calls
	backends int  // addresses of the backend; 0: one

	// The load.
	tls         bool // the requests are sent over TLS
	protocol    protocol
	streams     int    // requests at a time on each connection of HTTP/2
	accept      string // the content coding that the requests ask for, and get; empty: none
	path        string // of the requests
	size        int    // of the response's body, checked before the first measurement; 0: not checked
	post        int    // bytes of the body of a POST; 0: GET
	close       bool   // every request has a connection of its own
	connections int    // of the load generator; 0: as -connections says
	rate        int    // requests a second of the open loop

	metrics []metric
	measure func(context.Context, *bench, scenario, *running) (sample, error)
}

// variant is one of several ways to configure a balancer that a scenario measures in the same rounds. Each has a
// balancer of its own.
type variant struct {
	key, label string
	log        bool
	backends   int    // of the scenario's, the first ones
	path       string // of the requests; empty: the scenario's
}

// metric is one figure of a scenario. The first of a scenario is the one that the chart shows.
type metric struct {
	Key    string `json:"key"`
	Label  string `json:"label"`
	Unit   string `json:"unit"`
	Digits int    `json:"-"` // behind the decimal point
	// NoRatio: the values may be next to nothing, or are ratios themselves, so that a ratio to a peer's says nothing.
	NoRatio bool `json:"-"`
}

// sample is what one measurement found, by the metrics' keys. otherLoad may be there besides.
type sample map[string]float64

// otherLoad is the key of the cores that programs outside of the run kept busy meanwhile.
const otherLoad = "other_load_cores"

// protocol is the version of HTTP; the zero value is HTTP/1.1.
type protocol int

const (
	protocolHTTP2 protocol = 2
	protocolHTTP3 protocol = 3
)

// named is whether -only means the scenario by the name, its own or a group's.
func (s scenario) named(name string) bool { return s.name == name || slices.Contains(s.groups, name) }

func (s scenario) url(r *running) string {
	if s.tls {
		return "https://" + r.tls + s.path
	}
	return "http://" + r.address + s.path
}

// clients is how many connections the load generator keeps.
func (s scenario) clients(o options) int {
	if s.connections > 0 {
		return s.connections
	}
	return o.connections
}

func scenarioNames(scenarios []scenario) []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// groupNames are sorted.
func groupNames(scenarios []scenario) []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.groups...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
