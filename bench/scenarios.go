package main

import (
	"fmt"
	"slices"
)

const closedLoop = " The load is a closed loop (wrk): its latencies are those of a saturated machine."

// allScenarios depend on the options that set rates and numbers.
func allScenarios(o options) []scenario {
	scenarios := proxyScenarios(o)
	scenarios = append(scenarios, fileScenarios()...)
	scenarios = append(scenarios, tlsScenarios()...)
	scenarios = append(scenarios, protocolScenarios()...)
	scenarios = append(scenarios, contentScenarios()...)
	scenarios = append(scenarios, scaleScenarios(o)...)
	scenarios = append(scenarios, latencyScenarios()...)
	return append(scenarios, streamScenarios(o)...)
}

func loadMetrics() []metric {
	return []metric{
		{Key: "cpu_us", Label: "CPU per request", Unit: "µs", Digits: 1},
		{Key: "rps", Label: "requests per second", Digits: 0},
		{Key: "p50_us", Label: "latency p50", Unit: "µs", Digits: 0},
		{Key: "p99_us", Label: "latency p99", Unit: "µs", Digits: 0},
		{Key: "p999_us", Label: "latency p99.9", Unit: "µs", Digits: 0},
	}
}

func proxyScenarios(o options) []scenario {
	proxied := scenario{
		groups: []string{"core", "proxy"}, need: []feature{featureProxy}, path: "/", size: 1 << 10,
		metrics: loadMetrics(), measure: measureClosedLoop,
	}
	first := proxied
	first.name, first.title = "proxy1k", "Proxying, 1 KiB"
	first.text = "A small response from one nginx worker, kept connections on both sides, no access log." + closedLoop
	scenarios := []scenario{first}
	for _, connections := range []int{1, 16, 512} {
		s := proxied
		s.name, s.connections = fmt.Sprintf("proxy1k-c%d", connections), connections
		s.title = fmt.Sprintf("Proxying, 1 KiB, connections: %d", connections)
		s.text = "The first scenario with another number of connections."
		scenarios = append(scenarios, s)
	}
	for _, rate := range o.rates {
		s := proxied
		s.groups = append(s.groups, "rate")
		s.name, s.rate, s.measure = fmt.Sprintf("rate%d", rate), rate, measureOpenLoop
		s.title = fmt.Sprintf("Proxying, 1 KiB, at %d requests a second", rate)
		s.text = "The first scenario with requests that come when they come (open loop, random arrivals, the same for all): latencies run " +
			"from the moment at which a request was due. A rate that falls short of the one asked for means that the machine is too small for it."
		scenarios = append(scenarios, s)
	}
	post := proxied
	post.name, post.title, post.post = "post1k", "Proxying a POST of 1 KiB", 1<<10
	post.text = "As the first scenario, with a body of 1 KiB in the request too." + closedLoop
	fresh := proxied
	fresh.name, fresh.title, fresh.close = "newconn", "Proxying, 1 KiB, a new connection for each request", true
	fresh.text = "The clients' connections are new, those to the backend are kept." + closedLoop
	scenarios = append(scenarios, post, fresh)
	for _, file := range []fixture{{"64k", 64 << 10}, {"1m", mib}} {
		s := proxied
		s.name, s.title = "proxy"+file.name, "Proxying, "+sizeText(file.size)
		s.path, s.size = "/bodies/"+file.name+".txt", file.size
		s.text = "A file that the backend sends." + closedLoop
		scenarios = append(scenarios, s)
	}
	return scenarios
}

func fileScenarios() []scenario {
	var scenarios []scenario
	for _, file := range fixtureFiles() {
		scenarios = append(scenarios, scenario{
			name: "static" + file.name, groups: []string{"core", "static"}, title: "A file of " + sizeText(file.size),
			need: []feature{featureFiles}, path: "/files/" + file.name + ".txt", size: file.size,
			text:    "From memory; nginx with open_file_cache and sendfile. HAProxy serves no files." + closedLoop,
			metrics: loadMetrics(), measure: measureClosedLoop,
		})
	}
	return scenarios
}

func tlsScenarios() []scenario {
	static := scenario{
		name: "tls-static", groups: []string{"core", "tls"}, title: "A file of 1 KiB over TLS",
		need: []feature{featureFiles, featureTLS}, tls: true, path: "/files/1k.txt", size: 1 << 10,
		text:    "Kept connections with a self-made ECDSA P-256 certificate; the handshakes are few and not the point." + closedLoop,
		metrics: loadMetrics(), measure: measureClosedLoop,
	}
	proxied := static
	proxied.name, proxied.title, proxied.path = "tls-proxy", "Proxying, 1 KiB, over TLS", "/"
	proxied.need = []feature{featureProxy, featureTLS}
	proxied.text = "As above, proxied." + closedLoop
	scenarios := []scenario{static, proxied}
	for _, kept := range []scenario{static, proxied} {
		s := kept
		s.name = "handshake-" + s.name[len("tls-"):]
		s.title += ", a handshake for each request"
		s.text = "Every request has a new connection with a full handshake: TLS 1.3 and X25519, no session is resumed. The load is a closed loop of the harness itself."
		s.close, s.measure = true, measureHandshakes
		scenarios = append(scenarios, s)
	}
	return scenarios
}

// scaleScenarios are about numbers: of connections, of backends, and of lines in a log.
func scaleScenarios(o options) []scenario {
	var scenarios []scenario
	for _, n := range o.idle {
		scenarios = append(scenarios, scenario{
			name: fmt.Sprintf("idle%d", n), groups: []string{"core", "idle"}, title: fmt.Sprintf("%d idle connections", n),
			need: []feature{featureProxy}, fresh: true, kept: n, path: "/", size: 1 << 10,
			text: "Growth of resident memory by connections that have had proxied responses, one and six seconds after the last of them. " +
				"What a balancer sets aside for connections at its start is in the total alone.",
			metrics: []metric{
				{Key: "bytes_1s", Label: "RSS growth per connection after 1 s", Unit: "bytes", Digits: 0},
				{Key: "bytes_6s", Label: "RSS growth per connection after 6 s", Unit: "bytes", Digits: 0},
				{Key: "rss_mib", Label: "RSS in all after 6 s", Unit: "MiB", Digits: 1},
			},
			measure: measureIdle,
		})
	}
	most := o.idle[len(o.idle)-1]
	scenarios = append(scenarios, scenario{
		name: "idle-settled", groups: []string{"idle"}, title: fmt.Sprintf("%d idle connections, in the long run", most),
		need: []feature{featureProxy}, fresh: true, kept: most, path: "/", size: 1 << 10,
		text: "The same when the memory has stopped changing.",
		metrics: []metric{
			{Key: "bytes_per_connection", Label: "RSS growth per connection", Unit: "bytes", Digits: 0},
			{Key: "rss_mib", Label: "RSS in all", Unit: "MiB", Digits: 1},
		},
		measure: measureSettledIdle,
	})
	backends := scenario{
		name: "backends", groups: []string{"core", "scale"}, title: "Many backends",
		need: []feature{featureProxy, featureManyBackends}, path: "/", size: 1 << 10,
		text: "The first scenario with more backends, in turn. Each is an address of its own in 127.0.0.0/8; a few nginx workers listen on all of them. " +
			"The ratios are those within one round." + closedLoop,
		measure: measureClosedLoop,
	}
	for _, n := range o.backends {
		backends.variants = append(backends.variants, variant{key: fmt.Sprint(n), label: fmt.Sprintf("%d backends", n), backends: n})
		backends.backends = max(backends.backends, n)
	}
	seldom := backends
	seldom.name, seldom.title, seldom.rate, seldom.measure = "backends-rate", "Many backends, seldom asked", 1000, measureOpenLoop
	seldom.text = "The same at 1,000 requests a second (open loop), so that each of 10,000 backends is asked every ten seconds: whether its connection is still kept decides."
	log := scenario{
		name: "accesslog", groups: []string{"core", "log"}, title: "Proxying, 1 KiB, with and without an access log",
		need: []feature{featureProxy, featureAccessLog}, path: "/", size: 1 << 10,
		text: "With an access log to a file: JSON as lb writes it by default, nginx's combined format with " +
			"its 64 KiB buffer. HAProxy logs to syslog only and is left out." + closedLoop,
		variants: []variant{{key: "off", label: "no log"}, {key: "on", label: "log", log: true}},
		measure:  measureClosedLoop,
	}
	for _, s := range []scenario{backends, seldom, log} {
		s.metrics = variantMetrics(s.variants)
		scenarios = append(scenarios, s)
	}
	return scenarios
}

// variantMetrics are what measureVariants finds.
func variantMetrics(variants []variant) []metric {
	var metrics []metric
	for _, v := range variants {
		metrics = append(metrics, metric{Key: "cpu_us_" + v.key, Label: "CPU per request, " + v.label, Unit: "µs", Digits: 1})
	}
	for _, v := range variants[1:] {
		metrics = append(metrics, metric{Key: ratioKey(v), Label: "CPU per request, " + v.label + " relative to " + variants[0].label, Digits: 2, NoRatio: true})
	}
	for _, v := range variants {
		metrics = append(metrics, metric{Key: "rss_mib_" + v.key, Label: "RSS under load, " + v.label, Unit: "MiB", Digits: 1})
	}
	return metrics
}

// latencyScenarios are about small requests beside work of another kind.
func latencyScenarios() []scenario {
	var metrics []metric
	for _, state := range []struct{ key, label string }{{"busy", "beside it"}, {"calm", "without it"}} {
		for _, q := range []struct{ key, label string }{{"p99", "p99"}, {"p999", "p99.9"}, {"max", "worst"}, {"p50", "p50"}} {
			metrics = append(metrics, metric{Key: state.key + "_" + q.key + "_us", Label: "latency " + q.label + " " + state.label, Unit: "µs", Digits: 0})
		}
	}
	handshakes := scenario{
		name: "beside-handshakes", groups: []string{"latency"}, title: "Small requests beside TLS handshakes",
		need: []feature{featureProxy, featureTLS}, path: "/", size: 1 << 10, connections: 16, rate: 1000,
		text: fmt.Sprintf("Proxied requests of 1 KiB at 1,000 a second (open loop, latencies from the moment at which a request was due), alone and "+
			"while a process of lower priority makes %d TLS handshakes a second, or as many as it comes to.", handshakeRate),
		metrics: append(slices.Clone(metrics), metric{Key: "handshakes", Label: "handshakes per second", Digits: 0}),
		measure: measureBesideHandshakes,
	}
	profile := handshakes
	profile.name, profile.title, profile.admin = "beside-profile", "Small requests beside a CPU profile", true
	profile.need = []feature{featureProxy, featureProfile}
	profile.text = "The same load, alone and while the balancer takes a CPU profile of itself, its start and its end included where the measurement is long enough."
	profile.metrics, profile.measure = metrics, measureBesideProfile
	return []scenario{handshakes, profile}
}

func streamScenarios(o options) []scenario {
	return []scenario{
		{
			name: "updown", groups: []string{"stream"}, title: "Large bodies", need: []feature{featureProxy}, fresh: true, origin: true, path: "/",
			text: fmt.Sprintf("One large upload, then one large download, streamed. Growth is the peak of resident memory during the transfer "+
				"above what it was after a first small request. Size: %d MB each way.", o.transfer),
			metrics: []metric{
				{Key: "up_growth_mib", Label: "RSS growth, upload", Unit: "MiB", Digits: 1, NoRatio: true},
				{Key: "down_growth_mib", Label: "RSS growth, download", Unit: "MiB", Digits: 1, NoRatio: true},
				{Key: "up_cpu_ms_per_gb", Label: "CPU per GB, upload", Unit: "ms", Digits: 0},
				{Key: "down_cpu_ms_per_gb", Label: "CPU per GB, download", Unit: "ms", Digits: 0},
				{Key: "up_mb_s", Label: "upload", Unit: "MB/s", Digits: 0},
				{Key: "down_mb_s", Label: "download", Unit: "MB/s", Digits: 0},
			},
			measure: measureTransfers,
		},
		{
			name: "events", groups: []string{"stream"}, title: "Event streams", need: []feature{featureProxy}, fresh: true, origin: true, noDelay: true, path: "/",
			text: "How much later small pieces of a response come through the balancer than from the backend itself, which is read right before: the " +
				"differences of the percentiles of the times from write to read. 100 streams of ten pieces a second each, as an event stream " +
				"(chunked) and as a body of known length.",
			metrics: []metric{
				{Key: "events_p50_us", Label: "added delay p50, events", Unit: "µs", Digits: 0, NoRatio: true},
				{Key: "events_p99_us", Label: "added delay p99, events", Unit: "µs", Digits: 0, NoRatio: true},
				{Key: "trickle_p50_us", Label: "added delay p50, known length", Unit: "µs", Digits: 0, NoRatio: true},
				{Key: "trickle_p99_us", Label: "added delay p99, known length", Unit: "µs", Digits: 0, NoRatio: true},
				{Key: "events_direct_p50_us", Label: "without a balancer p50, events", Unit: "µs", Digits: 0},
				{Key: "events_direct_p99_us", Label: "without a balancer p99, events", Unit: "µs", Digits: 0},
			},
			measure: measureEvents,
		},
	}
}

// sizeText is a size in whole KiB or MiB.
func sizeText(bytes int) string {
	if bytes >= mib {
		return fmt.Sprintf("%d MiB", bytes/mib)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
