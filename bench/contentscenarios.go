package main

import "context"

// gzipLevel is lb's default. nginx's zlib and the library of lb and Caddy differ in what a level means.
const (
	gzipLevel      = 3
	nginxGzipLevel = 3
)

// contentScenarios are about what a balancer does with responses.
func contentScenarios() []scenario {
	stored := scenario{
		name: "stored", groups: []string{"core", "content"}, title: "A stored response beside a file, 1 KiB",
		text: "A response of the backend that the balancer has stored, and a file of the same size." + closedLoop,
		need: []feature{featureProxy, featureFiles, featureStore}, size: 1 << 10,
		variants: []variant{{key: "file", label: "file", path: smallFile}, {key: "stored", label: "stored response", path: "/stored/1k.txt"}},
		measure:  measureClosedLoop,
	}
	stored.metrics = variantMetrics(stored.variants)
	scenarios := []scenario{stored}
	for _, document := range []struct{ name, title, path string }{
		{"gzip-html", "Compressing 100 KiB of HTML", "/packed/page.html"}, {"gzip-json", "Compressing 1 MiB of JSON", "/packed/list.json"},
	} {
		scenarios = append(scenarios, scenario{
			name: document.name, groups: []string{"core", "content"}, title: document.title,
			text: "A response of the backend that is compressed by gzip on its way, at levels that make it equally long." + closedLoop,
			need: []feature{featureProxy, featureCompress}, accept: "gzip", connections: 4, path: document.path,
			metrics: append(costMetrics(), metric{Key: "sent_kib", Label: "length of the response", Unit: "KiB", Digits: 1}),
			measure: measureCompression,
		})
	}
	return scenarios
}

func measureCompression(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	measured, err := measureClosedLoop(ctx, b, s, r)
	if err != nil {
		return nil, err
	}
	size, err := s.fetch(ctx, r)
	measured["sent_kib"] = float64(size) / 1024
	return measured, err
}
