package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   summary
	}{
		{"none", nil, summary{}},
		{"one", []float64{5}, summary{1, 5, 0, 5, 5}},
		{"odd, with an outlier", []float64{100, 1, 2, 4, 3}, summary{5, 3, 1, 1, 100}},
		{"even", []float64{4, 1, 3, 2}, summary{4, 2.5, 1, 1, 4}},
		{"below zero", []float64{-3, -1, -2}, summary{3, -2, 1, -3, -1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			values := slices.Clone(test.values)
			if got := summarize(values); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if !slices.Equal(values, test.values) {
				t.Errorf("the values are now %v", values)
			}
		})
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
	if got := (summary{Median: -4, MAD: 1}).relativeMAD(); got != 0.25 {
		t.Errorf("relative MAD %v, want 0.25", got)
	}
}

func TestPairedRatios(t *testing.T) {
	samples := []sample{{"a": 2}, {"a": 9}, nil, {"a": 4}, {"b": 1}, {"a": 1}}
	peer := []sample{{"a": 1}, {"a": 3}, {"a": 5}, nil, {"a": 1}, {"a": 0}}
	if got, want := pairedRatios(samples, peer, "a"), []float64{2, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := pairedRatios(samples, nil, "a"); got != nil {
		t.Errorf("got %v without a peer", got)
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	tests := []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{hundred, 0.50, 50}, {hundred, 0.99, 99}, {hundred, 0.999, 100}, {hundred, 1, 100}, {hundred, 0, 1},
		{[]time.Duration{7}, 0.5, 7}, {[]time.Duration{1, 2, 3}, 0.5, 2},
	}
	for _, test := range tests {
		if got := percentile(test.values, test.q); got != test.want {
			t.Errorf("percentile %v of %d values is %v, want %v", test.q, len(test.values), got, test.want)
		}
	}
}

func exampleReport() report {
	return report{
		Machine: machine{Cores: 2, Kernel: "Linux 9", Versions: map[string]string{"lb": "lb <1>", "nginx": "nginx/9"}},
		Notes:   []string{"haproxy is left out, it is not installed"},
		Scenarios: []scenarioResult{{
			Name: "proxy1k", Title: "Proxying <1 KiB", Metrics: []metric{{Key: "cpu_us", Label: "CPU", Unit: "µs", Digits: 1}, {Key: "up", Label: "growth", NoRatio: true}},
			Subjects: []string{"lb", "nginx", "haproxy"},
			Samples: map[string][]sample{
				"lb":      {{"cpu_us": 10, "up": 5, otherLoad: 0.5}, {"cpu_us": 30, "up": 6, otherLoad: 0.5}, {"cpu_us": 20, "up": 7, otherLoad: 0.1}},
				"nginx":   {{"cpu_us": 20, "up": 0}, {"cpu_us": 20, "up": 1}, {"cpu_us": 40, "up": 1}},
				"haproxy": {nil, nil, nil},
			},
			Failures: []string{"haproxy: it does not start"},
		}},
	}
}

func TestMarkdown(t *testing.T) {
	text := markdown(exampleReport())
	for _, want := range []string{
		"| CPU, µs | lb | 20.0 ± 10.0 | 10.0–30.0 | 0.50 (0.50–1.50) | – | – |",
		"| CPU, µs | nginx | 20.0 ± 0.0 | 20.0–40.0 |  | – | – |",
		"| CPU, µs | haproxy | – | – | – | – | – |",
		"| growth | lb | 6 ± 1 | 5–7 |  |  |  |",
		"is up to 50.0 % of the median. Other programs kept 0.50 cores busy",
		"Failed: haproxy: it does not start",
		"- Note: haproxy is left out",
		"- nginx: nginx/9",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestChartIsXML(t *testing.T) {
	drawing := chart(exampleReport())
	decoder := xml.NewDecoder(strings.NewReader(drawing))
	bars, texts := 0, ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, drawing)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "rect" {
				bars++
			}
		case xml.CharData:
			texts += string(token)
		}
	}
	if bars != 3 { // the background, lb and nginx; HAProxy has no value
		t.Errorf("%d rectangles, want 3", bars)
	}
	if !strings.Contains(texts, "Proxying <1 KiB") || !strings.Contains(texts, "20.0 µs") {
		t.Errorf("title or figure is missing in %q", texts)
	}
}

func TestChartWithoutValues(t *testing.T) {
	r := exampleReport()
	r.Scenarios[0].Samples = nil
	if drawing := chart(r); strings.Contains(drawing, "NaN") || strings.Contains(drawing, "Inf") {
		t.Errorf("no numbers:\n%s", drawing)
	}
}
