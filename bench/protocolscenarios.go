package main

import "fmt"

func costMetrics() []metric { return loadMetrics()[:2] }

// protocolScenarios are about HTTP/2, gRPC and HTTP/3.
func protocolScenarios() []scenario {
	const h2load = " The load is a closed loop (h2load), over TLS."
	var scenarios []scenario
	for _, what := range []struct {
		name, title, path string
		need              feature
	}{{"static", "A file of 1 KiB", smallFile, featureFiles}, {"proxy", "Proxying, 1 KiB,", "/", featureProxy}} {
		for _, load := range []struct{ connections, streams int }{{16, 1}, {8, 32}} {
			scenarios = append(scenarios, scenario{
				name: fmt.Sprintf("h2-%s-%d", what.name, load.streams), groups: []string{"core", "h2"},
				title: fmt.Sprintf("%s over HTTP/2, %d at a time", what.title, load.streams),
				text:  fmt.Sprintf("%d connections with so many requests at a time on each; to the backend HTTP/1.1.", load.connections) + h2load,
				need:  []feature{what.need, featureTLS, featureHTTP2}, tls: true, protocol: protocolHTTP2,
				connections: load.connections, streams: load.streams, path: what.path, size: 1 << 10,
				metrics: costMetrics(), measure: measureClosedLoop,
			})
		}
	}
	scenarios = append(scenarios, scenario{
		name: "grpc", groups: []string{"core", "h2"}, title: "Unary gRPC calls",
		text: "A message of 128 bytes each way; 8 connections with 32 calls at a time, to a server of grpc-go without TLS inside the harness." + h2load,
		need: []feature{featureProxy, featureTLS, featureHTTP2, featureGRPC}, tls: true, protocol: protocolHTTP2, grpc: true,
		connections: 8, streams: 32, path: "/bench.Echo/Unary",
		metrics: costMetrics(), measure: measureClosedLoop,
	})
	small := scenario{
		name: "h3-static", groups: []string{"core", "h3"}, title: "A file of 1 KiB over HTTP/3",
		text: "One request at a time on each of 16 connections. The load is a closed loop of the harness itself (quic-go).",
		need: []feature{featureFiles, featureTLS, featureHTTP3}, tls: true, protocol: protocolHTTP3, connections: 16, path: smallFile, size: 1 << 10,
		metrics: loadMetrics(), measure: measureClosedLoop,
	}
	proxied := small
	proxied.name, proxied.title, proxied.path = "h3-proxy", "Proxying, 1 KiB, over HTTP/3", "/"
	proxied.need = []feature{featureProxy, featureTLS, featureHTTP3}
	large := small
	large.name, large.title, large.path, large.size = "h3-large", "A file of 100 MB over HTTP/3", largeFile, largeFileSize
	large.text = "One stream on one connection, from the page cache; how long it takes."
	large.metrics = []metric{
		{Key: "seconds", Label: "time", Unit: "s", Digits: 2},
		{Key: "cpu_ms", Label: "CPU", Unit: "ms", Digits: 0},
		{Key: "mb_s", Label: "throughput", Unit: "MB/s", Digits: 0},
	}
	large.fresh, large.measure = true, measureHTTP3Download
	return append(scenarios, small, proxied, large)
}
