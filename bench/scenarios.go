package main

import (
	"context"
	"fmt"
)

// scenario is one comparison: which balancers can take part, what is measured of each, and how.
type scenario struct {
	name  string // of -only
	title string
	text  string // for the report's reader: what is done, and what it does not say
	need  feature
	tls   bool // the balancers have a TLS listener
	log   bool // the balancers write an access log to a file
	// fresh: every measurement has a balancer of its own, because the measurement leaves traces in it.
	fresh bool
	// origin: the backend is one inside the harness that takes and gives large bodies.
	origin  bool
	noDelay bool   // what counts is when pieces of a body come
	path    string // what is asked for
	size    int    // of the answer's body, checked before the first measurement; 0: not checked
	metrics []metric
	measure func(context.Context, *bench, scenario, *running) (sample, error)
}

// metric is one figure of a scenario. The first of a scenario is the one that the chart shows.
type metric struct {
	Key    string `json:"key"`
	Label  string `json:"label"`
	Unit   string `json:"unit"`
	Digits int    `json:"-"` // behind the decimal point
	// NearZero: the values may be next to nothing, so that a ratio or a percentage of them says nothing.
	NearZero bool `json:"-"`
}

// sample is what one measurement found, by the metrics' keys. otherLoad may be there besides.
type sample map[string]float64

// otherLoad is the key of the cores that programs outside of the run kept busy meanwhile.
const otherLoad = "other_load_cores"

func loadMetrics() []metric {
	return []metric{
		{Key: "cpu_us", Label: "CPU per request", Unit: "µs", Digits: 1},
		{Key: "rps", Label: "requests per second", Digits: 0},
		{Key: "p50_us", Label: "latency p50", Unit: "µs", Digits: 0},
		{Key: "p99_us", Label: "latency p99", Unit: "µs", Digits: 0},
	}
}

func allScenarios() []scenario {
	const closed = " The load is a closed loop (wrk): its latencies are those of a saturated machine."
	return []scenario{
		{
			name: "proxy1k", title: "Proxying, 1 KiB", need: featureProxy, path: "/", size: 1 << 10,
			text:    "A small answer from one nginx worker, kept connections on both sides, no access log." + closed,
			metrics: loadMetrics(), measure: measureClosedLoop,
		},
		{
			name: "proxy1klog", title: "Proxying, 1 KiB, with access log", need: featureAccessLog, log: true, path: "/", size: 1 << 10,
			text: "The same with an access log to a file: JSON as lb writes it by default, nginx's combined format with " +
				"its 64 KiB buffer. HAProxy logs to syslog only and is left out." + closed,
			metrics: loadMetrics(), measure: measureClosedLoop,
		},
		{
			name: "rate", title: "Proxying, 1 KiB, at a fixed rate", need: featureProxy, path: "/", size: 1 << 10,
			text: "The first scenario with requests that come when they come (open loop, random arrivals, the same for all): latencies run " +
				"from the moment at which a request was due. A rate that falls short of the one asked for means that the machine is too small for it.",
			metrics: loadMetrics(), measure: measureOpenLoop,
		},
		{
			name: "static1k", title: "A file of 1 KiB", need: featureFiles, path: "/files/1k.txt", size: 1 << 10,
			text:    "From memory; nginx with open_file_cache and sendfile. HAProxy serves no files." + closed,
			metrics: loadMetrics(), measure: measureClosedLoop,
		},
		{
			name: "static100k", title: "A file of 100 KiB", need: featureFiles, path: "/files/100k.txt", size: 100 << 10,
			text:    "As above." + closed,
			metrics: loadMetrics(), measure: measureClosedLoop,
		},
		{
			name: "tls", title: "A file of 1 KiB over TLS", need: featureTLS, tls: true, path: "/files/1k.txt", size: 1 << 10,
			text:    "Kept connections with a self-made ECDSA P-256 certificate; the handshakes are few and not the point." + closed,
			metrics: loadMetrics(), measure: measureClosedLoop,
		},
		{
			name: "idle", title: "Idle connections", need: featureProxy, fresh: true, path: "/", size: 1 << 10,
			text: "Growth of resident memory by connections that each had one proxied answer and then stay open, unused. " +
				"What a balancer sets aside for them at its start is in the total alone.",
			metrics: []metric{
				{Key: "bytes_per_connection", Label: "RSS growth per connection", Unit: "bytes", Digits: 0},
				{Key: "rss_mib", Label: "RSS in all", Unit: "MiB", Digits: 1},
			},
			measure: measureIdle,
		},
		{
			name: "updown", title: "Large bodies", need: featureProxy, fresh: true, origin: true, path: "/",
			text: "One large upload, then one large download, streamed. Growth is the peak of resident memory during the transfer " +
				"above what it was after a first small request.",
			metrics: []metric{
				{Key: "up_growth_mib", Label: "RSS growth, upload", Unit: "MiB", Digits: 1, NearZero: true},
				{Key: "down_growth_mib", Label: "RSS growth, download", Unit: "MiB", Digits: 1, NearZero: true},
				{Key: "up_cpu_ms_per_gb", Label: "CPU per GB, upload", Unit: "ms", Digits: 0},
				{Key: "down_cpu_ms_per_gb", Label: "CPU per GB, download", Unit: "ms", Digits: 0},
				{Key: "up_mb_s", Label: "upload", Unit: "MB/s", Digits: 0},
				{Key: "down_mb_s", Label: "download", Unit: "MB/s", Digits: 0},
			},
			measure: measureTransfers,
		},
		{
			name: "events", title: "Event streams", need: featureProxy, fresh: true, origin: true, noDelay: true, path: "/",
			text: "How much later small pieces of an answer come through the balancer than from the backend itself, which is read right before: the " +
				"differences of the percentiles of the times from write to read. 100 streams of ten pieces a second each, as an event stream " +
				"(chunked) and as a body of known length.",
			metrics: []metric{
				{Key: "events_p50_us", Label: "added delay p50, events", Unit: "µs", Digits: 0, NearZero: true},
				{Key: "events_p99_us", Label: "added delay p99, events", Unit: "µs", Digits: 0, NearZero: true},
				{Key: "trickle_p50_us", Label: "added delay p50, known length", Unit: "µs", Digits: 0, NearZero: true},
				{Key: "trickle_p99_us", Label: "added delay p99, known length", Unit: "µs", Digits: 0, NearZero: true},
				{Key: "events_direct_p50_us", Label: "without a balancer p50, events", Unit: "µs", Digits: 0},
				{Key: "events_direct_p99_us", Label: "without a balancer p99, events", Unit: "µs", Digits: 0},
			},
			measure: measureEvents,
		},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range allScenarios() {
		names = append(names, s.name)
	}
	return names
}

func (s scenario) url(r *running) string {
	if s.tls {
		return "https://" + r.tls + s.path
	}
	return "http://" + r.address + s.path
}

// scaleText adds what the options decide to a scenario's text.
func (s scenario) scaleText(o options) string {
	switch s.name {
	case "rate":
		return fmt.Sprintf("%s Asked for: %d requests per second.", s.text, o.rate)
	case "idle":
		return fmt.Sprintf("%s Connections: %d.", s.text, o.idle)
	case "updown":
		return fmt.Sprintf("%s Size: %d MB each way.", s.text, o.transfer)
	}
	return s.text
}
